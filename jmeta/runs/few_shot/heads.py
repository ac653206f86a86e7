"""Parameters of a head for another number of classes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.types import Params


def at_way(params: Params, trained_way: int, way: int) -> Params:
    """Parameters for another number of classes.

    The columns of the head stand for labels, which training has made exchangeable. For fewer classes the first columns
    are kept; for more, the added ones start at the mean of the trained ones. The leaves of a head are those below a
    "head" and with `trained_way` last.
    """
    if way == trained_way:
        return params

    def change(path: Any, leaf: Array) -> Array:
        names = [jax.tree_util.keystr((part,), simple=True) for part in path]
        return _columns(leaf, way) if "head" in names and leaf.shape[-1:] == (trained_way,) else leaf

    return jax.tree_util.tree_map_with_path(change, params)


def fitted(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a run for one that starts from it: of a head, for as many classes as it has here."""
    if "head" in name.split("/") and array.shape[:-1] == shape[:-1] and array.shape != shape:
        with jax.ensure_compile_time_eval():  # a program that starts a run asks
            return np.asarray(_columns(jnp.asarray(array), shape[-1]))
    return array


def _columns(leaf: Array, way: int) -> Array:
    mean = jnp.mean(leaf, axis=-1, keepdims=True)
    added = jnp.broadcast_to(mean, (*leaf.shape[:-1], max(way - leaf.shape[-1], 0)))
    return jnp.concatenate([leaf[..., :way], added], axis=-1)
