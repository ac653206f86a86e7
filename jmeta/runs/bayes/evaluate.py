"""How good a run's predictions are, and how well it knows that, on new tasks: uncertainty.json."""

import dataclasses
import datetime
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial

from jmeta import evaluation, uncertainty
from jmeta.bayes.catalog import EVIDENCE
from jmeta.bayes.exact_waves import wave_posterior
from jmeta.bayes.joint import joint_log_likelihood
from jmeta.distributions import Normal
from jmeta.episodes import Sampler
from jmeta.errors import RunError
from jmeta.loop import as_partial, mapped
from jmeta.report.files import write_json
from jmeta.report.statistics import interval
from jmeta.report.tables import markdown, plus_minus
from jmeta.runs.few_shot.evaluate import PARTS
from jmeta.runs.few_shot.experiment import check_fits, eval_chunk_size
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.trained import Trained, load_trained
from jmeta.runs.few_shot.transfer import show
from jmeta.settings import check, setting
from jmeta.tasks import catalog as sources
from jmeta.tasks.waves import SINUSOID_E, SINUSOID_H, Waves
from jmeta.types import Episode, Learner, Params

RESULT = "uncertainty.json"
OPTIMA: Mapping[str, Waves] = {"sinusoid-e": SINUSOID_E, "sinusoid-h": SINUSOID_H}
"""Families of which the best answer can be computed."""
MOST_EXACT = 100
"""Episodes that it is computed for: it takes longer than a learner does."""
NAMES = {
    "rmse": "root mean squared error",
    "log_density": "log-likelihood, nats a target",
    "joint": "joint log-likelihood, nats a target",
    "accuracy": "accuracy",
    "log_likelihood": "log-likelihood of the label, nats",
    "foreign_auroc": "AUROC of queries of foreign classes",
}
"""What is measured of each episode."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Adapt to many new tasks and report, with 95 % intervals, in uncertainty.json: of numbers the log-likelihood in
    nats a target, by itself and, where the learner knows it, of all queries jointly; the root mean squared error; and
    how far the intervals it predicts are from holding what they are to hold. Of classes the log-likelihood of the
    label, the calibration error, and how well the largest logit tells queries of classes that it was not told of.
    Beside both calibration errors is their floor, which chance alone gives to perfect predictions.

    Attributes:
        run_dir: the folder of a run of `jmeta bayes train`, or of `jmeta train` where tasks have classes.
        episodes: how many tasks; those of a seed are the same for every run.
        way: classes in an episode; otherwise as trained.
        shot: support examples, of each class; otherwise as trained.
        query_shot: queries, of each class; otherwise as trained.
        dataset: other data than it was trained on, by name or path, where tasks have classes.
        part: test, val or train.
        checkpoint: best (by validation) or newest.
        seed: decides the episodes.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    episodes: int = setting(600, least=2)
    way: int | None = setting(None, least=1)
    shot: int | None = setting(None, least=1)
    query_shot: int | None = setting(None, least=1)
    dataset: str | None = None
    part: str = setting("test", choices=PARTS)
    checkpoint: str = setting("best", choices=("best", "newest"))
    seed: int = setting(0, least=0)
    data_dir: str | None = None


class Asked(NamedTuple):
    """A trained learner and what it is asked: its function and parameters for the way of the episodes, their sampler,
    one of twice as many classes or None, and what they are of."""

    trained: Trained
    learner: Learner
    params: Params
    sample: Sampler
    doubled: Sampler | None
    about: dict[str, Any]

    @property
    def numbers(self) -> bool:
        """Whether targets are numbers."""
        return sources.row(self.trained.settings.tasks.dataset).numbers


def asked(config: Config) -> Asked:
    """Load what is evaluated; RunError for a run that can't be, or episodes that there are not."""
    check(config)
    trained = load_trained(config.run_dir, config.checkpoint)
    tasks, problem, seen = show(trained, config.dataset, part=config.part, data_dir=config.data_dir)
    way, shot, query = config.way or tasks.way, config.shot or tasks.shot, config.query_shot or tasks.query_shot
    if sources.row(tasks.dataset).way not in (None, way):
        raise RunError(f"{tasks.dataset} has tasks of one way, {tasks.way}, got --way {way}: leave it out.")
    if not problem.numbers and way < 2:
        raise RunError(f"--way must be 2 or more classes to tell apart, got {way}: choose another.")
    check_fits(problem, min(eval_chunk_size(tasks), config.episodes), 2 * way, shot, query, keys=config.episodes)
    sample, doubled = problem.sampler(config.part, way, shot, query), None
    if problem.dataset is not None:
        try:
            doubled = problem.sampler(config.part, 2 * way, shot, query)
        except RunError:  # of too few classes
            doubled = None
    about = {
        "algorithm": trained.settings.algorithm, "dataset": problem.name, "part": config.part, "way": way, "shot": shot,
        "query_shot": query, "seen_classes": seen, "checkpoint": config.checkpoint, "checkpoint_step": trained.step,
    }  # fmt: skip
    params = at_way(trained.params, trained.settings.tasks.way, way)
    return Asked(trained, trained.learner_of(trained.inner_steps, way), params, sample, doubled, about)


