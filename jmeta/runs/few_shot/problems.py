"""What a run learns from: a data set with its split, or a sampler of curves or planes, in one form."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jax.tree_util import Partial

from jmeta import augment, datasets, episodes
from jmeta.datasets import Dataset, Split
from jmeta.datasets.catalog import DATASETS
from jmeta.datasets.divisions import TEST
from jmeta.datasets.look import Look
from jmeta.datasets.pictures import match, resized
from jmeta.errors import RunError, closest
from jmeta.ragged import Ragged
from jmeta.runs.few_shot import text
from jmeta.runs.few_shot.parts import Part, large_enough, parts_of, said
from jmeta.runs.few_shot.settings import Tasks, Test
from jmeta.runs.few_shot.text import Reader
from jmeta.settings import replaced
from jmeta.tasks import catalog

_CROP_FLIP = augment.compose(augment.random_crop(), augment.random_flip())
_AUGMENTS: dict[str, augment.Augment | None] = {
    "none": None,
    "affine": augment.random_affine(),
    "crop-flip": _CROP_FLIP,
    "photo": augment.compose(_CROP_FLIP, augment.color_jitter()),
}
NAMES = (*DATASETS, *catalog.TASKS)


class Problem(NamedTuple):
    """A source of episodes.

    Attributes:
        name: of the data set.
        input_shape: of one example.
        numbers: whether targets are numbers and not classes.
        protocol: of the split.
        split_hash: of the classes in each part of the split.
        checksum: of the data.
        sampler: `(part, way, shot, query_shot) -> sample`, for the part train, val or test.
        batches: `batch size -> sample`, of ordinary batches of all training classes, if there are some.
        train_classes: classes to train on, if there are some, four of each with rotations.
        dataset: the images as they are used, if there are some.
        split: their split.
        changes: what was done to them, so that they look like those that a learner was trained on.
        about: how many classes and examples each part has, in a sentence.
        input_dtype: of one example as an episode has it; whole numbers, such as tokens, stay whole.
        reader: how sentences became numbers; None for other examples.
        classes: as `sampler`, and each example is the number of its class in the data set; None where there is none.
    """

    name: str
    input_shape: tuple[int, ...]
    numbers: bool
    protocol: str
    split_hash: str
    checksum: str
    sampler: Callable[[str, int, int, int], Partial]
    batches: Callable[[int], Partial] | None = None
    train_classes: int | None = None
    dataset: Dataset | None = None
    split: Split | None = None
    changes: tuple[str, ...] = ()
    about: str = ""
    input_dtype: str = "float32"
    reader: Reader | None = None
    classes: Callable[[str, int, int, int], Partial] | None = None


def load_problem(tasks: Tasks, input_shape: tuple[int, ...] | None = None, reader: Reader | None = None) -> Problem:
    """Load the data that tasks are made of; images are brought to the (H, W, C) of `input_shape`, if it is given, and
    sentences read by a reader, if it is, otherwise by that of their training classes."""
    if (source := catalog.row(tasks.dataset)).sampler is not None:
        return _drawn(tasks.dataset, source)
    if source.sentences:
        dataset, reader = text.load(tasks, protocol_of(tasks), reader)
        return _of_images(tasks, dataset, ())._replace(reader=reader)
    dataset = load_images(tasks.dataset, tasks.data_dir, size=tasks.image_size, strict=tasks.reading.strict)
    if input_shape is not None and dataset.look is not None:
        dataset = resized(dataset, input_shape)
    return _of_images(tasks, dataset, ())


def problem_of(tasks: Tasks, dataset: Dataset) -> Problem:
    """Examples as they are."""
    return _of_images(tasks, dataset, ())


def problem_like(tasks: Tasks, dataset: Dataset, like: Look) -> Problem:
    """Images that are to look like those that a learner was trained on."""
    return _of_images(tasks, *match(dataset, like))


def _of_images(tasks: Tasks, dataset: Dataset, changes: tuple[str, ...]) -> Problem:
    split = dataset.split(protocol_of(tasks))
    parts = parts_of(dataset, split, own=not catalog.row(tasks.dataset).published)
    turned = tasks.rotations
    what = "sentences" if catalog.row(tasks.dataset).sentences else "examples" if dataset.look is None else "pictures"

    def batches(size: int) -> Partial:
        known = large_enough(parts["train"], dataset, 1, 1, "training")
        change = _AUGMENTS[tasks.augment]
        return episodes.classification_sampler(known.examples, batch_size=size, rotations=turned, augment=change)

    def classes(part: str, way: int, shot: int, query: int) -> Partial:
        known, examples = parts[part]
        numbers = Ragged(np.repeat(known, examples.counts).astype(np.int32)[:, None], examples.counts)
        unturned = replaced(tasks, {"rotations": False, "augment": "none"})
        return _few_shot(dataset, split, Part(known, numbers), unturned, part, way, shot, query)

    return Problem(
        dataset.name, dataset.examples.shape[2:], False, split.protocol, split.hash, dataset.checksum,
        lambda part, way, shot, query: _few_shot(dataset, split, parts[part], tasks, part, way, shot, query),
        batches, len(split.train) * (4 if turned else 1), dataset, split, changes,
        f"{dataset.name}, split {split.protocol} {split.hash}: {said(parts, what)}.{_too_few(parts, tasks.way)}",
        _dtype_of(dataset), classes=classes,
    )  # fmt: skip


def _too_few(parts: Mapping[str, Part], way: int) -> str:
    """What is said of a test part that has classes, and fewer than an episode."""
    there = len(parts["test"].classes)
    if not 0 < there < way:
        return ""
    return f" The test part has fewer classes than --way, {way}: evaluate by --way {there}, or name more for the test."


def _dtype_of(dataset: Dataset) -> str:
    kind = dataset.examples.rows.dtype
    return str(np.dtype(np.int32)) if kind.kind in "iu" and kind != np.uint8 else "float32"


def protocol_of(tasks: Tasks) -> str:
    """How the classes are divided: by `split`, or by what is named for the test."""
    if tasks.test.test_classes is not None:
        return f"{TEST}{tasks.test.test_classes}"
    return TEST if tasks.test.test_dataset is not None and tasks.split == "default" else tasks.split


def load_images(
    name: str, data_dir: str | None, *, download: bool = True, size: int | None = None, strict: bool = False
) -> Dataset:
    """A data set of images by its name, as `datasets.load`; RunError for a misspelled name."""
    try:
        return datasets.load(name, data_dir, download=download, size=size, strict=strict)
    except datasets.DataError as error:
        close = closest(name, NAMES)
        if close is None or name in NAMES or not str(error).startswith("there is no data set"):
            raise
        raise RunError(f"there is no data set {name!r}: did you mean {close!r}? jmeta data list shows all.") from error


def _drawn(name: str, source: catalog.Row) -> Problem:
    # Train, validation and test draw from one distribution; a run's key never meets those of the other two.
    make, shape = source.sampler, source.input_shape
    assert make is not None and shape is not None, "tasks that are drawn have a shape"

    def sampler(part: str, way: int, shot: int, query_shot: int) -> Partial:
        sample = make(shot, query_shot)
        return sample if isinstance(sample, Partial) else Partial(sample)

    return Problem(name, shape, source.numbers, "distribution", name, name, sampler)


def _few_shot(
    dataset: Dataset, split: Split, known: Part, tasks: Tasks, part: str, way: int, shot: int, query_shot: int
) -> Partial:
    if not len(known.classes):
        where = f"the {part} part of {dataset.name} ({split.protocol}) has no classes"
        raise RunError(f"{where}: name another --part or --split, or other data by --dataset.")
    if way > len(known.classes):
        own, fits = len(known.classes), min(len(each) for each in (split.train, split.val, split.test) if len(each))
        instead = f"--way {fits} fits all parts" if fits > 1 else "give more classes"
        instead = instead if own in (fits, 1) else f"--way {own} fits this part, and {instead}"
        raise RunError(
            f"{way}-way episodes need {way} classes, and the {part} part of {dataset.name} ({split.protocol}) has "
            f"{len(known.classes)}: {instead}, or choose another --split."
        )
    if tasks.rotations and dataset.look is None:
        raise RunError(f"rotations need pictures, and {dataset.name} has none: use --no-rotations.")
    if tasks.rotations and dataset.examples.shape[2] != dataset.examples.shape[3]:
        _, _, height, width, _ = dataset.examples.shape
        raise RunError(f"rotations need square pictures, got {height} x {width}: use --no-rotations.")
    asked = f"an episode of {shot} support and {query_shot} query examples of the {part} part"
    classes, examples = large_enough(known, dataset, shot + query_shot, way, asked)
    return episodes.few_shot_sampler(
        examples, way=way, shot=shot, query_shot=query_shot, rotations=tasks.rotations,
        groups=_groups(dataset, classes, part, way) if tasks.within_groups else None,
        augment=_AUGMENTS[tasks.augment] if part == "train" else None,
    )  # fmt: skip


def _groups(dataset: Dataset, classes: np.ndarray, part: str, way: int) -> list[str]:
    """The group of each class, if one of them is large enough."""
    groups = [dataset.groups[i] for i in classes]
    largest = max(Counter(groups).values())
    if largest < way:
        raise RunError(
            f"{way}-way episodes within a group need {way} classes in it, and the largest of the {part} part of "
            f"{dataset.name} has {largest}: ask for a smaller --way, or --no-within-groups."
        )
    return groups


def with_dataset(tasks: Tasks, dataset: str | None, split: str | None, data_dir: str | None) -> Tasks:
    """The same tasks of other data: another data set comes with its default split, and without rotations and groups."""
    changes: dict[str, Any] = {}
    if dataset is not None and dataset != tasks.dataset:
        turned = catalog.row(dataset).turned
        changes = {"dataset": dataset, "split": "default", "rotations": turned, "within_groups": False}
        changes |= {"test": Test()}
    if split is not None:
        changes |= {"test": Test()}
    given = {"split": split, "data_dir": data_dir}
    return dataclasses.replace(tasks, **changes | {name: value for name, value in given.items() if value is not None})
