"""How good a run's learner is on new episodes: `evaluation.json`, and a file for each other data, size and part."""

import dataclasses
import datetime
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from jax.tree_util import Partial

from jmeta import evaluation
from jmeta import settings as flat
from jmeta.algorithms.nearest import nearest
from jmeta.datasets import omniglot_runs
from jmeta.datasets.divisions import by_name
from jmeta.datasets.terms import Words
from jmeta.episodes import Sampler
from jmeta.errors import RunError
from jmeta.report import statistics
from jmeta.report.files import write_json
from jmeta.runs.engine import folder, keeping
from jmeta.runs.engine.area import load_group
from jmeta.runs.engine.members import members
from jmeta.runs.few_shot import one_shot
from jmeta.runs.few_shot.experiment import AREA, check_fits, eval_chunk_size, measured
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.readings import AFFINE, MIRROR, ONE, VIEWS, check_views, reading
from jmeta.runs.few_shot.settings import Tasks
from jmeta.runs.few_shot.statistics import SOURCES, SUPPORT, TRAIN, of_training
from jmeta.runs.few_shot.trained import Trained, load_settings, load_trained
from jmeta.runs.few_shot.transfer import show
from jmeta.settings import flag, setting
from jmeta.tasks import catalog as sources
from jmeta.types import Episode, Params

