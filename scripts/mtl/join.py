"""Does the join of meta-learning and multi-task learning pay? Problems of binary tasks, each from one alphabet.

A problem is a few binary tasks, which of two characters is it, of one alphabet that training has not met, with a few
examples of each. Compared on the same problems, with the same network and the same training problems: multi-task
learning without meta-training, meta-learning a task at a time, and the join: meta-training through joint steps, then
the new problem's tasks are trained on jointly.

    python -m scripts.mtl.join --outer-steps 1000 --problems 200 --scratch-problems 40
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import evaluation, nets
from jmeta.errors import RunError
from jmeta.mtl import experiment, join
from jmeta.mtl.models import SharedParams, hard_sharing
from jmeta.mtl.settings import Choice, Settings, check, defaults
from jmeta.mtl.tasks import predictions, task_losses
from jmeta.mtl.training import init_state, make_step
from jmeta.mtl.weightings import uniform
from jmeta.nets import catalog
from jmeta.report.statistics import crossed
from jmeta.report.tables import percent
from jmeta.runs.engine.area import train
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import shown
from jmeta.runs.engine.words import read_words
from jmeta.runs.mtl import AREA
from jmeta.runs.mtl.evaluate import readings, tested
from jmeta.settings import replaced, setting
from jmeta.types import Episode, Params
from scripts.study import Rows, Shown, Study, markdown, program, trained

SCRATCH, ALONE, JOIN = "multi-task learning, no meta-training", "a task at a time", "the join"


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        settings: of meta-training, as in `jmeta mtl train`.
        scratch_steps: candidates for the length of multi-task learning without meta-training, chosen on validation
            problems of the training alphabets.
        problems: in the test.
        scratch_problems: the first of them, on which multi-task learning without meta-training, which is slow, is
            tested; half as many choose its length.
        seeds: an independent meta-training for each.
        run_dir: the folder for results.json, table.md and the runs.
    """

    settings: Any
    scratch_steps: tuple[int, ...] = setting((10, 30, 100, 300), least=1)
    problems: int = setting(500, least=2)
    scratch_problems: int = setting(100, least=2)
    seeds: tuple[int, ...] = setting((0,), least=0, place=True)
    run_dir: str = setting("runs/join", place=True)


def start(words: Sequence[str]) -> Config:
    """The defaults of the meta-learner that the words of a command line name."""
    choice, _ = read_words(Choice, words, prog="python -m scripts.mtl.join", return_unknown_args=True, add_help=False)
    return Config(defaults(choice))


def meta_trained(settings: Settings, seed: int, run_dir: Path, name: str) -> Params:
    """Parameters after meta-training in a run folder, which a second start goes on with."""
    options = Options(str(run_dir), resume=run_dir.is_dir(), seed=seed, log_every=100, save_every=1000)
    return trained(partial(train, AREA, settings, options), shown(name)).params


def from_scratch(settings: Settings, sample: Partial, key: Array, steps: int, problems: int) -> evaluation.Evaluation:
    """Multi-task learning alone: a trunk and heads that start at random, trained on the few examples of a problem."""
    encoder, tasks = catalog.encoder(settings.network), settings.problems.tasks
    model = hard_sharing(encoder, nets.MLP(features=(), out=2), tasks=tasks)
    optimizer = optax.adam(1e-3)
    step = make_step(task_losses(model), optimizer, weighting=uniform())

    def predict(problem: Episode) -> Array:
        first = model.init(jax.random.key(0), problem.support.x[0])
        state = init_state(first, optimizer, jax.random.key(1), tasks=tasks)
        state, _ = jax.lax.scan(lambda state, _: step(state, problem.support), state, None, length=steps)
        params: SharedParams = state.params
        return predictions(model, params, problem.query)

    return join.evaluate_problems(predict, sample, key, problems=problems)


def study(config: Config) -> Study:
    """A row without meta-training, and two for each seed: accuracies of the test problems, by what was done before.

    Raises:
        RunError: for settings that make no problems.
        DataError: for data that are missing or damaged.
    """
    check(config.settings)
    if not config.seeds or not config.scratch_steps:
        raise RunError("there must be a seed and a length of --scratch-steps or more: give at least one of each.")
    data = experiment.load_data(config.settings.problems)
    rows: dict[str, Any] = {SCRATCH: partial(scratch, config, data)}
    for seed in config.seeds:
        rows[f"{ALONE}, seed {seed}"] = partial(alone, config, seed, data)
        rows[f"{JOIN}, seed {seed}"] = partial(joined, config, seed, data)
    return Study(rows, partial(show, config), data.facts)


def alone(config: Config, seed: int, data: experiment.Data, rows: Rows) -> dict[str, list[float]]:
    """Of meta-learning a task at a time, and of joint steps after it."""
    own = replaced(config.settings, {"joint_steps": 0})
    params = meta_trained(own, seed, Path(config.run_dir) / f"alone-seed{seed}", ALONE)
    learners = {ALONE: own, f"{ALONE}, then joint steps": config.settings}
    return {
        name: tested(experiment.trained_learner(settings), params, data.test, config.problems)
        for name, settings in learners.items()
    }


def joined(config: Config, seed: int, data: experiment.Data, rows: Rows) -> dict[str, list[float]]:
    """Of the join, and of what it has learned without its joint steps or the company of other tasks."""
    params = meta_trained(config.settings, seed, Path(config.run_dir) / f"join-seed{seed}", JOIN)
    return {
        JOIN + (f", {name}" if name else ""): tested(learner, params, data.test, config.problems)
        for name, learner in readings(config.settings).items()
    }


def scratch(config: Config, data: experiment.Data, rows: Rows) -> dict[str, Any]:
    """Of multi-task learning alone, as long as serves best on problems of the training alphabets."""
    few = max(config.scratch_problems // 2, 1)
    by_steps = {
        steps: from_scratch(config.settings, data.training, jax.random.key(10_000), steps, few).mean
        for steps in config.scratch_steps
    }
    best = max(by_steps, key=lambda steps: by_steps[steps])
    problems = min(config.scratch_problems, config.problems)
    found = from_scratch(config.settings, data.test, experiment.test_key(), best, problems)
    return {"accuracy": found.accuracy.tolist(), "steps": best, "validation": by_steps}


def show(config: Config, rows: Rows) -> Shown:
    """Accuracies of seeds crossed with problems, with paired differences from meta-learning a task at a time."""
    values = {SCRATCH: np.array([rows[SCRATCH]["accuracy"]])}
    for kind in (ALONE, JOIN):
        each = [rows[f"{kind}, seed {seed}"] for seed in config.seeds]
        values |= {name: np.array([row[name] for row in each]) for name in each[0]}
    lines = []
    for name, own in values.items():
        # Without meta-training there are fewer problems and no seeds.
        less = crossed(own - values[ALONE][:, : own.shape[1]])
        paired = "-" if name == ALONE else percent(*less, sign="+")
        lines.append([name, percent(*crossed(own)), paired])
    return Shown(markdown(["on a new problem", "accuracy, %", "minus a task at a time, paired"], lines))


if __name__ == "__main__":
    program("mtl.join", Config, study, start=start)
