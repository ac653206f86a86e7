"""Calls of a model that may or may not have the optional functions of `jmeta.types.Model`."""

from collections.abc import Callable
from typing import Any

from jax import Array
from jax.random import split

from jmeta.types import Batch, Model, Params


def apply(model: Model, params: Params, x: Any, weight: Array | None = None) -> Array:
    """A model's outputs `[N, ...]` for inputs of weights `[N]`: those of weight 0 have no part in the others."""
    weighted = getattr(model, "apply_weighted", None)
    return model.apply(params, x) if weight is None or weighted is None else weighted(params, x, weight)


def condition(model: Model, params: Params, x: Any, weight: Array | None = None) -> Params:
    """Parameters with what a model keeps of the support inputs; for a model that keeps nothing, the same parameters."""
    keep = getattr(model, "condition", None)
    return params if keep is None else keep(params, x, weight)


def read(encoder: Model, params: Params, support: Batch) -> tuple[Array, Params]:
    """The features of a support set, and the encoder's parameters with what it keeps of the inputs."""
    given = encoder, params, support.x, support.weight
    return apply(*given), condition(*given)


def init_both(
    key: Array, x: Any, encoder: Model, head: Model, inputs: Callable[[Array], Any] = lambda z: z
) -> tuple[Params, Params]:
    """Parameters of an encoder, and of a model whose inputs are made of its features."""
    encoder_key, head_key = split(key)
    params = encoder.init(encoder_key, x)
    return params, head.init(head_key, inputs(encoder.apply(params, x)))
