"""Encoders that are frozen before a stream: what normalizes by a batch keeps the statistics of training pictures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta import calls
from jmeta.augment import Augment
from jmeta.nets.catalog import Network
from jmeta.types import Batch, Model, Params, examples


def frozen(network: Network) -> Network:
    """The same network, which can keep the statistics of some examples where it took those of the batch at hand."""
    return dataclasses.replace(network, norm="support") if network.norm == "batch" else network


def of(params: Params) -> Params:
    """The encoder's among a learner's parameters, which may be all of them."""
    return getattr(params, "encoder", params)


def replaced(params: Params, encoder: Params) -> Params:
    """A learner's parameters with other ones of its encoder."""
    return params._replace(encoder=encoder) if hasattr(params, "_replace") else encoder


def conditioned(encoder: Model, params: Params, background: Any) -> Params:
    """Parameters of a `frozen` encoder, with what it keeps of background examples `[N, ...]`: never of a stream, of
    which the first examples would be normalized by the last."""
    return calls.condition(encoder, _renamed(params), background)


def _renamed(params: Params) -> Params:
    """Parameters of layers that normalize by the batch at hand, by the names that they have where they keep."""
    if not isinstance(params, Mapping):
        return params
    return {name.replace("BatchNorm_", "SupportNorm_"): _renamed(value) for name, value in params.items()}


def features(
    encoder: Model,
    params: Params,
    x: np.ndarray,
    *,
    copies: int = 1,
    augment: Augment | None = None,
    at_once: int = 500,
) -> np.ndarray:
    """Features `[N, D]` of examples `[N, ...]`, pictures of bytes among them, some at a time.

    With `copies` above 1 they are means over so many copies of each example, which `augment` changes by one key.
    """

    def one(params: Params, x: Array, key: Array) -> Array:
        if copies == 1 or augment is None:
            return calls.apply(encoder, params, x)
        many = jax.vmap(augment)
        changed = lambda key: many(jax.random.split(key, len(x)), x)
        each = jax.lax.map(lambda key: calls.apply(encoder, params, changed(key)), jax.random.split(key, copies))
        return jnp.mean(each, axis=0)

    run = jax.jit(one)
    parts = [
        np.asarray(run(params, read(x[i : i + at_once]), jax.random.fold_in(jax.random.key(0), i)))
        for i in range(0, len(x), at_once)
    ]
    return np.concatenate(parts)


def read(x: Any) -> Array:
    """Examples as learners read them: bytes as 0 to 1."""
    return examples(Batch(x, jnp.zeros((len(x), 2)))).x
