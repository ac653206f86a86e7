"""Noise of a task for learners that are pure functions of its examples: its key is made of them."""

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.types import Batch, Params


def key_of(batch: Batch) -> Array:
    """A PRNG key by the bits of a batch's inputs, whatever their order and labels; rows of weight 0 have no part.

    The same examples always have the same noise, so that a prediction is one number and evaluation is exact again;
    other examples have other noise, so that training sees new noise at each step.
    """
    rows = len(batch.y)

    def bits(a: Array) -> Array:
        whole = jax.lax.bitcast_convert_type(a.astype(jnp.float32).reshape(rows, -1), jnp.uint32)
        odd = 2 * jnp.arange(whole.shape[1], dtype=jnp.uint32) + 1  # so that a place in an example counts
        return jnp.sum(whole * odd[None] ^ (whole >> 15), axis=1, dtype=jnp.uint32)

    of_rows = sum((bits(a) for a in jax.tree.leaves(batch.x)), jnp.zeros(rows, jnp.uint32))
    of_rows = of_rows * of_rows + jnp.uint32(0x9E3779B9)
    if batch.weight is not None:
        of_rows = jnp.where(batch.weight != 0, of_rows, jnp.uint32(0))
    return jax.random.fold_in(jax.random.key(0), jnp.sum(of_rows, dtype=jnp.uint32))


def normal_like(key: Array, tree: Params, samples: int) -> Params:
    """Standard normal numbers `[samples, ...]` for each leaf of a tree."""
    leaves, form = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.normal(k, (samples, *a.shape), a.dtype) for k, a in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(form, drawn)
