"""`jmeta mtl school`: does what schools have in common help to predict examination scores?"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.console import Console
from rich.progress import Progress

from jmeta.errors import RunError
from jmeta.mtl.relatedness import (
    correlations,
    covariance_of,
    draw_heatmap,
    explained_variance,
    fold_numbers,
    group_tasks,
    held_out_errors,
    pooled_ridge,
    task_covariance,
    task_ridge,
)
from jmeta.mtl.school import School, load_school
from jmeta.report.figures import figure_maker
from jmeta.report.statistics import over_seeds, plus_minus
from jmeta.runs.engine import folder

TEST_FOLDS = 4
"""A quarter of each school's pupils is for testing."""
RIDGES = tuple(10.0**k for k in np.arange(-4, 0.5, 0.5))
LEARNED_RIDGES = (0.0, 1e-4, 1e-3, 1e-2)
RELATIONS = tuple(10.0**k for k in np.arange(-4, 0.5, 0.5))
FIRST = "per-school ridge"
"""What the others are compared with."""
LEARNED = "learned relatedness"


@dataclasses.dataclass(frozen=True)
class Config:
    """Predict examination scores in 139 schools: each by itself, all as one, or with relatedness that is learned.

    Attributes:
        run_dir: where table.md, results.json and correlations.png are kept.
        data_dir: the folder with school.mat; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        splits: how often three quarters of each school's pupils are drawn for training, and the rest for testing; the
            same for all methods.
        folds: parts of the training pupils, by which penalties are chosen in cross-validation, one for all schools.
        iterations: steps in weights and relatedness.
        groups: that schools are put in, for the picture of their correlations.
        seed: decides the splits.
        draw: draw the picture, which needs matplotlib.
    """

    run_dir: str = "runs/mtl-school"
    data_dir: str | None = None
    splits: int = 5
    folds: int = 5
    iterations: int = 20
    groups: int = 6
    seed: int = 0
    draw: bool = True


class Method(NamedTuple):
    """A way to fit all schools.

    Attributes:
        fit: `(x, y, *, weight, **penalties) -> [T, D]`.
        grid: `{penalty: [P]}`, that are tried.
        fixed: `{penalty: number}`, of an earlier study, for comparison.
    """

    fit: Callable[..., Array]
    grid: Mapping[str, np.ndarray]
    fixed: Mapping[str, float]


def methods(iterations: int) -> dict[str, Method]:
    """Those that are compared, by name."""

    def pooled(x: Array, y: Array, *, weight: Array, ridge: Any) -> Array:
        return jnp.broadcast_to(pooled_ridge(x, y, ridge=ridge, weight=weight), (x.shape[0], x.shape[2]))

    def learned(x: Array, y: Array, *, weight: Array, ridge: Any, relation: Any) -> Array:
        return task_covariance(x, y, ridge=ridge, relation=relation, weight=weight, iterations=iterations).weights

    ridges = np.asarray(RIDGES, np.float32)
    pairs = np.array([(a, b) for a in LEARNED_RIDGES for b in RELATIONS], np.float32)
    return {
        FIRST: Method(task_ridge, {"ridge": ridges}, {"ridge": 0.03}),
        "pooled ridge": Method(pooled, {"ridge": ridges}, {"ridge": 0.03}),
        LEARNED: Method(
            learned, {"ridge": pairs[:, 0], "relation": pairs[:, 1]}, {"ridge": 1e-3, "relation": 3e-3}
        ),
    }  # fmt: skip


def main(config: Config) -> dict[str, Any]:
    """Run it, and keep a table, the numbers and a picture.

    Returns:
        What is in results.json.

    Raises:
        RunError: for settings that can't be, or without matplotlib.
        DataError: if the data are missing or damaged.
        OSError: if a file can't be written.
    """
    _check(config)
    school = load_school(config.data_dir)
    place = Path(config.run_dir)
    place.mkdir(parents=True, exist_ok=True)
    splits, weights = _splits(config, school)
    result = {"config": dataclasses.asdict(config), **_compared(splits), "splits": splits}
    folder.write_json(place / "results.json", result)
    table = _table(result)
    folder.write_text(place / "table.md", table)
    if config.draw:
        _draw(config, place, weights)
    print(table, end="")
    print(f"kept in {place}")
    return result


def _check(config: Config) -> None:
    for name, least in (("splits", 1), ("folds", 2), ("iterations", 1), ("groups", 1), ("seed", 0)):
        if getattr(config, name) < least:
            raise RunError(f"{name} must be {least} or more, got {getattr(config, name)}: change it.")
    if config.draw:
        figure_maker()