def check_distribution(asked: Asked) -> None:
    """RunError for a learner of numbers that predicts no distribution."""
    support, query = jax.eval_shape(asked.sample, jax.random.key(0))
    found = jax.eval_shape(
        lambda params, support, x: asked.learner.predict(asked.learner.adapt(params, support), x),
        asked.params, support, query.x,
    )  # fmt: skip
    if not isinstance(found, Normal):
        name = asked.trained.settings.algorithm
        raise RunError(f"{name} predicts numbers and not how sure they are: jmeta evaluate has their error.")


def measured(asked: Asked, *, episodes: int, seed: int) -> dict[str, Any]:
    """`mean` and `ci95` over episodes by `NAMES`, the counts of calibration, and their error and its floor."""
    judge: Callable[..., Any] = _of_numbers if asked.numbers else _of_classes
    size, key = eval_chunk_size(asked.trained.settings.tasks), jax.random.key(seed)
    learner = jax.tree.map(as_partial, asked.learner, is_leaf=callable)
    one = Partial(partial(judge, asked.trained.settings.algorithm), learner, asked.params)
    found = evaluation.of_each(one, asked.sample, key, episodes=episodes, chunk_size=size)
    counts = found.pop("counts").sum(axis=0)
    if asked.doubled is not None and not asked.numbers:
        foreign = Partial(uncertainty.foreign_auroc, learner, asked.params)
        found["foreign_auroc"] = evaluation.of_each(foreign, asked.doubled, key, episodes=episodes, chunk_size=size)
    kind = "coverage" if asked.numbers else "calibration"
    error, floor = (getattr(uncertainty, f"{kind}_{what}")(counts) for what in ("error", "floor"))
    rows = {name: dict(zip(("mean", "ci95"), interval(values), strict=True)) for name, values in found.items()}
    return {"rows": rows, "kind": kind, "counts": counts.tolist(), "error": error, "floor": floor}


def _of_numbers(name: str, learner: Learner, params: Params, episode: Episode) -> dict[str, Any]:
    prediction: Any = evaluation.transductive(learner, params, episode)
    query = episode.query
    found = {
        "rmse": uncertainty.root_mean_squared_error(prediction, query),
        "log_density": uncertainty.log_density(prediction, query),
        "counts": uncertainty.coverage(prediction, query),
    }
    if name in EVIDENCE:
        found["joint"] = joint_log_likelihood(learner, EVIDENCE[name], params, episode)
    return found


def _of_classes(name: str, learner: Learner, params: Params, episode: Episode) -> dict[str, Any]:
    prediction, query = evaluation.transductive(learner, params, episode), episode.query
    return {
        "accuracy": evaluation.accuracy(prediction, query),
        "log_likelihood": uncertainty.log_likelihood(prediction, query),
        "counts": uncertainty.calibration(prediction, query),
    }


def best(asked: Asked, *, episodes: int, seed: int) -> dict[str, Any]:
    """What the best learner reaches on the first of the episodes, of families that it is known of; else nothing."""
    waves = OPTIMA.get(asked.about["dataset"])
    if waves is None:
        return {}
    keys = jax.random.split(jax.random.key(seed), episodes)[:MOST_EXACT]
    found = mapped(Partial(lambda key: wave_posterior(waves, asked.sample(key))), keys)
    return {name: dict(zip(("mean", "ci95"), interval(values), strict=True)) for name, values in found.items()}


def table(result: Mapping[str, Any]) -> str:
    """What was measured, and the best possible where it is known."""
    exact = result["best"]
    percent = lambda name, row: (
        plus_minus(100 * row["mean"], 100 * row["ci95"], digits=1) + " %"
        if name in ("accuracy", "foreign_auroc")
        else plus_minus(row["mean"], row["ci95"], digits=3)
    )
    of = lambda name: percent(name, exact[name]) if name in exact else ""
    rows = {name: result["rows"][name] for name in NAMES if name in result["rows"]}
    lines = [(NAMES[name], percent(name, row), *([of(name)] if exact else [])) for name, row in rows.items()]
    what = "intervals, off what they are to hold" if result["kind"] == "coverage" else "calibration error"
    said = f"{100 * result['error']:.1f} % (floor {100 * result['floor']:.1f})"
    lines.append((what, said, *([""] if exact else [])))
    size = f"{result['shot']}-shot" if result["kind"] == "coverage" else f"{result['way']}-way {result['shot']}-shot"
    title = f"{result['algorithm']} on {result['dataset']} ({result['part']}), {size}"
    return markdown((title, f"{result['episodes']} tasks", *(["best possible"] if exact else [])), lines)


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write uncertainty.json."""
    asked_for = asked(config)
    if asked_for.numbers:
        check_distribution(asked_for)
    sizes = {"episodes": config.episodes, "seed": config.seed}
    result = {
        **asked_for.about, **measured(asked_for, **sizes), "best": best(asked_for, **sizes), **sizes,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(table(result), end="")
    if result["seen_classes"]:
        print(f"{result['seen_classes']} of these classes were trained on: this is no measure of new ones")
    write_json(Path(config.run_dir) / RESULT, result)
    return result
