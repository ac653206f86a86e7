"""Encoders that are frozen before a stream: what normalizes by a batch keeps the statistics of training pictures."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta import calls
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


def features(encoder: Model, params: Params, x: np.ndarray, *, at_once: int = 500) -> np.ndarray:
    """Features `[N, D]` of examples `[N, ...]`, pictures of bytes among them, some at a time."""
    run = jax.jit(lambda params, x: calls.apply(encoder, params, x))
    parts = [np.asarray(run(params, read(x[i : i + at_once]))) for i in range(0, len(x), at_once)]
    return np.concatenate(parts)


def read(x: Any) -> Array:
    """Examples as learners read them: bytes as 0 to 1."""
    return examples(Batch(x, jnp.zeros((len(x), 2)))).x
