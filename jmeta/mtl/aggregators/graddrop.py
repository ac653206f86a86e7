"""GradDrop: at each coordinate, the gradients of one sign alone (Chen et al. 2020)."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.mtl.aggregators.gram import leaves, needed, ratio
from jmeta.mtl.types import Aggregator
from jmeta.types import Params


def grad_drop(*, leak: float | Sequence[float] = 0.0) -> Aggregator:
    """Keep, at each coordinate, the positive or the negative gradients, at random, and add them up.

        P    = (1 + sum_i g_i / sum_i |g_i|) / 2
        M_i  = [g_i > 0] where u < P, [g_i < 0] elsewhere,   u ~ U(0, 1) at each coordinate
        A(J) = sum_i (leak_i + (1 - leak_i) M_i) g_i

    Its mean over draws, without leak, is the sum of the positive gradients times P and of the negative times 1 - P.

    Args:
        leak: the share of each gradient that is never dropped, from 0 to 1; a number, or one for each task.

    Raises:
        ValueError: if `leak` is not from 0 to 1, or, when it is called, if there is no key or not a leak for each task.

    Example:
        Where the gradients agree there is nothing to drop.

        >>> grad_drop()(jnp.array([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0]]), jax.random.key(0))[1:].tolist()
        [2.0, 2.0]

    Differs from the paper: masks are on the gradients of the parameters, where the paper's are on those of the shared
    activations, summed over the batch.

    Source: Chen et al. 2020, Just Pick a Sign, algorithm 1. https://arxiv.org/abs/2010.06808
    """
    leaks = np.asarray(leak, np.float32)
    if leaks.ndim > 1 or not np.all((leaks >= 0) & (leaks <= 1)):
        raise ValueError(f"leak must be from 0 to 1, a number or one for each task, got {leak}")

    def aggregate(jacobian: Params, key: Array | None = None) -> Params:
        key, rows = needed(key, "grad_drop"), leaves(jacobian)
        tasks, sizes = len(rows[0]), [math.prod(leaf.shape[1:]) for leaf in rows]
        if leaks.ndim and len(leaks) != tasks:
            raise ValueError(f"there must be a leak for each of the {tasks} tasks, got {len(leaks)}")
        # One draw for all leaves, so that how parameters are put into leaves has no part in it.
        draws = jnp.split(jax.random.uniform(key, (sum(sizes),), jnp.float32), np.cumsum(sizes)[:-1])
        share = jnp.broadcast_to(jnp.asarray(leaks), (tasks,))

        def one(leaf: Array, draw: Array) -> Array:
            positive = (1 + ratio(jnp.sum(leaf, axis=0), jnp.sum(jnp.abs(leaf), axis=0))) / 2
            kept = jnp.where((draw.reshape(positive.shape) < positive)[None], leaf > 0, leaf < 0)
            leaked = share.astype(leaf.dtype).reshape(-1, *(1,) * (leaf.ndim - 1))
            return jnp.sum(leaf * jnp.where(kept, jnp.ones_like(leaked), leaked), axis=0)

        chosen = [one(leaf, draw) for leaf, draw in zip(rows, draws, strict=True)]
        return jax.tree.unflatten(jax.tree.structure(jacobian), chosen)

    return aggregate
