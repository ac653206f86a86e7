"""`jmeta mtl synthetic`: is the relatedness of tasks recovered where it is known?"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from rich.console import Console
from rich.progress import track

from jmeta.errors import RunError
from jmeta.losses import squared_error
from jmeta.mtl.models.hard_sharing import hard_sharing
from jmeta.mtl.relatedness import (
    add_affinity,
    correlations,
    draw_heatmap,
    fold_numbers,
    gradient_cosines,
    group_tasks,
    held_out_errors,
    no_affinity,
    related_ridge,
    task_affinity,
    task_covariance,
    task_evidence,
    task_ridge,
)
from jmeta.mtl.synthetic import RelatedTasks, block_omega, related_tasks
from jmeta.mtl.tasks import task_losses
from jmeta.mtl.training import gram, init_state, make_step
from jmeta.nets import PureModel
from jmeta.report.figures import figure_maker
from jmeta.report.statistics import over_seeds, plus_minus
from jmeta.runs.engine import folder
from jmeta.types import Batch

PAIRS = (-0.95, 0.8)
"""Correlations of the two pairs of tasks; there are none between pairs."""
BLOCKS = ((0, 1), (2, 3))
TASKS = 2 * len(BLOCKS)
LARGEST = 1.0
"""Of an array, in GiB."""
RIDGES = tuple(10.0**k for k in np.arange(-5, 0.5, 0.5))
RELATIONS = tuple(10.0**k for k in np.arange(-4, 0.5, 0.5))
JOINT_RIDGES = (0.0, 1e-5, 1e-4, 1e-3, 1e-2)
ALONE, LEARNED, ORACLE = "ridge of each task", "learned relatedness", "relatedness given"
EVIDENCE = "relatedness by evidence"
METHODS = (ALONE, LEARNED, EVIDENCE, ORACLE)
CORRELATIONS, COSINES = "learned correlations", "gradient cosines"
BY_EVIDENCE = "correlations by evidence"
ONE_MODEL, OWN_HEADS = "affinity in one model", "affinity below own heads"
MATRICES = (CORRELATIONS, BY_EVIDENCE, COSINES, ONE_MODEL, OWN_HEADS)
OF_OMEGA = {LEARNED: CORRELATIONS, EVIDENCE: BY_EVIDENCE}
SIGNED = (OWN_HEADS,)
"""Where related tasks have numbers above 0, whatever the sign of their relation; groups by the others are by size."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Four linear tasks in two pairs, opposite and alike: learned weights and relatedness beside the true ones.

    Attributes:
        run_dir: where table.md, results.json and the pictures are kept.
        seeds: so many draws of the tasks.
        features: of the inputs.
        examples: of each task; with fewer than features a task alone leaves its weights open.
        noise: standard deviation of the noise of targets, whose own is about the square root of `features`.
        folds: parts of the examples, by which penalties are chosen in cross-validation, for each draw and method.
        iterations: steps in weights and relatedness, of learned relatedness.
        width: features that tasks share below heads of their own, for affinities.
        steps: of training, along which these affinities are averaged. They tell of what tasks have in common as long as
            there is something to learn; once each fits its few examples, of how these differ.
        lr: of these steps and of the look-ahead.
        seed: of the first draw.
        draw: draw pictures, which needs matplotlib.
    """

    run_dir: str = "runs/mtl-synthetic"
    seeds: int = 20
    features: int = 100
    examples: int = 60
    noise: float = 0.5
    folds: int = 5
    iterations: int = 20
    width: int = 100
    steps: int = 50
    lr: float = 0.005
    seed: int = 0
    draw: bool = True


def main(config: Config) -> dict[str, Any]:
    """Run it, and keep a table, the numbers and pictures.

    Returns:
        What is in results.json.

    Raises:
        RunError: for settings that can't be, or without matplotlib.
        OSError: if a file can't be written.
    """
    _check(config)
    place = Path(config.run_dir)
    place.mkdir(parents=True, exist_ok=True)
    measure = _measure(config)
    draws = [
        measure(config.seed + i)
        for i in track(range(config.seeds), "draws of the tasks", console=Console(stderr=True))
    ]  # fmt: skip
    result = {"config": dataclasses.asdict(config), **_summary(draws), "draws": draws}
    folder.write_json(place / "results.json", result)
    table = _table(result)
    folder.write_text(place / "table.md", table)
    if config.draw:
        _draw(place, result)
    print(table, end="")
    print(f"kept in {place}")
    return result


def _check(config: Config) -> None:
    least = {"seeds": 1, "features": 1, "examples": 2, "folds": 2, "iterations": 1, "width": 1, "steps": 1, "seed": 0}
    for name, value in least.items():
        if getattr(config, name) < value:
            raise RunError(f"{name} must be {value} or more, got {getattr(config, name)}: change it.")
    if config.folds > config.examples:
        raise RunError(f"folds must be no more than the {config.examples} examples, got {config.folds}: change one.")
    largest = max(config.examples, TASKS * config.features) * TASKS * config.features * 4 / 2**30
    if largest > LARGEST:
        raise RunError(
            f"an array for {config.examples} examples and {config.features} features would have {largest:.3g} GiB, "
            f"above the {LARGEST:g} GiB that is allowed: choose fewer."
        )
    if not 0 <= config.noise < float("inf"):
        raise RunError(f"noise must be a finite number of 0 or more, got {config.noise}: change it.")
    if not 0 < config.lr < float("inf"):
        raise RunError(f"lr must be a finite number above 0, got {config.lr}: change it.")
    if config.draw:
        figure_maker()


class _Fitted(NamedTuple):
    """Weights, and the Omega that they go with."""

    weights: Array
    omega: Array


def _measure(config: Config) -> Callable[[int], dict[str, Any]]:
    """`seed -> what was found in its draw`. Each program is compiled once for all draws."""
    grids = _grids()
    tried = {name: jax.jit(_tried(config, name, grids[name])) for name in METHODS}
    fitted = {name: jax.jit(_fitter(config, name)) for name in METHODS}
    draw = jax.jit(lambda key: related_tasks(
        key, omega=block_omega(PAIRS), features=config.features, examples=config.examples, noise=config.noise
    ))  # fmt: skip
    learn = jax.jit(lambda key, tasks: _affinities(config, key, tasks))

    def measure(seed: int) -> dict[str, Any]:
        key = jax.random.key(seed)
        tasks = draw(key)
        everything = np.ones(tasks.y.shape, np.float32)
        numbers = fold_numbers(np.random.default_rng(seed), everything, config.folds)
        size = float(jnp.sum(tasks.weights**2))
        found: dict[str, Any] = {"seed": seed, "methods": {}}
        for name in METHODS:
            penalties = {}
            if grids[name]:
                errors = np.zeros(len(grids[name]["ridge"]))
                for fold in range(config.folds):
                    held_out = (numbers == fold).astype(np.float32)
                    errors += np.asarray(tried[name](tasks, everything - held_out, held_out), np.float64)
                best = int(np.nanargmin(errors))
                penalties = {penalty: float(values[best]) for penalty, values in grids[name].items()}
            weights, omega = fitted[name](tasks, everything, penalties)
            error = float(jnp.sum((weights - tasks.weights) ** 2)) / size
            found["methods"][name] = {"error": error, "penalties": penalties}
            if name in OF_OMEGA:
                found[OF_OMEGA[name]] = np.asarray(correlations(omega)).tolist()
        matrices = learn(jax.random.fold_in(key, 1), tasks)
        found |= {name: np.asarray(matrix).tolist() for name, matrix in matrices.items()}
        found["groups"] = {
            name: group_tasks(found[name] if name in SIGNED else np.abs(found[name]), len(BLOCKS)) for name in MATRICES
        }
        return found

    return measure


def _grids() -> dict[str, dict[str, np.ndarray]]:
    """The penalties that each method tries."""
    pairs = np.array([(ridge, relation) for ridge in JOINT_RIDGES for relation in RELATIONS], np.float32)
    joint = {"ridge": pairs[:, 0], "relation": pairs[:, 1]}
    return {ALONE: {"ridge": np.asarray(RIDGES, np.float32)}, LEARNED: joint, EVIDENCE: {}, ORACLE: joint}


def _fitter(config: Config, name: str) -> Callable[[RelatedTasks, Array, Mapping[str, Any]], _Fitted]:
    """`(tasks, weight [T, N], penalties) -> what the method makes of them`."""

    def fit(tasks: RelatedTasks, weight: Array, penalties: Mapping[str, Any]) -> _Fitted:
        given = tasks.omega / jnp.trace(tasks.omega)
        if name == ALONE:
            return _Fitted(task_ridge(tasks.x, tasks.y, weight=weight, **penalties), given)
        if name == ORACLE:
            return _Fitted(related_ridge(tasks.x, tasks.y, given, weight=weight, **penalties), given)
        if name == EVIDENCE:
            likely = task_evidence(tasks.x, tasks.y, weight=weight)
            return _Fitted(likely.weights, likely.omega)
        found = task_covariance(tasks.x, tasks.y, weight=weight, iterations=config.iterations, **penalties)
        return _Fitted(found.weights, found.omega)

    return fit


def _tried(config: Config, name: str, grid: Mapping[str, np.ndarray]) -> Callable[..., Array]:
    """`(tasks, train [T, N], held_out [T, N]) -> errors [P]` of all penalties."""
    fitter = _fitter(config, name)
    penalties = {penalty: jnp.asarray(values) for penalty, values in grid.items()}

    def errors(tasks: RelatedTasks, train: Array, held_out: Array) -> Array:
        def fit(x: Array, y: Array, *, weight: Array, **penalties: Any) -> Array:
            return fitter(tasks._replace(x=x, y=y), weight, penalties).weights

        return held_out_errors(fit, penalties, tasks.x, tasks.y, train=train, held_out=held_out)

    return errors


def _affinities(config: Config, key: Array, tasks: RelatedTasks) -> dict[str, Array]:
    """Affinities and cosines at the start of one model for all tasks, and mean affinities where each has a head."""
    batch, count = Batch(tasks.x, tasks.y[..., None]), len(tasks.y)
    start = jnp.zeros(tasks.x.shape[-1])

    def one_model(w: Array, batch: Batch) -> Array:
        wrong = batch.y[..., 0] - jnp.matmul(batch.x, w, precision="highest")
        return jnp.mean(wrong * wrong, axis=1)

    # Heads that start at 0 take the sign of a task from its examples.
    model = hard_sharing(_linear(config.width, 1.0), _linear(1, 0.0), tasks=count)
    losses, optimizer = task_losses(model, squared_error), optax.sgd(config.lr)
    step = make_step(losses, optimizer)

    def one(carry: Any, _: None) -> tuple[Any, None]:
        state, mean = carry
        ahead = task_affinity(losses, state.params, batch, lr=config.lr, shared=model.shared)
        return (step(state, batch)[0], add_affinity(mean, ahead)), None

    state = init_state(model.init(key, tasks.x[0]), optimizer, key, tasks=count)
    (_, mean), _ = lax.scan(one, (state, no_affinity(count)), None, length=config.steps)
    return {
        COSINES: gradient_cosines(gram(jax.jacrev(one_model)(start, batch))),
        ONE_MODEL: task_affinity(one_model, start, batch, lr=config.lr),
        OWN_HEADS: mean.affinity,
    }


def _linear(outputs: int, size: float) -> PureModel:
    """Without an offset, of standard deviation `size / sqrt(inputs)` at the start."""

    def init(key: Array, x: Array) -> Array:
        return size * jax.random.normal(key, (x.shape[-1], outputs)) / jnp.sqrt(float(x.shape[-1]))

    return PureModel(init, lambda w, x: jnp.matmul(x, w, precision="highest"))


def _summary(draws: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    summary: dict[str, Any] = {"methods": {}, "pairs": {}, "matrices": {}, "blocks_found": {}}
    for name in METHODS:
        values = [draw["methods"][name]["error"] for draw in draws]
        mean, ci95 = over_seeds(values)
        alone = [draw["methods"][ALONE]["error"] for draw in draws]
        difference, difference_ci95 = over_seeds([a - b for a, b in zip(values, alone, strict=True)])
        summary["methods"][name] = {
            "mean": mean, "ci95": ci95, "difference": difference, "difference_ci95": difference_ci95,
        }  # fmt: skip
    # A covariance's root has smaller correlations than the covariance.
    sizes, directions = np.linalg.eigh(np.asarray(block_omega(PAIRS), np.float64))
    root = np.asarray(correlations(jnp.asarray((directions * np.sqrt(sizes)) @ directions.T, jnp.float32)))
    for name in MATRICES:
        stacked = np.array([draw[name] for draw in draws])
        summary["matrices"][name] = stacked.mean(axis=0).tolist()
    for (i, j), rho in zip(BLOCKS, PAIRS, strict=True):
        rows: dict[str, Any] = {"omega": rho, "root of omega": float(root[i, j])}
        for name in MATRICES:
            mean, ci95 = over_seeds([(draw[name][i][j] + draw[name][j][i]) / 2 for draw in draws])
            rows[name] = {"mean": mean, "ci95": ci95}
        summary["pairs"][f"{i}, {j}"] = rows
    between = {}
    for name in MATRICES:
        mean, ci95 = over_seeds([float(np.mean(np.array(draw[name])[np.ix_(*BLOCKS)])) for draw in draws])
        between[name] = {"mean": mean, "ci95": ci95}
    summary["pairs"]["between pairs"] = {"omega": 0.0, "root of omega": 0.0, **between}
    for name in draws[0]["groups"]:
        summary["blocks_found"][name] = sum(draw["groups"][name] == BLOCKS for draw in draws)
    return summary


def _table(result: Mapping[str, Any]) -> str:
    number = len(result["draws"])
    lines = [
        f"Relative error of the weights, |W - W*|^2 / |W*|^2, over {number} draws of the tasks: mean +- 95 % interval",
        "by Student's t; penalties are chosen by cross-validation. Differences are from the ridge of each task, in the",
        "same draws.",
        "",
        "| method | relative error | difference |",
        "|---|---|---|",
    ]
    for name, row in result["methods"].items():
        difference = "" if name == ALONE else plus_minus(row["difference"], row["difference_ci95"], digits=3, sign="+")
        lines.append(f"| {name} | {plus_minus(row['mean'], row['ci95'], digits=3)} | {difference} |")
    lines += [
        "",
        "What was found of two tasks, in the mean of both directions. Learned correlations estimate those of the root",
        "of omega, and those by evidence omega's. Affinities are shares of a loss that a step takes away: the first",
        f"step in one model for all tasks, and the mean along {result['config']['steps']} steps below own heads.",
        "",
        f"| tasks | omega | root of omega | {' | '.join(MATRICES)} |",
        "|---|---|---|" + "---|" * len(MATRICES),
    ]
    for pair, row in result["pairs"].items():
        cells = [f"{row['omega']:.3f}", f"{row['root of omega']:.3f}"]
        for name in MATRICES:
            digits = 4 if "affinity" in name else 3
            cells.append(plus_minus(row[name]["mean"], row[name]["ci95"], digits=digits))
        lines.append(f"| {pair} | {' | '.join(cells)} |")
    lines += ["", "| two groups by | draws in which they are the pairs |", "|---|---|"]
    for name, found in result["blocks_found"].items():
        lines.append(f"| {name}{'' if name in SIGNED else ', without their signs'} | {found} of {number} |")
    return "\n".join(lines) + "\n"


def _draw(place: Path, result: Mapping[str, Any]) -> None:
    names = [f"task {i}" for i in range(TASKS)]
    number = len(result["draws"])
    of = f"mean of {number} draws" if number > 1 else "one draw"
    labels = {CORRELATIONS: "correlation", BY_EVIDENCE: "correlation", COSINES: "cosine"}
    for name in MATRICES:
        matrix, affinity = np.asarray(result["matrices"][name]), name not in labels
        # A task's own step does much more for it than any other's.
        others = float(np.abs(matrix[~np.eye(len(matrix), dtype=bool)]).max()) or 1.0
        draw_heatmap(
            matrix, names, place / f"{name.replace(' ', '_')}.png",
            title=f"Synthetic tasks: {name} ({of})", label=labels.get(name, "share of the loss that a step takes away"),
            rows="step on" if affinity else "", columns="loss of" if affinity else "",
            limit=others if affinity else 1.0, groups=BLOCKS,
        )  # fmt: skip


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
