"""How good a trained join is on problems of new groups, with its joint steps and without."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import jax
from jax import Array
from jax.tree_util import Partial

from jmeta.errors import RunError
from jmeta.mtl import experiment, join
from jmeta.mtl.settings import Settings
from jmeta.report.files import write_json
from jmeta.report.statistics import crossed
from jmeta.report.tables import markdown, percent
from jmeta.runs.engine import folder, record
from jmeta.runs.engine.devices import check_number, enough_memory
from jmeta.runs.mtl import kept
from jmeta.runs.mtl.trained import load_trained
from jmeta.settings import check, setting
from jmeta.types import Batch, Episode, Learner, Params


@dataclasses.dataclass(frozen=True)
class Config:
    """Adapt to new problems and report the mean accuracy, with its 95 % interval, in evaluation.json.

    Attributes:
        run_dir: the folder of a run of `jmeta mtl train`, or of a group of runs, whose seeds are put together.
        problems: how many, the same for all runs.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    problems: int = setting(500, least=2)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def readings(settings: Settings) -> dict[str, Learner]:
    """The join as it was trained, without its joint steps, and with each task of a problem trained on alone."""
    whole = experiment.trained_learner(settings)
    without = dataclasses.replace(settings, joint=dataclasses.replace(settings.joint, joint_steps=0))
    return {
        "": whole,
        "without joint steps": experiment.trained_learner(without),
        "each task trained on alone": alone(whole),
    }


def alone(learner: Learner) -> Learner:
    """A joined learner that is given each task of a problem as a problem of its own: joint steps without company."""

    def adapt(params: Params, support: Batch) -> Any:
        each = jax.tree.map(lambda a: a[:, None], support)
        return jax.tree.map(lambda a: a[:, 0], jax.vmap(learner.adapt, in_axes=(None, 0))(params, each))

    return learner._replace(adapt=adapt)


def tested(learner: Learner, params: Params, sample: Partial, problems: int) -> list[float]:
    """Accuracy on each test problem, in one order for all that are compared."""

    def predict(params: Params, problem: Episode) -> Array:
        return learner.predict(learner.adapt(params, problem.support), problem.query.x)

    check_number(problems, "--problems")
    with enough_memory("a problem doesn't fit into the device's memory: train with fewer --tasks."):
        found = join.evaluate_problems(Partial(predict, params), sample, experiment.test_key(), problems=problems)
    return found.accuracy.tolist()


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    run_dir = Path(config.run_dir)
    stored = record.load_any(run_dir)
    if stored is not None and stored.kind == kept.KIND:
        raise RunError(
            f"{run_dir} was trained on a table, and measured then, as {run_dir / folder.EVALUATION} has it: "
            "predict other rows by jmeta mtl predict."
        )
    names = record.members_of(run_dir) if (run_dir / folder.GROUP).exists() else [""]
    each = {name: _accuracies(run_dir / name, config) for name in names}
    rows = {}
    for name in next(iter(each.values())):
        accuracy, ci95 = crossed([own[name] for own in each.values()])
        rows[name or "the join"] = {"accuracy": accuracy, "ci95": ci95}
    result = {
        "rows": rows, "problems": config.problems, "runs": len(each), "checkpoint": config.checkpoint,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    cells = [(name, percent(row["accuracy"], row["ci95"])) for name, row in rows.items()]
    print(markdown((f"{config.problems} new problems", "accuracy, %"), cells))
    write_json(run_dir / folder.EVALUATION, result)
    return result


def _accuracies(run_dir: Path, config: Config) -> dict[str, list[float]]:
    """By reading, the accuracy on each problem of one run."""
    settings, data, _, params = load_trained(run_dir, config.checkpoint, data_dir=config.data_dir)
    return {name: tested(learner, params, data.test, config.problems) for name, learner in readings(settings).items()}
