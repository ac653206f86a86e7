"""Training a shared network as one compiled program, and what it computes afterwards, in NumPy."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta.losses import cross_entropy, squared_error
from jmeta.mtl.models import SharedParams, hard_sharing
from jmeta.mtl.names import aggregator_named, weighting_named
from jmeta.mtl.tasks import task_losses
from jmeta.mtl.training import init_state, make_run, make_step
from jmeta.mtl.types import Aggregator, Weighting
from jmeta.nets import MLP, MLPEncoder
from jmeta.report.arrays import check_fits
from jmeta.types import Batch, Params

Layer = tuple[np.ndarray, np.ndarray]
"""Kernel `[D, units]` and bias `[units]`, float64."""

ROWS, FEATURES, CLASSES = 64, 8, 4
"""Sizes are padded to powers of two from here on, so that one compiled program serves tables of about the same size."""


class Plan(NamedTuple):
    """What a program is compiled for. `components` are the outputs of a linear layer on top of the hidden ones, None
    for none; targets that are not classes are numbers; `batch_size` is that of each task, None for all rows."""

    hidden: tuple[int, ...]
    components: int | None
    classes: bool
    tasks: int
    weighting: str | Weighting
    aggregate: str | Aggregator | None
    steps: int
    batch_size: int | None


class Trained(NamedTuple):
    """The layers of the trunk, all but a linear last one with ReLU; the heads; and the losses `[steps, T]`."""

    layers: list[Layer]
    heads: list[Layer]
    losses: np.ndarray


def train(plan: Plan, batch: Batch, *, learning_rate: float, l2: float, seed: int) -> Trained:
    """Train trunk and heads on what `stacked` made, by Adam, whose rate falls to 0 along a cosine.

    The penalty on all kernels beside the losses is `l2 / 2 |W|^2`; the seed is of initial parameters and batches.

    Raises:
        ValueError: for more than there is memory for, or where training diverges.
    """
    rates = jnp.float32(learning_rate), jnp.float32(l2)
    width = batch.x.shape[-1]
    x = np.pad(batch.x, [(0, 0), (0, 0), (0, up_to_power_of_two(width, FEATURES) - width)])
    padded = jax.tree.map(jnp.asarray, batch._replace(x=x))
    widths = [width, *plan.hidden, *([] if plan.components is None else [plan.components])]
    heads = plan.tasks * batch.y.shape[-1]
    held = sum(a * b for a, b in zip(widths, [*widths[1:], heads], strict=True))
    rows = plan.tasks * (plan.batch_size or batch.x.shape[1]) * sum(widths)
    check_fits("a network of this size", 4 * (4 * held + rows + plan.tasks * plan.steps))
    params, losses = _program(plan)(jax.random.key(seed), padded, *rates, jnp.float32(width))
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise ValueError(f"training has diverged at learning_rate={learning_rate}: try a smaller one")
    trunk = params.trunk.get("params", {})
    names = sorted((name for name in trunk if name != "head"), key=lambda name: int(name.split("_")[1]))
    layers = [_layer(trunk[name]) for name in [*names, *(["head"] if "head" in trunk else [])]]
    kernels, biases = _layer(params.heads["params"]["head"])
    if layers:
        layers[0] = layers[0][0][:width], layers[0][1]
    else:
        kernels = kernels[:, :width]
    return Trained(layers, list(zip(kernels, biases, strict=True)), np.asarray(losses, np.float64))


def _layer(params: Params) -> Layer:
    return np.asarray(params["kernel"], np.float64), np.asarray(params["bias"], np.float64)


@functools.lru_cache(maxsize=64)
def _program(plan: Plan) -> Callable[..., tuple[Params, Array]]:
    def run(key: Array, batch: Batch, learning_rate: Array, l2: Array, width: Array) -> tuple[Params, Array]:
        trunk = MLPEncoder(plan.hidden) if plan.components is None else MLP(plan.hidden, plan.components)
        model = hard_sharing(trunk, MLP((), batch.y.shape[-1]), tasks=plan.tasks)
        weighting = weighting_named(plan.weighting) if isinstance(plan.weighting, str) else plan.weighting
        aggregate = aggregator_named(plan.aggregate) if isinstance(plan.aggregate, str) else plan.aggregate
        rule = optax.chain(
            optax.add_decayed_weights(l2, mask=_kernels),
            optax.scale_by_adam(),
            optax.scale_by_schedule(lambda count: -learning_rate * (1 + jnp.cos(jnp.pi * count / plan.steps)) / 2),
        )
        losses = task_losses(model, cross_entropy if plan.classes else squared_error)
        step = make_step(losses, rule, weighting=weighting, aggregate=aggregate, shared=model.shared)
        init_key, run_key = jax.random.split(key)
        start = _as_if_unpadded(model.init(init_key, batch.x[0]), plan, jnp.sqrt(batch.x.shape[-1] / width))
        state = init_state(start, rule, run_key, tasks=plan.tasks, weighting=weighting)
        sample = Partial(functools.partial(_drawn, size=plan.batch_size), batch)
        state, metrics = make_run(step, sample)(state, plan.steps)
        return state.params, metrics.losses

    return jax.jit(run)


def _as_if_unpadded(params: SharedParams, plan: Plan, factor: Array) -> SharedParams:
    """Kernels on the inputs as large as they start where no inputs are padding: they start at 1 / sqrt(inputs)."""

    def enlarged(params: Params, name: str) -> Params:
        first = params["params"][name]
        return {**params, "params": {**params["params"], name: {**first, "kernel": first["kernel"] * factor}}}

    if plan.hidden or plan.components is not None:
        return params._replace(trunk=enlarged(params.trunk, "Dense_0" if plan.hidden else "head"))
    return params._replace(heads=enlarged(params.heads, "head"))


def _kernels(params: Params) -> Params:
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key == "kernel", params)


def _drawn(batch: Batch, key: Array, *, size: int | None) -> Batch:
    """All rows, or some of each task, drawn with replacement and as often as they count; real ones come first."""
    if size is None or batch.weight is None:
        return batch
    ends = jnp.cumsum(batch.weight, axis=1)
    place = jax.random.uniform(key, (len(ends), size), batch.weight.dtype) * ends[:, -1:]
    rows = jax.vmap(functools.partial(jnp.searchsorted, side="right"))(ends, place)
    rows = jnp.minimum(rows, jnp.argmax(ends >= ends[:, -1:], axis=1)[:, None])  # where rounding reaches the end
    x, y = (jnp.take_along_axis(a, rows[..., None], axis=1) for a in (batch.x, batch.y))
    return Batch(x, y, jnp.ones((len(ends), size), batch.weight.dtype), batch.classes)


def stacked(
    x: np.ndarray, y: np.ndarray, which: np.ndarray, classes: np.ndarray | None = None, weight: np.ndarray | None = None
) -> Batch:
    """Rows of several tasks as one batch of NumPy's float32, with a leading axis of tasks.

    `which [N]` is the number of the row's task, each of 0 .. T - 1 occurs; `classes [T, k]` is 1 for those it has;
    `weight [N]` is how much a row counts, None for all alike.
    """
    counts = np.bincount(which)
    order = np.argsort(which, kind="stable")
    place = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    shape = len(counts), up_to_power_of_two(int(counts.max()), ROWS)

    def spread(rows: np.ndarray) -> np.ndarray:
        found = np.zeros((*shape, *rows.shape[1:]), np.float32)
        found[which[order], place] = rows[order]
        return found

    counted = spread(np.ones(len(which), np.float32) if weight is None else weight)
    own: Any = None if classes is None else classes.astype(np.float32)
    return Batch(spread(x), spread(y), counted, own)  # type: ignore[arg-type]


def up_to_power_of_two(n: int, least: int = 1) -> int:
    """The least power of two that is n or more, and `least` or more."""
    return max(least, 1 << (n - 1).bit_length())


def represent(layers: list[Layer], x: np.ndarray, *, linear: bool = False) -> np.ndarray:
    """What the trunk makes of standardized inputs `[N, D]`; `linear` is for a last layer without ReLU.

    In float64, so that a row's result does not hang on the rows beside it.
    """
    for i, (kernel, bias) in enumerate(layers):
        x = x @ kernel + bias
        x = x if linear and i == len(layers) - 1 else np.maximum(x, 0)
    return x


def moments(x: np.ndarray, weight: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the columns, of rows that count as `weight` says, and 1, or the rounding, in place
    of a deviation that is 0 but for rounding."""
    # Over a power of two, which changes no digit: the squares of numbers like 1e200 and 1e-200 are out of range.
    power = np.frexp(np.max(np.abs(x), axis=0))[1]
    small = np.ldexp(x, -power)
    center = np.average(small, axis=0, weights=weight)
    spread = np.sqrt(np.average((small - center) ** 2, axis=0, weights=weight))
    mean, scale = np.ldexp(center, power), np.ldexp(spread, power)
    rounding = 10 * np.finfo(np.float64).eps * np.maximum(np.abs(mean), np.finfo(np.float64).tiny) * len(x) ** 0.5
    return mean, np.where(scale <= rounding, np.maximum(rounding, 1.0), scale)
