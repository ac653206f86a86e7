"""Parameters of a run for another number of classes, and for another learner."""

from collections.abc import Mapping
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


def fitted(found: Mapping[str, np.ndarray], wanted: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray | None]:
    """What a run gives to one that starts from it.

    To the same learner all arrays, its head for as many classes as there are here; to another one what their networks
    have in common, which must be the whole encoder. A head that only the other network lacks is 0, so that no class is
    preferred; the rest starts anew.
    """
    if found.keys() == wanted.keys():
        return {name: _shaped(name, found[name], shape) for name, shape in wanted.items()}
    theirs, ours = ({_role(name): name for name in names} for names in (found, wanted))
    given: dict[str, np.ndarray | None] = {}
    for role in sorted(ours.keys() | theirs.keys()):
        name = (theirs | ours)[role]
        if role in ours and role in theirs and role.startswith(("encoder/", "head/")):
            given[name] = _shaped(name, found[theirs[role]], wanted[name])
        elif role in ours and role.startswith("head/"):
            given[name] = np.zeros(())
        elif role.startswith("encoder/"):
            given[name] = None
    return given if any(role.startswith("encoder/") for role in ours) else dict.fromkeys(wanted)


def _role(name: str) -> str:
    """The place of an array in a network, however a learner keeps it: `encoder/Conv_0/kernel` of
    `model/params/encoder/Conv_0/kernel`, `encoder/params/Conv_0/kernel` and `params/Conv_0/kernel`. The two norms of
    which examples decide have the same scales and offsets."""
    above, params, place = name.rpartition("params/")
    if not params or above.strip("/") not in ("", "model", "encoder", "head"):
        return name
    place = place.replace("SupportNorm_", "BatchNorm_")
    return place if place.startswith(("encoder/", "head/", "film/")) else f"encoder/{place}"


def _shaped(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array, that of a head with as many columns as there are classes here, and the same for all inner steps where
    each of them has its own."""
    if "head" in name.split("/") and array.shape[:-1] == shape[:-1] and array.shape != shape:
        with jax.ensure_compile_time_eval():  # a program that starts a run asks
            return np.asarray(_columns(jnp.asarray(array), shape[-1]))
    return np.broadcast_to(array, shape) if array.shape == shape[1:] else array


def _columns(leaf: Array, way: int) -> Array:
    mean = jnp.mean(leaf, axis=-1, keepdims=True)
    added = jnp.broadcast_to(mean, (*leaf.shape[:-1], max(way - leaf.shape[-1], 0)))
    return jnp.concatenate([leaf[..., :way], added], axis=-1)
