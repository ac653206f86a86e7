"""Does what schools have in common help to predict examination scores?

python -m scripts.mtl.school      # five splits, with penalties by cross-validation
"""

import dataclasses
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

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
from jmeta.report.statistics import plus_minus
from jmeta.settings import setting
from scripts.mtl.school_data import School, load_school
from scripts.study import Rows, Shown, Study, compared, markdown, program, shown_difference

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

    run_dir: str = setting("runs/mtl-school", place=True)
    data_dir: str | None = setting(None, place=True)
    splits: int = setting(5, least=1, place=True)
    folds: int = setting(5, least=2)
    iterations: int = setting(20, least=1)
    groups: int = setting(6, least=1, place=True)
    seed: int = setting(0, least=0)
    draw: bool = setting(True, place=True)


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


def study(config: Config) -> Study:
    """A row for each split: what each method found, and the learned weights of the first.

    Raises:
        DataError: if the data are missing or damaged.
    """
    school = load_school(config.data_dir)
    runs = {name: _runner(method, school) for name, method in methods(config.iterations).items()}

    def row(split: int, rows: Rows) -> dict[str, Any]:
        rng = np.random.default_rng((config.seed, split))
        test = school.weight * (fold_numbers(rng, school.weight, TEST_FOLDS) == 0)
        numbers = fold_numbers(rng, school.weight - test, config.folds)
        found = {name: run(test, numbers) for name, run in runs.items()}
        weights = {"weights": np.asarray(found[LEARNED][1]).tolist()} if split == 0 else {}
        return {"methods": {name: own for name, (own, _) in found.items()}, **weights}

    rows = {f"split {split}": partial(row, split) for split in range(config.splits)}
    return Study(rows, partial(show, config), {"data": zlib.crc32(school.y.tobytes(), zlib.crc32(school.x.tobytes()))})


def _runner(method: Method, school: School) -> Callable[..., tuple[dict[str, Any], Array]]:
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
        best = int(np.nanargmin(errors))
        penalties = {name: float(values[best]) for name, values in method.grid.items()}
        found, weights = tested(train, test, penalties)
        fixed, _ = tested(train, test, dict(method.fixed))
        return {
            "explained_variance": float(found), "penalties": penalties, "validation_error": float(errors[best]),
            "at_fixed_penalties": float(fixed), "fixed_penalties": dict(method.fixed),
        }, weights  # fmt: skip

    return run


def show(config: Config, rows: Rows) -> Shown:
    """Means over the splits, differences from `FIRST` in the same splits, and penalties; and the correlations."""
    splits = [row["methods"] for row in rows.values()]

    def values(name: str, key: str) -> list[float]:
        return [split[name][key] for split in splits]

    keys = ("explained_variance", "at_fixed_penalties")
    found = {name: {key: compared(values(name, key), values(FIRST, key)) for key in keys} for name in splits[0]}
    lines, chosen = [], []
    for name, row in found.items():
        cells = [name]
        for own in row.values():
            cells += [plus_minus(own["mean"], own["ci95"]), "" if name == FIRST else shown_difference(own)]
        lines.append(cells)
        each = "; ".join(_numbers(split[name]["penalties"]) for split in splits)
        chosen.append([name, each, _numbers(splits[0][name]["fixed_penalties"])])
    about = (
        f"Explained variance of the scores of all schools together, %, over {len(splits)} splits with a quarter of "
        f"each school's pupils for testing: mean +- 95 % interval by Student's t. Differences are from {FIRST}, in the "
        "same splits. Splits draw on the same pupils: intervals tell of the choice of pupils for testing alone.\n"
    )
    head = ["method", "penalties chosen by cross-validation", "difference", "at fixed penalties", "difference"]
    table = markdown(head, lines), markdown(["method", "penalties chosen, by split", "fixed penalties"], chosen)
    picture = lambda path: _draw(config, rows["split 0"]["weights"], path)
    return Shown("\n".join((about, *table)), {"correlations.png": picture}, {"methods": found})


def _numbers(penalties: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1g}" for name, value in penalties.items())


def _draw(config: Config, weights: Any, path: Path) -> None:
    alike = np.asarray(correlations(covariance_of(jnp.asarray(weights, jnp.float32))))
    names = [str(number + 1) for number in range(len(alike))]
    groups = group_tasks(alike, min(config.groups, len(alike)))
    draw_heatmap(
        alike, names, path,
        title=f"School: learned correlations of {len(alike)} schools, sorted into {len(groups)} groups",
        label="correlation", rows="schools", columns="schools", limit=1.0, groups=groups,
    )  # fmt: skip


if __name__ == "__main__":
    program("mtl.school", Config, study)
