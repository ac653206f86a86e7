"""What linear regressions need to know of the padded examples of several tasks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.types import filled, wide


class Moments(NamedTuple):
    """Means over the examples of each task: `x x' [T, D, D]`, `x y [T, D]`; and how many they are, `[T]`."""

    gram: Array
    cross: Array
    counts: Array


def moments(x: Array, y: Array, weight: Array | None) -> Moments:
    """Those of `x [T, N, D]` and `y [T, N]`, in float32 or better, with `weight [T, N]`; None means all alike."""
    if x.ndim != 3 or y.shape != x.shape[:2] or (weight is not None and weight.shape != y.shape):
        got = f"{list(x.shape)}, {list(y.shape)}" + ("" if weight is None else f" and {list(weight.shape)}")
        raise ValueError(f"x must be [T, N, D], with y and weight [T, N], got {got}")
    for name, array in (("x", x), ("y", y)):
        if not jnp.issubdtype(array.dtype, jnp.floating):
            raise ValueError(f"{name} must be of floating point, got {array.dtype}: cast it, its products overflow")
    x, y, weight = counted(x, y, weight)
    counts = jnp.sum(weight, axis=1)
    weighted = x * (weight / jnp.where(counts > 0, counts, 1)[:, None])[..., None]
    gram = jnp.einsum("ind,ine->ide", weighted, x, precision="highest")
    cross = jnp.einsum("ind,in->id", weighted, y, precision="highest")
    return Moments(gram, cross, counts)


def counted(x: Array, y: Array, weight: Array | None) -> tuple[Array, Array, Array]:
    """The examples in float32 or better, with rows of weight 0 `filled`, and a weight for each."""
    x, y = wide(x), wide(y).astype(wide(x).dtype)
    if weight is None:
        return x, y, jnp.ones_like(y)
    return *jax.vmap(filled)((x, y), weight), weight.astype(y.dtype)
