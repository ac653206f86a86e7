"""Does the join of meta-learning and multi-task learning pay? Problems of binary tasks, each from one alphabet.

A problem is a few binary tasks, which of two characters is it, of one alphabet that training has not met, with a few
examples of each. Compared on the same problems, with the same network and the same training problems: multi-task
learning without meta-training, meta-learning a task at a time, and the join: meta-training through joint steps, then
the new problem's tasks are trained on jointly.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import tyro
from jax import Array
from jax.tree_util import Partial
from rich.console import Console
from rich.progress import track

from jmeta import evaluation, nets
from jmeta.errors import RunError
from jmeta.mtl import experiment, join
from jmeta.mtl.models import SharedParams, hard_sharing
from jmeta.mtl.settings import Choice, Settings, check, defaults
from jmeta.mtl.tasks import predictions, task_losses
from jmeta.mtl.training import init_state, make_step
from jmeta.mtl.weightings import uniform
from jmeta.nets import catalog
from jmeta.report.files import write_json, write_text
from jmeta.report.statistics import crossed
from jmeta.report.tables import markdown, percent
from jmeta.runs.engine import progress
from jmeta.runs.engine.area import train
from jmeta.runs.engine.folder import read_json
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.signals import asked_to_stop
from jmeta.runs.mtl import AREA
from jmeta.runs.mtl.evaluate import readings, tested
from jmeta.settings import check as check_values
from jmeta.settings import replaced, setting, to_dict
from jmeta.types import Episode, Params

RESULT, TABLE = "join.json", "join.md"
ROW, JOIN = "a task at a time", "the join"


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
        run_dir: the folder for results and runs, kept after each row; started again, it goes on.
    """

    settings: Any
    scratch_steps: tuple[int, ...] = setting((10, 30, 100, 300), least=1)
    problems: int = setting(500, least=2)
    scratch_problems: int = setting(100, least=2)
    seeds: tuple[int, ...] = setting((0,), least=0)
    run_dir: str = "runs/join"


def start(words: Sequence[str]) -> Config:
    """The defaults of the meta-learner that the words of a command line name."""
    choice, _ = tyro.cli(Choice, args=list(words), return_unknown_args=True, add_help=False)
    return Config(defaults(choice))


def meta_trained(settings: Settings, seed: int, run_dir: Path, name: str) -> Params:
    """Parameters after meta-training in a run folder, which a second start goes on with."""
    options = Options(str(run_dir), resume=True, seed=seed, log_every=100, save_every=1000)
    with asked_to_stop() as stop, progress.shown(name) as report:
        result = train(AREA, settings, options, report=report, stop=stop)
    if result.stopped_by is not None:
        progress.complain(f"stopped and saved at step {result.step} of {name}: the same command goes on.")
        raise SystemExit(128 + result.stopped_by)
    return result.params


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


def rows_of(config: Config, seed: int, data: experiment.Data, done: dict[str, Any]) -> dict[str, Any]:
    """Every row of one seed: accuracies of the test problems, computed if they are not there."""
    rows, own = dict(done), config.settings
    alone = replaced(own, {"joint_steps": 0})
    if ROW not in rows:
        params = meta_trained(alone, seed, Path(config.run_dir) / f"alone-seed{seed}", ROW)
        rows[ROW] = tested(experiment.trained_learner(alone), params, data.test, config.problems)
        rows[f"{ROW}, then joint steps"] = tested(experiment.trained_learner(own), params, data.test, config.problems)
    if JOIN not in rows:
        params = meta_trained(own, seed, Path(config.run_dir) / f"join-seed{seed}", JOIN)
        for name, learner in readings(own).items():
            rows[JOIN + (f", {name}" if name else "")] = tested(learner, params, data.test, config.problems)
    return rows


def scratch_row(config: Config, data: experiment.Data) -> dict[str, Any]:
    """Multi-task learning alone, as long as serves best on problems of the training alphabets."""
    few = max(config.scratch_problems // 2, 1)
    by_steps = {
        steps: from_scratch(config.settings, data.training, jax.random.key(10_000), steps, few).mean
        for steps in track(config.scratch_steps, description="multi-task alone", console=Console(stderr=True))
    }
    best = max(by_steps, key=lambda steps: by_steps[steps])
    problems = min(config.scratch_problems, config.problems)
    found = from_scratch(config.settings, data.test, experiment.test_key(), best, problems)
    return {"accuracy": found.accuracy.tolist(), "steps": best, "validation": by_steps}


def table_of(result: dict[str, Any]) -> str:
    """The table, with paired differences from meta-learning a task at a time; seeds are crossed with problems."""
    seeds = list(result["seeds"].values())
    base, scratch = np.array([rows[ROW] for rows in seeds]), np.array([result["scratch"]["accuracy"]])
    values = {"multi-task learning, no meta-training": scratch}
    values |= {name: np.array([rows[name] for rows in seeds]) for name in seeds[0]}
    lines = []
    for name, each in values.items():
        less = crossed(each - base[:, : each.shape[1]])
        lines.append((name, percent(*crossed(each)), "-" if name == ROW else percent(*less, sign="+")))
    return markdown(("on a new problem", "accuracy, %", f"minus {ROW}, paired"), lines)


def main(config: Config) -> dict[str, Any]:
    """Train, test, and write the table; what is there from before is kept.

    Returns:
        What join.json has.

    Raises:
        RunError: for settings that make no problems, or a folder of other settings.
        DataError: for data that are missing or damaged.
    """
    check_values(config)
    check(config.settings)
    if not config.seeds or not config.scratch_steps:
        raise RunError("there must be a seed and a length of --scratch-steps or more: give at least one of each.")
    folder = Path(config.run_dir)
    own = {name: v for name, v in to_dict(config).items() if name not in ("seeds", "run_dir", "data_dir")}
    result: dict[str, Any] = {"config": own, "seeds": {}}
    if (folder / RESULT).exists():
        result = read_json(folder / RESULT)
        if result["config"] != own:
            raise RunError(f"{folder} has results of other settings: choose another --run-dir.")
    data = experiment.load_data(config.settings.problems)
    folder.mkdir(parents=True, exist_ok=True)
    if "scratch" not in result:
        result["scratch"] = scratch_row(config, data)
        write_json(folder / RESULT, result)
    for seed in config.seeds:
        result["seeds"][str(seed)] = rows_of(config, seed, data, result["seeds"].get(str(seed), {}))
        write_json(folder / RESULT, result)
    wanted = {str(seed) for seed in config.seeds}
    table = table_of({**result, "seeds": {s: rows for s, rows in result["seeds"].items() if s in wanted}})
    write_text(folder / TABLE, table)
    print(table)
    return result