def _splits(config: Config, school: School) -> tuple[list[dict[str, Any]], Array]:
    """What each method found in each split, and the learned weights of the first."""
    chosen = methods(config.iterations)
    kept = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("splits", total=config.splits * len(chosen) * (config.folds + 1))
        advance = functools.partial(progress.advance, bar)
        runs = {name: _runner(method, school, advance) for name, method in chosen.items()}
        for split in range(config.splits):
            rng = np.random.default_rng((config.seed, split))
            test = school.weight * (fold_numbers(rng, school.weight, TEST_FOLDS) == 0)
            numbers = fold_numbers(rng, school.weight - test, config.folds)
            kept.append({name: run(test, numbers) for name, run in runs.items()})
    return [{name: found[0] for name, found in row.items()} for row in kept], kept[0][LEARNED][1]


def _runner(method: Method, school: School, advance: Callable[[], None]) -> Callable[..., tuple[dict[str, Any], Array]]:
    """`(test [T, N], folds [T, N]) -> (what was found, weights [T, D])`, for one split."""
    x, y = jnp.asarray(school.x), jnp.asarray(school.y)
    grid = {name: jnp.asarray(values) for name, values in method.grid.items()}
    tried = jax.jit(lambda train, held_out: held_out_errors(method.fit, grid, x, y, train=train, held_out=held_out))

    @jax.jit
    def tested(train: Array, test: Array, penalties: Any) -> tuple[Array, Array]:
        weights = method.fit(x, y, weight=train, **penalties)
        return 100 * explained_variance(weights, x, y, weight=test), weights

    def run(test: np.ndarray, numbers: np.ndarray) -> tuple[dict[str, Any], Array]:
        train = (numbers >= 0).astype(np.float32)
        errors = np.zeros(len(next(iter(grid.values()))))
        for fold in range(numbers.max() + 1):
            held_out = (numbers == fold).astype(np.float32)
            errors += np.asarray(tried(train - held_out, held_out), np.float64) * held_out.sum() / train.sum()
            advance()
        best = int(np.nanargmin(errors))
        penalties = {name: float(values[best]) for name, values in method.grid.items()}
        found, weights = tested(train, test, penalties)
        fixed, _ = tested(train, test, dict(method.fixed))
        advance()
        return {
            "explained_variance": float(found), "penalties": penalties, "validation_error": float(errors[best]),
            "at_fixed_penalties": float(fixed), "fixed_penalties": dict(method.fixed),
        }, weights  # fmt: skip

    return run


def _compared(splits: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the splits, and of the differences from `FIRST` in the same splits."""
    rows = {}
    for name in splits[0]:
        rows[name] = {}
        for key in ("explained_variance", "at_fixed_penalties"):
            values = [split[name][key] for split in splits]
            mean, ci95 = over_seeds(values)
            first = [split[FIRST][key] for split in splits]
            difference, difference_ci95 = over_seeds([a - b for a, b in zip(values, first, strict=True)])
            rows[name][key] = {
                "mean": mean, "ci95": ci95, "difference": difference, "difference_ci95": difference_ci95,
            }  # fmt: skip
    return {"methods": rows}


def _table(result: Mapping[str, Any]) -> str:
    number = len(result["splits"])
    lines = [
        f"Explained variance of the scores of all schools together, %, over {number} splits with a quarter of each",
        f"school's pupils for testing: mean +- 95 % interval by Student's t. Differences are from {FIRST}, in the same",
        "splits. Splits draw on the same pupils, so that the intervals tell of the choice of pupils for testing alone.",
        "",
        "| method | penalties chosen by cross-validation | difference | at fixed penalties | difference |",
        "|---|---|---|---|---|",
    ]
    for name, row in result["methods"].items():
        cells = [name]
        for key in ("explained_variance", "at_fixed_penalties"):
            found = row[key]
            cells.append(plus_minus(found["mean"], found["ci95"]))
            same = name == FIRST
            cells.append("" if same else plus_minus(found["difference"], found["difference_ci95"], sign="+"))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| method | penalties chosen, by split | fixed penalties |", "|---|---|---|"]
    for name in result["methods"]:
        chosen = "; ".join(_numbers(split[name]["penalties"]) for split in result["splits"])
        lines.append(f"| {name} | {chosen} | {_numbers(result['splits'][0][name]['fixed_penalties'])} |")
    return "\n".join(lines) + "\n"


def _numbers(penalties: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1g}" for name, value in penalties.items())


def _draw(config: Config, place: Path, weights: Array) -> None:
    alike = np.asarray(correlations(covariance_of(weights)))
    names = [str(number + 1) for number in range(len(alike))]
    groups = group_tasks(alike, min(config.groups, len(alike)))
    draw_heatmap(
        alike, names, place / "correlations.png",
        title=f"School: learned correlations of {len(alike)} schools, sorted into {len(groups)} groups",
        label="correlation", rows="schools", columns="schools", limit=1.0, groups=groups,
    )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
