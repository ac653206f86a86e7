"""The loss that a learned rule comes to on new problems, beside tuned rules and, on quadratics, the best there is."""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.errors import RunError
from jmeta.optimizers import catalog, exact, experiment
from jmeta.optimizers.evaluation import BASELINES, Curves, curves, tuned
from jmeta.optimizers.settings import Settings
from jmeta.report.files import write_json
from jmeta.report.statistics import interval, paired
from jmeta.report.tables import markdown, plus_minus
from jmeta.runs.engine import folder
from jmeta.runs.engine.devices import check_number, enough_memory
from jmeta.runs.engine.progress import say
from jmeta.runs.optimizers.trained import load_trained
from jmeta.settings import check, flag, names, replaced, setting

TEST_KEY, TUNING_KEY = 40_000, 50_000
OTHER = ("dataset", "features", "activation", "way", "batch_size", "dimension", "kappa")
"""What evaluation may change of a problem."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Optimize new problems by the learned rule, and by gradient descent, momentum and Adam, each at the best of ten
    rates on other problems of the same kind; report the final loss, and its difference to the rule's with a paired 95 %
    interval, in evaluation.json.

    Attributes:
        run_dir: the folder of a run of `jmeta optimizers train`.
        problems: how many, the same for all.
        tuning_problems: how many rates are chosen by.
        inner_steps: on each problem; otherwise the run's.
        dataset: another than the run's, where it learned from one.
        features: other units of the networks that are optimized.
        activation: another of these networks.
        way: other classes of a problem.
        batch_size: other examples of a step.
        dimension: another of quadratics.
        kappa: another of quadratics.
        checkpoint: best (by validation) or newest.
        data_dir: the folder of data sets; otherwise the run's.
    """

    run_dir: str
    problems: int = setting(64, least=2)
    tuning_problems: int = setting(16, least=2)
    inner_steps: int | None = setting(None, least=1)
    dataset: str | None = None
    features: tuple[int, ...] | None = setting(None, least=1)
    activation: str | None = setting(None)
    way: int | None = setting(None, least=2)
    batch_size: int | None = setting(None, least=1)
    dimension: int | None = setting(None, least=1)
    kappa: float | None = setting(None, above=1)
    checkpoint: str = setting("best", choices=("best", "newest"))
    data_dir: str | None = None


def target(config: Config, settings: Settings) -> Settings:
    """The run's settings with the problem that it is evaluated on; RunError for what that does not have."""
    changes = {name: getattr(config, name) for name in OTHER if getattr(config, name) is not None}
    own = names(settings.problems)
    for name in changes:
        if name not in own:
            raise RunError(f"{flag(name)} is nothing that {settings.problem} can be told: leave it out.")
    if config.inner_steps is not None:
        settings = replaced(settings, {"inner_steps": config.inner_steps})
    changed = replaced(settings, changes)
    check(changed)
    return changed


def measured(settings: Settings, theta: Any, problems: int, tuning: int) -> dict[str, tuple[Curves, float | None]]:
    """`Curves` by rule, and the rate that was chosen."""
    problem, rule = experiment.load_data(settings.problem, settings.problems).problem, experiment.rule_of(settings)
    steps = settings.unrolled.inner_steps
    keys, others = (jax.random.split(jax.random.key(k), n) for k, n in ((TEST_KEY, problems), (TUNING_KEY, tuning)))
    found: dict[str, tuple[Curves, float | None]] = {
        "learned": (curves(rule.make, theta, problem, keys, steps=steps), None)
    }
    for name, (make, rates) in BASELINES.items():
        best = tuned(make, rates, problem, others, steps=steps)
        found[name] = curves(make, jnp.float32(best.rate), problem, keys, steps=steps), best.rate
        say(f"{name}: the best of {len(rates)} rates is {best.rate:.3g}")
    return found


def known(settings: Settings) -> dict[str, list[float]]:
    """Where the problem is quadratic, the mean loss after each step of the best constant rate for so many steps, and
    the least of any fixed linear method, a curve each."""
    row, steps = catalog.PROBLEMS.get(settings.problem), settings.unrolled.inner_steps
    if row.spectrum is None:
        return {}
    spectrum = row.spectrum(settings.problems)
    rate, _ = exact.best_constant(spectrum, steps)
    constant = [float(spectrum.weights @ (1 - rate * spectrum.points) ** (2 * t)) for t in range(steps + 1)]
    return {"best constant rate": constant, "best fixed linear method": exact.best_losses(spectrum, steps).tolist()}


def summary(found: dict[str, tuple[Curves, float | None]]) -> dict[str, dict[str, Any]]:
    """By rule: the mean final loss with its interval, that of its difference to the learned one, and the mean curve."""
    mine, rows = found["learned"][0].final, {}
    for name, (own, rate) in found.items():
        mean, ci95 = interval(own.final)
        above, above_ci95 = paired(own.final, mine)
        rows[name] = {
            "final": mean, "ci95": ci95, "above_learned": above, "above_learned_ci95": above_ci95, "rate": rate,
            "curve": own.losses.mean(axis=0).tolist(),
        }  # fmt: skip
    return rows


def table(rows: dict[str, dict[str, Any]], exactly: dict[str, list[float]], title: str) -> str:
    """Of `summary` and `known`, in Markdown."""
    cells = []
    for name, row in rows.items():
        above = (
            "" if name == "learned" else plus_minus(row["above_learned"], row["above_learned_ci95"], digits=4, sign="+")
        )
        rate = "" if row["rate"] is None else f"{row['rate']:.3g}"
        cells.append(
            (name, rate, plus_minus(row["final"], row["ci95"], digits=4), f"{np.log10(row['final']):.3f}", above)
        )
    for name, curve in exactly.items():
        cells.append((f"{name}, exact", "", f"{curve[-1]:.4f}", f"{np.log10(curve[-1]):.3f}", ""))
    return markdown((title, "rate", "final loss", "log10", "above the learned rule"), cells)


def verdict(rows: dict[str, dict[str, Any]]) -> str:
    """Where the learned rule is better or worse by more than the interval."""
    others = {name: row for name, row in rows.items() if name != "learned"}
    beyond = lambda row, sign: sign * row["above_learned"] > (row["above_learned_ci95"] or np.inf)
    wins, loses = ([name for name, row in others.items() if beyond(row, sign)] for sign in (1, -1))
    said = [f"{word} {', '.join(some)}" for word, some in (("beats", wins), ("loses to", loses)) if some]
    return f"The learned rule {' and '.join(said)}, each tuned on this problem." if said else "None is clearly better."


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    trained = load_trained(Path(config.run_dir), config.checkpoint, data_dir=config.data_dir)
    settings = target(config, trained.settings)
    check_number(config.problems, "--problems")
    with enough_memory("a problem doesn't fit into the device's memory: take smaller ones."):
        rows = summary(measured(settings, trained.theta, config.problems, config.tuning_problems))
    exactly, steps = known(settings), settings.unrolled.inner_steps
    result = {
        "rows": rows, "exact": exactly, "problems": config.problems, "inner_steps": steps,
        "checkpoint": config.checkpoint, "step": trained.step, "problem": settings.problem,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    print(table(rows, exactly, f"{config.problems} new problems, {steps} steps"), end="")
    print(f"\n{verdict(rows)}")
    write_json(Path(config.run_dir) / folder.EVALUATION, result)
    return result
