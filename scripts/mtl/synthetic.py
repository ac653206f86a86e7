"""Is the relatedness of tasks recovered where it is known?

python -m scripts.mtl.synthetic      # 20 draws of tasks
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax

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
from jmeta.mtl.tasks import task_losses
from jmeta.mtl.training import gram, init_state, make_step
from jmeta.nets import PureModel
from jmeta.report.tables import plus_minus
from jmeta.settings import setting
from jmeta.types import Batch
from scripts.mtl.related_tasks import RelatedTasks, block_omega, related_tasks
from scripts.study import Rows, Shown, Study, compared, finite, interval, markdown, program, shown_difference

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

    run_dir: str = setting("runs/mtl-synthetic", place=True)
    seeds: int = setting(20, least=1, place=True)
    features: int = setting(100, least=1)
    examples: int = setting(60, least=2)
    noise: float = setting(0.5, least=0)
    folds: int = setting(5, least=2)
    iterations: int = setting(20, least=1)
    width: int = setting(100, least=1)
    steps: int = setting(50, least=1)
    lr: float = setting(0.005, above=0)
    seed: int = setting(0, least=0, place=True)
    draw: bool = setting(True, place=True)


def study(config: Config) -> Study:
    """A row for each draw of the tasks.

    Raises:
        RunError: for more folds than examples, or arrays that are too large.
    """
    if config.folds > config.examples:
        raise RunError(f"--folds must be no more than the {config.examples} examples, got {config.folds}: change one.")
    largest = max(config.examples, TASKS * config.features) * TASKS * config.features * 4 / 2**30
    if largest > LARGEST:
        raise RunError(
            f"an array for {config.examples} examples and {config.features} features would have {largest:.3g} GiB, "
            f"above the {LARGEST:g} GiB that is allowed: choose fewer."
        )
    measure = _measure(config)
    seeds = range(config.seed, config.seed + config.seeds)
    return Study({f"draw {seed}": lambda rows, seed=seed: measure(seed) for seed in seeds}, partial(show, config))


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
                best = int(np.where(np.isnan(errors), np.inf, errors).argmin())
                finite(errors[best], f"the least errors of {name}")
                penalties = {penalty: float(values[best]) for penalty, values in grids[name].items()}
            weights, omega = fitted[name](tasks, everything, penalties)
            error = float(jnp.sum((weights - tasks.weights) ** 2)) / size
            found["methods"][name] = {"error": error, "penalties": penalties}
            if name in OF_OMEGA:
                found[OF_OMEGA[name]] = np.asarray(correlations(omega)).tolist()
        matrices = learn(jax.random.fold_in(key, 1), tasks)
        found |= {name: np.asarray(matrix).tolist() for name, matrix in matrices.items()}
        for name in MATRICES:
            finite(found[name], f"the {name}")
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


def _summary(draws: list[Mapping[str, Any]]) -> dict[str, Any]:
    def errors(name: str) -> list[float]:
        return [draw["methods"][name]["error"] for draw in draws]

    # A covariance's root has smaller correlations than the covariance.
    sizes, directions = np.linalg.eigh(np.asarray(block_omega(PAIRS), np.float64))
    root = np.asarray(correlations(jnp.asarray((directions * np.sqrt(sizes)) @ directions.T, jnp.float32)))
    matrices = {name: np.array([draw[name] for draw in draws]) for name in MATRICES}
    pairs: dict[str, Any] = {}
    for (i, j), rho in zip(BLOCKS, PAIRS, strict=True):
        both = {name: interval((found[:, i, j] + found[:, j, i]) / 2) for name, found in matrices.items()}
        pairs[f"{i}, {j}"] = {"omega": rho, "root of omega": float(root[i, j]), **both}
    rows, columns = np.ix_(*BLOCKS)
    between = {name: interval(found[:, rows, columns].mean(axis=(1, 2))) for name, found in matrices.items()}
    pairs["between pairs"] = {"omega": 0.0, "root of omega": 0.0, **between}
    blocks = [list(block) for block in BLOCKS]
    return {
        "methods": {name: compared(errors(name), errors(ALONE)) for name in METHODS},
        "pairs": pairs,
        "matrices": {name: found.mean(axis=0).tolist() for name, found in matrices.items()},
        "blocks_found": {n: sum(draw["groups"][n] == blocks for draw in draws) for n in draws[0]["groups"]},
    }


def show(config: Config, rows: Rows) -> Shown:
    """Errors of the weights, what was found of pairs of tasks, and their matrices as pictures."""
    found, number = _summary(list(rows.values())), len(rows)
    methods, pairs = [], []
    for name, row in found["methods"].items():
        error = plus_minus(row["mean"], row["ci95"], digits=3)
        methods.append([name, error, "" if name == ALONE else shown_difference(row, digits=3)])
    for pair, row in found["pairs"].items():
        cells = (plus_minus(**row[name], digits=4 if "affinity" in name else 3) for name in MATRICES)
        pairs.append([pair, f"{row['omega']:.3f}", f"{row['root of omega']:.3f}", *cells])
    blocks = [
        [name + ("" if name in SIGNED else ", without their signs"), f"{times} of {number}"]
        for name, times in found["blocks_found"].items()
    ]
    parts = [
        f"Relative error of the weights, |W - W*|^2 / |W*|^2, over {number} draws of the tasks: mean +- 95 % interval "
        "by Student's t; penalties are chosen by cross-validation. Differences are from the ridge of each task, in the "
        "same draws.\n",
        markdown(["method", "relative error", "difference"], methods),
        "What was found of two tasks, in the mean of both directions. Learned correlations estimate those of the root "
        "of omega, and those by evidence omega's. Affinities are shares of a loss that a step takes away: the first "
        f"step in one model for all tasks, and the mean along {config.steps} steps below own heads.\n",
        markdown(["tasks", "omega", "root of omega", *MATRICES], pairs),
        markdown(["two groups by", "draws in which they are the pairs"], blocks),
    ]
    figures = {f"{name.replace(' ', '_')}.png": _heatmap(name, found, number) for name in MATRICES}
    return Shown("\n".join(parts), figures, found)


def _heatmap(name: str, found: Mapping[str, Any], number: int) -> Callable[..., Any]:
    names, of = [f"task {i}" for i in range(TASKS)], f"mean of {number} draws" if number > 1 else "one draw"
    matrix = np.asarray(found["matrices"][name])
    label = {CORRELATIONS: "correlation", BY_EVIDENCE: "correlation", COSINES: "cosine"}.get(name)
    # A task's own step does much more for it than any other's.
    others = float(np.abs(matrix[~np.eye(len(matrix), dtype=bool)]).max()) or 1.0
    kind = {"label": label, "limit": 1.0} if label else {
        "label": "share of the loss that a step takes away", "rows": "step on", "columns": "loss of", "limit": others
    }  # fmt: skip
    return partial(draw_heatmap, matrix, names, title=f"Synthetic tasks: {name} ({of})", groups=BLOCKS, **kind)


if __name__ == "__main__":
    program("mtl.synthetic", Config, study)
