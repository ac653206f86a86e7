"""Which convolution, how many tasks at once, and which precision is fastest for MAML with second derivatives."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax import Array, lax

import jmeta
from benchmarks.formulas import needed_operations
from benchmarks.gpu.protocol import Ask, Outcome
from benchmarks.learners import source_of
from benchmarks.workloads import BLOCKS, CHANNELS, find
from jmeta.nets.conv import Conv
from jmeta.nets.norms import BatchNorm, normalize
from jmeta.training import meta_gradient

WORKLOAD, TASKS, OWN = "conv4", 32, "slices"
COMPILING = 60.0
"""Seconds that have to be left to begin a program."""
WORTH = 1.05
"""How many times as fast TF32 has to be to be chosen over float32."""


class Patches(nn.Module):
    """A strided 3x3 convolution as XLA's own patches and one matrix product."""

    features: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C]` to `[N, ceil(H / 2), ceil(W / 2), features]`."""
        patches = lax.conv_general_dilated_patches(
            x, (3, 3), (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return nn.Dense(self.features, kernel_init=nn.initializers.xavier_uniform())(patches)


OTHERS = ("patches", "lax")
CONVOLUTIONS: dict[str, Callable[[], nn.Module]] = {
    OWN: lambda: Conv(CHANNELS, stride=2),
    "patches": lambda: Patches(CHANNELS),
    "lax": lambda: nn.Conv(CHANNELS, (3, 3), strides=2, kernel_init=nn.initializers.xavier_uniform()),
}
"""jmeta's own; XLA's patches and a product; and XLA's convolution, which becomes one of groups under `vmap`."""


class Net(nn.Module):
    """Four strided blocks, the mean over positions and a linear head, with a convolution of choice."""

    way: int
    convolution: Callable[[], nn.Module]

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C]` to `[N, way]`."""
        for _ in range(BLOCKS):
            x = nn.relu(normalize(BatchNorm(), self.convolution()(x), None))
        return nn.Dense(self.way)(jnp.mean(x, axis=(1, 2)))


def measured(ask: Ask) -> Outcome:
    """jmeta's own convolution with all tasks at once and fewer, then in other precisions; then the other convolutions.

    The value has `rows`, `tasks`, `source`, and the choice for training: `chunk`, of so many tasks, and `tf32`. They
    are of jmeta's own convolution, with which `jmeta train` computes; `convolution` is the fastest one. What was
    stopped goes on.
    """
    workload, tasks = find(WORKLOAD), ask.length(TASKS, least=4)
    source = source_of(workload, ask.data_dir)
    keys = jax.random.split(jax.random.key(1), tasks)
    episodes = jax.block_until_ready(jax.jit(jax.vmap(source.sample))(keys))
    rows: list[dict[str, Any]] = [dict(row) for row in ask.before.get("rows", [])]
    value: dict[str, Any] = {
        "rows": rows, "tasks": tasks, "source": source.name, "begun": dict(ask.before.get("begun", {})),
        "operations": needed_operations(workload, tasks) // tasks,
    }  # fmt: skip
    gradients: dict[str, Any] = {}

    def row(convolution: str, chunk: int, precision: str) -> dict[str, Any]:
        cell = {"convolution": convolution, "chunk": chunk, "precision": precision}
        known = next((row for row in rows if cell.items() <= row.items()), None)
        if known is None:
            if ask.seconds_left < COMPILING * max(ask.scale, 0.05):
                raise TimeoutError
            name = f"{convolution} {chunk} {precision}"
            if ask.begins(value, name):
                found, gradients[name] = timed(**cell, episodes=episodes, seconds=2.0 * max(ask.scale, 0.1))
            else:
                found = {"error": "it took too long"}
            known = {**cell, **found}
            rows.append(known)
            ask.keep(value)
        return known

    try:
        chunks = dict.fromkeys((tasks, max(1, tasks // 4), 1))
        own = quickest([row(OWN, chunk, "tf32") for chunk in chunks])
        exact, small = (row(OWN, own["chunk"], precision) for precision in ("float32", "bfloat16"))
        for other in (own, small):
            of, to = (gradients.get(f"{OWN} {own['chunk']} {r['precision']}") for r in (other, exact))
            if of is not None and to is not None:
                other["gap"] = distance(of, to)
        tf32 = WORTH * own.get("seconds", 0.0) < exact.get("seconds", float("inf"))
        value |= {"convolution": OWN, "chunk": own["chunk"], "tf32": tf32}
        others = [row(name, chunk, "tf32") for name in OTHERS for chunk in dict.fromkeys((tasks, own["chunk"]))]
    except TimeoutError:
        return Outcome(value, f"{len(rows)} programs are timed")
    return Outcome({**value, "convolution": quickest([own, *others])["convolution"]})


def quickest(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row with the fewest seconds; one that has failed comes last."""
    return min(rows, key=lambda row: row.get("seconds") or float("inf"))


def timed(convolution: str, chunk: int, precision: str, *, episodes: Any, seconds: float) -> tuple[dict[str, Any], Any]:
    """Seconds of a meta-gradient, the median of some, and the gradient; or the error, such as too little memory."""
    try:
        return _timed(convolution, chunk, precision, episodes, seconds)
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or "no message"
        return {"error": f"{type(error).__name__}: {said[:200]}"}, None


def distance(tree: Any, other: Any) -> float:
    """`|tree - other| / |other|`."""
    return float(optax.tree.norm(jax.tree.map(jnp.subtract, tree, other)) / optax.tree.norm(other))


def _timed(convolution: str, chunk: int, precision: str, episodes: Any, seconds: float) -> tuple[dict[str, Any], Any]:
    workload = find(WORKLOAD)
    net: Any = Net(workload.way, CONVOLUTIONS[convolution])
    net = jmeta.nets.in_precision(net, jnp.bfloat16) if precision == "bfloat16" else net
    learner = jmeta.maml(net, inner_optimizer=optax.sgd(workload.inner_lr), inner_steps=workload.inner_steps)
    params = learner.init(jax.random.key(0), episodes.support.x[0])
    gradient = lambda params, episodes: meta_gradient(learner, params, episodes, chunk_size=chunk)[0]
    with jax.default_matmul_precision("highest" if precision == "float32" else "default"):
        start = time.perf_counter()
        program = jax.jit(gradient).lower(params, episodes).compile()
        compiling = time.perf_counter() - start
    spent: list[float] = []
    found = jax.block_until_ready(program(params, episodes))
    while not spent or (sum(spent) < seconds and len(spent) < 200):
        start = time.perf_counter()
        jax.block_until_ready(program(params, episodes))
        spent.append(time.perf_counter() - start)
    sizes = program.memory_analysis()
    return {
        "seconds": sorted(spent)[len(spent) // 2],
        "compile_seconds": round(compiling, 2),
        "temporary_bytes": None if sizes is None else sizes.temp_size_in_bytes,
    }, found
