"""Calls of a model that may or may not have the optional functions of `jmeta.types.Model`."""

from typing import Any

from jax import Array

from jmeta.types import Model, Params


def apply(model: Model, params: Params, x: Any, weight: Array | None = None) -> Array:
    """A model's outputs, in whose making padding has no part.

    Args:
        model: with or without a function `apply_weighted(params, x, weight)`.
        params: the model's parameters.
        x: inputs `[N, ...]`.
        weight: `[N]`, 0 for padding; None means that there is none.

    Returns:
        `[N, ...]`; of padding, anything finite.
    """
    weighted = getattr(model, "apply_weighted", None)
    return model.apply(params, x) if weight is None or weighted is None else weighted(params, x, weight)


def condition(model: Model, params: Params, x: Any, weight: Array | None = None) -> Params:
    """Show the support inputs to a model that keeps something of them; for any other model, return `params`.

    Args:
        model: with or without a function `condition(params, x, weight)`.
        params: the model's parameters after adaptation.
        x: support inputs `[N, ...]`.
        weight: `[N]`, 0 for padding; None means that there is none.
    """
    keep = getattr(model, "condition", None)
    return params if keep is None else keep(params, x, weight)
