"""Transformer neural processes, with independent predictions (Nguyen and Grover 2022)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.generative.heads import Parts, independent
from jmeta.types import Batch, Learner, Model, Params


class TNPParams(NamedTuple):
    """Parameters of the two networks."""

    encoder: Params
    transformer: Params


class TNPAdapted(NamedTuple):
    """What predictions look back at: parameters, and the support set's features `[N, D]`, targets and weights."""

    params: TNPParams
    z: Array
    y: Array
    weight: Array | None


def transformer_parts(encoder: Model, transformer: Model, *, targets: int = 1) -> Parts:
    """The parts of `tnp`; the transformer may have more outputs."""

    def init(key: Array, x: Any) -> TNPParams:
        return TNPParams(
            *calls.init_both(key, x, encoder, transformer, lambda z: (z, z, jnp.zeros((len(z), targets), z.dtype)))
        )

    def adapt(params: TNPParams, support: Batch) -> TNPAdapted:
        if support.y.shape[1] != targets:
            raise ValueError(f"targets must be the {support.y.shape[1]} of the examples, got {targets}")
        z, kept = calls.read(encoder, params.encoder, support)
        of_transformer = calls.condition(transformer, params.transformer, (z, z, support.y), support.weight)
        return TNPAdapted(TNPParams(kept, of_transformer), z, support.y, support.weight)

    def outputs(adapted: TNPAdapted, x: Any, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.params.encoder, x, weight)
        tokens = z, adapted.z, adapted.y
        return calls.apply(transformer, adapted.params.transformer, tokens, adapted.weight)

    return Parts(init, adapt, outputs)


def tnp(encoder: Model, transformer: Model, *, targets: int = 1) -> Learner:
    """TNP-D: a transformer reads the support set, and predicts each query by itself.

        m, s = transformer(encoder(x); {(encoder(x_n), y_n)}),   y ~ N(m, exp(2 s))

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        transformer: model mapping queries `[M, D]`, examples `[N, D]` and their targets `[N, targets]`, as a tuple, to
            `[M, targets, 2]`, such as `nets.ProcessTransformer()`. Its `apply_weighted` is given the examples' weights.
        targets: numbers to predict for an example.

    Returns:
        A `Learner` whose `predict` returns a `Normal`. No query sees another, the order of the support set has no part,
        and it may be empty: then the prediction is the learned prior.

    Raises:
        ValueError: from `adapt`, for another number of targets.

    Differs from the paper: see `nets.ProcessTransformer`. The standard deviation has no floor, as in the authors' code
    by default.
    Source: Nguyen and Grover 2022, Transformer Neural Processes, section 4.1 and its variant TNP-D.
    https://arxiv.org/abs/2207.04179
    """

    return independent(transformer_parts(encoder, transformer, targets=targets))
