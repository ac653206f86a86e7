"""A trained learner shown data that it was not trained on, made to look like those that it was."""

import dataclasses
from typing import NamedTuple

import numpy as np

from jmeta.datasets import Dataset, Split, cache
from jmeta.datasets.divisions import by_name
from jmeta.errors import RunError
from jmeta.ragged import Ragged
from jmeta.runs.few_shot import text
from jmeta.runs.few_shot.problems import Problem, load_images, load_problem, problem_like, problem_of, with_dataset
from jmeta.runs.few_shot.settings import Tasks
from jmeta.runs.few_shot.trained import Trained
from jmeta.tasks import catalog as sources


class Shown(NamedTuple):
    """What a trained learner is evaluated on: the tasks of its run on these data, the data, and how many classes of the
    part it was trained on, None where its training data can't be read."""

    tasks: Tasks
    problem: Problem
    seen: int | None


class Known(NamedTuple):
    """What a learner was trained on: the data as it was shown them, and their split."""

    dataset: Dataset
    split: Split


def show(
    trained: Trained,
    dataset: str | None = None,
    *,
    split: str | None = None,
    part: str = "test",
    data_dir: str | None = None,
) -> Shown:
    """Data for a trained learner: its own, or others that are made to look like them.

    Args:
        trained: the learner.
        dataset: the name of other data; None for its own.
        split: of the data. Otherwise its own, or for other data: Omniglot's default one, and all classes of the rest,
            of which none was trained on.
        part: test, val or train.
        data_dir: the folder of data sets; otherwise the run's.

    Raises:
        RunError: for data that it can't be shown, or whose split isn't the one that it was trained with.
    """
    own = trained.settings.tasks
    dataset = own.test.test_dataset if dataset is None and part == "test" and split is None else dataset
    tasks = dataclasses.replace(with_dataset(own, dataset, split, data_dir), augment="none")
    drawn = [name for name in (tasks.dataset, own.dataset) if sources.row(name).sampler is not None]
    if drawn and tasks.dataset != own.dataset:
        raise RunError(f"a learner of {own.dataset} can't be shown {tasks.dataset}: choose another --dataset.")
    if tasks.dataset == own.dataset:
        problem = _own(trained, tasks)
        stored = trained.facts
        if problem.protocol == by_name(stored["protocol"]) and problem.split_hash != stored["split_hash"]:
            raise RunError(
                f"the {problem.protocol} split of {problem.name} has the hash {problem.split_hash}, and training had "
                f"{stored['split_hash']}: its test classes may have been trained on, so restore the data."
            )
        return Shown(tasks, problem, _shared(trained, problem, part))
    images = examples_for(trained, tasks)
    if split is None and part == "test" and not sources.row(tasks.dataset).published:
        tasks = dataclasses.replace(tasks, split="all")
    if images.checksum == trained.facts["checksum"]:  # its own by another name
        tasks = dataclasses.replace(own, split=split or own.split, data_dir=tasks.data_dir)
        problem = _like(trained, tasks, images)
        return Shown(tasks, problem, _shared(trained, problem, part))
    problem = _like(trained, tasks, images)
    assert problem.dataset is not None and problem.split is not None
    classes = getattr(problem.split, part)
    return Shown(tasks, problem, seen(known_to(trained, data_dir), problem.dataset.examples[classes]))


def _own(trained: Trained, tasks: Tasks) -> Problem:
    try:
        return load_problem(tasks, tuple(trained.facts["input_shape"]), trained.reader)
    except RunError as error:
        if not str(error).startswith("there is no data set"):
            raise
        root = cache.data_root(tasks.data_dir)
        raise RunError(
            f"the run was trained on {tasks.dataset}, which is neither here nor in {root}: restore it, say where it is "
            "by --data-dir, or choose another --dataset."
        ) from error


def examples_for(trained: Trained, tasks: Tasks, *, download: bool = True) -> Dataset:
    """Other data as they are loaded, and sentences as numbers by the run's reader; RunError for sentences where none
    were trained on, and the reverse."""
    reader, name, own = trained.reader, tasks.dataset, trained.settings.tasks.dataset
    if sources.row(name).sentences != (reader is not None):
        kinds = ("sentences", "none") if reader is None else ("no sentences", "some")
        raise RunError(f"{name} has {kinds[0]}, and {own}, which was trained on, {kinds[1]}: choose another --dataset.")
    if reader is not None:
        return text.load(tasks, "all", reader)[0]
    return load_images(name, tasks.data_dir, download=download, size=tasks.image_size)


def _like(trained: Trained, tasks: Tasks, dataset: Dataset) -> Problem:
    """Data made to look like those of training, or of the same shape where they are no pictures."""
    if trained.look is not None:
        return problem_like(tasks, dataset, trained.look)
    here, there = dataset.examples.shape[2:], tuple(trained.facts["input_shape"])
    if here != there:
        raise RunError(
            f"{dataset.name} has examples of shape {list(here)}, and {list(there)} were trained on: choose another "
            "--dataset."
        )
    return problem_of(tasks, dataset)


def known_to(trained: Trained, data_dir: str | None = None) -> Known | None:
    """What a learner was trained on, from the run's folder of data sets or another; None where it isn't there."""
    tasks = trained.settings.tasks
    for place in dict.fromkeys((tasks.data_dir, data_dir)):
        try:
            dataset = examples_for(trained, dataclasses.replace(tasks, data_dir=place), download=False)
        except RunError:
            continue
        if dataset.checksum == trained.facts["checksum"]:
            return Known(dataset, dataset.split(_division(trained)))
    return None


def trained_on(run_dir: str, trained: Trained, data_dir: str | None = None) -> Problem:
    """What a learner was trained on, as a problem; RunError where it is drawn, or isn't there as it was."""
    tasks = trained.settings.tasks
    if sources.row(tasks.dataset).sampler is not None:
        raise RunError(f"{tasks.dataset} is drawn, and has no examples that were trained on: leave --statistics out.")
    known = known_to(trained, data_dir)
    if known is None:
        raise RunError(
            f"{run_dir} was trained on {tasks.dataset}, which is not there, or is no longer what it was: restore it, "
            "or say where it is by --data-dir."
        )
    return problem_of(dataclasses.replace(tasks, split=_division(trained), augment="none"), known.dataset)


def seen(known: Known | None, examples: Ragged) -> int | None:
    """How many classes have a picture that was trained on; None where not known."""
    if known is None:
        return None
    train = known.split.train
    old = set().union(*_pictures(known.dataset.examples[train]))
    return sum(not old.isdisjoint(pictures) for pictures in _pictures(examples))


def _pictures(examples: Ragged) -> list[set[int]]:
    """The hash of each picture of each class, blank ones left out."""
    return [{hash(x.tobytes()) for x in examples[k] if x.any()} for k in range(len(examples))]


def _shared(trained: Trained, problem: Problem, part: str) -> int:
    """How many of the classes were trained on, as another split of the same data may have it."""
    if problem.dataset is None or problem.split is None:
        return 0
    train = problem.dataset.split(_division(trained)).train
    return int(np.isin(getattr(problem.split, part), train).sum())


def _division(trained: Trained) -> str:
    """The split that was trained with, as it can be read here: facts name a file without its folders."""
    own, known = trained.settings.tasks.split, trained.facts["protocol"]
    return own if by_name(own) == known else known
