"""Arrays of a state as they are kept and sent, their names and their digest."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def name_of(path: Any) -> str:
    """The name of a leaf of a tree: `params/Conv_0/kernel`."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def is_key(leaf: Any) -> bool:
    """Whether an array, or its shape, is of PRNG keys."""
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def plain(leaf: Any) -> Any:
    """An array that can be kept and sent: of a PRNG key, its numbers."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def as_stored(array: Any, like: Any) -> Any:
    """`plain` undone, for an array like another."""
    return jax.random.wrap_key_data(jnp.asarray(array)) if is_key(like) else jnp.asarray(array)


def digest_of(tree: Any) -> str:
    """A digest of a tree of arrays: of their names, types, shapes and bits."""
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        digest.update(f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