PARTS = ("test", "val", "train")
Tell = Callable[[Mapping[str, Any]], None]
CHEAP_IMAGES = 600
"""Up to so many images an episode, the reading one query at a time is taken too."""


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the episodes, where they are not as in training.

    Attributes:
        way: classes in an episode; otherwise as trained. With more, the head's added columns start at the mean of the
            trained ones; with fewer, the first are used.
        shot: support examples of each class; otherwise as trained.
        query_shot: query examples of each class; otherwise as trained.
        inner_steps: inner steps; otherwise the run's for evaluation.
    """

    way: int | None = setting(None, least=1)
    shot: int | None = setting(None, least=1)
    query_shot: int | None = setting(None, least=1)
    inner_steps: int | None = setting(None, least=0)


@dataclasses.dataclass(frozen=True)
class Data:
    """What the learner is shown.

    Attributes:
        dataset: other data than it was trained on, by name or path. Pictures are resized and made gray as it takes,
            and inverted where ink is dark in one set of drawings and light in the other; what was done is said.
            omniglot-runs is the official one-shot test of Omniglot: 20 runs of 20-way 1-shot within an alphabet, each
            query judged alone, and together beside it where the network tells them apart.
        split: the other data's split, or another of the same: finn, lake, classes, all, ... Otherwise the default one
            for its own data and Omniglot, and all classes of other data.
        part: test, val or train.
        data_dir: the folder of data sets; otherwise the run's.
    """

    dataset: str | None = None
    split: str | None = None
    part: str = setting("test", choices=PARTS)
    data_dir: str | None = None


@tyro.conf.configure(tyro.conf.OmitArgPrefixes)
@dataclasses.dataclass(frozen=True)
class EvaluateConfig:
    """Adapt to many new episodes and report the mean, with its 95 % interval, in evaluation.json; other data, split,
    way and shot, and part than the run's test, --statistics and --views are in the name, as in
    evaluation-mnist28-10w5s.json. With another seed, checkpoint, or number of inner steps, queries or episodes, it
    takes the place of the last one.

    The episodes depend on the seed, the data and their sizes alone, so every run that is evaluated meets the same ones.

    Attributes:
        run_dir: the folder of the run, or of a group of runs, of which each is evaluated.
        episodes: how many.
        size: of the episodes.
        data: what they are of.
        checkpoint: best (by validation) or newest.
        seed: decides the episodes.
        transductive: whether accuracy is of queries predicted together, so that batch statistics see them all, or one
            by one. Where the network tells them apart and it is cheap, the other reading is reported too.
        statistics: of which pictures the means and variances are that a run with --norm support normalizes with:
            support, those of each support set; or train, of 1,024 that were trained on, for a learner with an encoder.
        views: of each picture: one; mirror, as it is and with left and right exchanged, for photographs; or affine, as
            it is and eight times turned, stretched, slanted and moved a little, for drawings. All views are support
            examples, and a query's logits are their mean.
        output: the file that is written; otherwise evaluation.json in the run folder, or one whose name has what is
            other, as above.
        compile_cache: keep compiled programs for the next start.
    """

    run_dir: str
    episodes: int = setting(600, least=2)
    size: Size = Size()
    data: Data = Data()
    checkpoint: str = "best"
    seed: int = setting(0, least=0)
    transductive: bool = True
    statistics: str = setting(SUPPORT, choices=SOURCES)
    views: str = setting(ONE, choices=tuple(VIEWS))
    output: str | None = None
    compile_cache: bool = True


def evaluate(config: EvaluateConfig, tell: Tell = lambda result: None) -> dict[str, Any]:
    """Evaluate a run and write `evaluation.json`, or what `file_name` calls the file of other episodes.

    Args:
        config: what is evaluated, and how.
        tell: is given the result before it is written, so that it is not lost where it can't be.

    Returns:
        What was written.

    Raises:
        RunError: for settings that make no sense, or a run folder that can't be used.
        DataError: for data that are missing or damaged.
        OSError: if the file can't be written.
    """
    path, result = _evaluated(config)
    tell(result)
    write_json(path, result)
    return result


def _evaluated(config: EvaluateConfig) -> tuple[Path, dict[str, Any]]:
    """What is to be written, and where."""
    check(config)
    trained = load_trained(config.run_dir, config.checkpoint)
    if config.statistics == TRAIN:
        trained = of_training(config.run_dir, trained, config.data.data_dir)
    size, data = config.size, config.data
    steps = trained.steps(size.inner_steps)
    if data.dataset == omniglot_runs.NAME:
        return _one_shot_test(config, trained, steps)
    tasks, problem, seen = show(trained, data.dataset, split=data.split, part=data.part, data_dir=data.data_dir)
    way, shot, query_shot = size.way or tasks.way, size.shot or tasks.shot, size.query_shot or tasks.query_shot
    if sources.row(tasks.dataset).way not in (None, way):
        raise RunError(f"{tasks.dataset} has tasks of one way, {tasks.way}, got --way {way}: leave it out.")
    check_views(config.views, problem.name, problem.input_shape)
    if not problem.numbers and way < 2:
        raise RunError(f"--way must be 2 or more classes to tell apart, got {way}: choose another.")
    at_once = min(eval_chunk_size(tasks), config.episodes)
    check_fits(problem, at_once, way, shot, query_shot, keys=config.episodes)
    sample = problem.sampler(data.part, way, shot, query_shot)
    cheap = way * query_shot * (way * shot + 1) <= CHEAP_IMAGES
    result = {
        **_measure(config, trained, sample, way=way, steps=steps, cheap=cheap),
        "way": way, "shot": shot, "query_shot": query_shot, "inner_steps": steps,
        "dataset": problem.name, "part": data.part, "protocol": problem.protocol, "split_hash": problem.split_hash,
        "data_checksum": problem.checksum, "rotations": tasks.rotations,
        "within_groups": tasks.within_groups, "seed": config.seed,
        "views": config.views,
        "part_classes": None if problem.split is None else len(getattr(problem.split, data.part)),
        "seen_classes": seen, "changes": ", ".join(problem.changes),
    }  # fmt: skip
    return _named(config, trained, result)


def _one_shot_test(config: EvaluateConfig, trained: Trained, steps: int) -> tuple[Path, dict[str, Any]]:
    _check_one_shot(config)
    test = one_shot.one_shot_test(trained, config.data.data_dir)
    numbers = one_shot.measure(trained, test, inner_steps=steps, views=config.views)
    row = {"inner_steps": steps, **{name: numbers[name] for name in ("accuracy", "ci95")}}
    result = {
        **numbers, "steps": [row], "way": omniglot_runs.WAY, "shot": 1, "query_shot": 1, "inner_steps": steps,
        "dataset": omniglot_runs.NAME, "part": "test", "protocol": "official", "views": config.views,
        "seen_classes": test.seen, "changes": ", ".join(test.changes),
    }  # fmt: skip
    return _named(config, trained, result)


def _check_one_shot(config: EvaluateConfig) -> None:
    given = flat.to_dict(config)
    for name, fixed in (("way", omniglot_runs.WAY), ("shot", 1), ("query_shot", 1)):
        if given[name] not in (None, fixed):
            raise RunError(f"{omniglot_runs.NAME} has {flag(name)} {fixed}, got {given[name]}: leave it out.")
    start = flat.to_dict(EvaluateConfig(config.run_dir))
    for name in ("episodes", "part", "split", "seed"):
        if given[name] != start[name]:
            raise RunError(f"{omniglot_runs.NAME} is {omniglot_runs.RUNS} fixed episodes: leave {flag(name)} out.")
    if config.views == MIRROR:
        raise RunError(f"letters are others in a mirror: take --views {AFFINE} for {omniglot_runs.NAME}, or {ONE}.")
    if not config.transductive:
        raise RunError(f"{omniglot_runs.NAME} is judged one query at a time anyway: leave --no-transductive out.")


def _named(config: EvaluateConfig, trained: Trained, result: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    tasks = trained.settings.tasks
    result |= {
        "algorithm": trained.settings.algorithm, "trained_on": tasks.dataset,
        "trained_way": tasks.way, "statistics": config.statistics, "checkpoint": config.checkpoint,
        "checkpoint_step": trained.step, "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    return _place(config, result, tasks, trained.facts), result


def _place(config: EvaluateConfig, result: Mapping[str, Any], tasks: Tasks, facts: Mapping[str, Any]) -> Path:
    """Where it is written; data of one name and different pictures have files of their own."""
    if config.output is not None:
        return Path(config.output)
    path = Path(config.run_dir) / file_name(result, tasks, facts, config.data.split)
    own = result.get("data_checksum")
    try:
        kept = folder.read_json(path) if path.exists() else {}
    except RunError:  # damaged: this one takes its place
        return path
    return path if kept.get("data_checksum", own) == own else path.with_stem(f"{path.stem}-{str(own)[:8]}")


def file_name(result: Mapping[str, Any], tasks: Tasks, facts: Mapping[str, Any], split: str | None = None) -> str:
    """Where an evaluation of a run is kept, so that one of other data, another split of those of the run or a `split`
    that was asked for, way and shot, part, statistics or view does not replace it: `evaluation-mnist28-10w5s.json`."""
    path, official = Path(folder.EVALUATION), result["dataset"] == omniglot_runs.NAME
    parts = [path.stem]
    if result.get("data_checksum") != facts["checksum"]:
        parts += [result["dataset"]] + [result["protocol"][:60]] * (split is not None)
    elif result["protocol"] != by_name(facts["protocol"]):
        parts.append(result["protocol"][:60])
    if not official and (result["way"], result["shot"]) != (tasks.way, tasks.shot):
        parts.append(f"{result['way']}w{result['shot']}s")
    if result["part"] != Data.part:
        parts.append(result["part"])
    if result.get("statistics", SUPPORT) != SUPPORT:
        parts.append(f"{result['statistics']}-statistics")
    if result.get("views", ONE) != ONE:
        parts.append(result["views"])
    return "-".join(re.sub(r"[^\w.=]+", "-", part) for part in parts) + path.suffix


def evaluate_group(config: EvaluateConfig, tell: Tell = lambda result: None) -> dict[str, Any]:
    """Evaluate each run of a group, and write a file as `evaluate` does in each and one of all in their folder.

    Returns:
        What was written in the folder: the members' numbers, and mean and interval over the seeds of each setting.
        Those that diverged in training are left out.

    Raises:
        RunError: as `evaluate`, or if no member has finished well.
        DataError: for data that are missing or damaged.
        OSError: if a file can't be written.
    """
    check(config)
    run_dir = Path(config.run_dir)
    settings, options, _ = load_group(AREA, run_dir)
    varied = {member: own.varied for member, own in members(settings, options).items()}
    diverged = {member: {"diverged_at": at} for member, at in keeping.known_to_diverge(run_dir).items()}
    evaluated = {
        member: _evaluated(dataclasses.replace(config, run_dir=str(run_dir / member), output=None))
        for member in varied
        if member not in diverged
    }
    if not evaluated:
        raise RunError(f"all runs of {run_dir} have diverged: train them again with smaller rates.")
    results, name = {member: found for member, (_, found) in evaluated.items()}, measured(settings.tasks)[0]
    numbers = {member: {key: own[key] for key in (name, "ci95", "checkpoint_step")} for member, own in results.items()}
    member, found = next(iter(results.items()))
    shared = {
        key: value
        for key, value in found.items()
        if not isinstance(value, float | list) and all(own.get(key) == value for own in results.values())
    }
    summary = {**shared, **statistics.summary(name, varied, {**numbers, **diverged})}
    facts = load_settings(run_dir / member)[1]
    tell(summary)
    for path, own in evaluated.values():
        write_json(path, own)
    write_json(_place(config, found, settings.tasks, facts), summary)
    return summary


def check(config: EvaluateConfig) -> None:
    """Refuse settings that no run could make sense of; the RunError names the setting."""
    flat.check(config)
    folder.check_output("--output", folder.EVALUATION if config.output is None else config.output, begins=b"{")


def _measure(
    config: EvaluateConfig, trained: Trained, sample: Sampler, *, way: int, steps: int, cheap: bool
) -> dict[str, Any]:
    tasks, batch = trained.settings.tasks, trained.settings.network.norm == "batch"
    name, metric = measured(tasks)
    classes, together = name == "accuracy", config.transductive or not batch
    predict, other_predict = (reading(each, config.views) for each in (together, not together))
    at, numbers = lambda k: trained.learner_of(k, way), step_numbers(steps, cheap)
    learner, other_name = trained.learner_of(steps, way), reading(not together).__name__
    metrics, key = {name: metric}, jax.random.key(config.seed)
    if classes:
        metrics |= {"precision": evaluation.precision, "recall": evaluation.recall}
    alone = classes and batch and (not together or cheap)
    # What needs no training stands beside it, but for trees of arrays and for tokens, which have no distance.
    seen = jax.eval_shape(sample, key).support.x
    floor = classes and isinstance(seen, jax.ShapeDtypeStruct) and not isinstance(trained.reader, Words)

    def judge(params: Params, episode: Episode) -> dict[str, Any]:
        judged = lambda learner, predict, params: metric(predict(learner, params, episode), episode.query)
        prediction = predict(learner, params, episode)
        found: dict[str, Any] = {key: of(prediction, episode.query) for key, of in metrics.items()}
        if alone:
            found[other_name] = judged(learner, other_predict, params)
        if floor:
            found["floor"] = judged(nearest(), evaluation.transductive, {})
        if numbers[:-1]:
            before = jnp.asarray(numbers[:-1], jnp.int32)
            found["before"] = evaluation.after_steps(at, metric, predict, before, params, episode)
        return found

    values = evaluation.of_each(
        Partial(judge, at_way(trained.params, tasks.way, way)), sample, key,
        episodes=config.episodes, chunk_size=eval_chunk_size(tasks),
    )  # fmt: skip
    after = [evaluation.summarize(each) for each in (*values.pop("before", np.zeros((0, 0))).T, values[name])]
    result: dict[str, Any] = {name: after[-1].mean, "ci95": after[-1].ci95, "episodes": config.episodes}
    result |= {other: float(np.mean(values[other])) for other in metrics if other != name}
    if classes:
        result["reading"] = "transductive" if together and batch else "inductive"
    for said in [said for said in values if said not in metrics]:
        beside = evaluation.summarize(values[said])
        result |= {f"{said}_accuracy": beside.mean, f"{said}_ci95": beside.ci95}
    result["steps"] = [{"inner_steps": k, name: s.mean, "ci95": s.ci95} for k, s in zip(numbers, after, strict=True)]
    # With them, two runs that met the same episodes are compared on each.
    result["values"] = [float(f"{value:.7g}") for value in values[name]]
    return result


def step_numbers(steps: int, cheap: bool = True) -> list[int]:
    """The inner steps to measure after, and fewer of them where they are many or not cheap, since each is taken from 0:
    up to ten are 65 steps in all, and 1, 2, 5 and 10 are 18."""
    if steps <= 10 and cheap:
        return list(range(steps + 1))
    some = (0, 1, 2, 3, 5, 8, 12, 20, 30, 50, 100, 200, 500) if cheap else (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)
    return [*(k for k in some if k < steps), steps]
