"""Attentive conditional neural processes: each query takes what it needs of the examples (Kim et al. 2019)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.algorithms.neural_process import beside
from jmeta.distances import pair_weights
from jmeta.generative.heads import Parts, independent
from jmeta.types import Batch, Learner, Model, Params


class AttentiveParams(NamedTuple):
    """Parameters of the four networks."""

    encoder: Params
    pairs: Params
    attention: Params
    decoder: Params


class AttentiveAdapted(NamedTuple):
    """What predictions look back at: parameters, the examples' features `[N, D]`, what pairs of them and their targets
    are encoded to, `[N, targets, R]`, weights, and which targets there are."""

    params: AttentiveParams
    z: Array
    e: Array
    weight: Array | None
    classes: Array | None


def attentive_parts(encoder: Model, pairs: Model, attention: Model, decoder: Model) -> Parts:
    """The parts of `attentive_process`; the decoder may have more outputs."""

    def init(key: Array, x: Any) -> AttentiveParams:
        keys = jax.random.split(key, 4)
        of_encoder = encoder.init(keys[0], x)
        z = encoder.apply(of_encoder, x)
        pair = beside(z, z[:, :1, None])
        of_pairs = pairs.init(keys[1], pair)
        of_decoder = decoder.init(keys[3], beside(z, pairs.apply(of_pairs, pair)[:, None]))
        return AttentiveParams(of_encoder, of_pairs, attention.init(keys[2], (z, z)), of_decoder)

    def adapt(params: AttentiveParams, support: Batch) -> AttentiveAdapted:
        _, y, weight, classes = support
        z, of_encoder = calls.read(encoder, params.encoder, support)
        rows = pair_weights(y.shape, weight, classes)
        e = calls.apply(pairs, params.pairs, beside(z, y[..., None]), rows).reshape(*y.shape, -1)
        of_attention = calls.condition(attention, params.attention, (z, z), weight)
        of_decoder = calls.condition(decoder, params.decoder, beside(z, e), rows)
        kept = AttentiveParams(of_encoder, params.pairs, of_attention, of_decoder)
        return AttentiveAdapted(kept, z, e, weight, classes)

    def outputs(adapted: AttentiveAdapted, x: Any, weight: Array | None = None) -> Array:
        params, z, e, of_examples, classes = adapted
        asked = calls.apply(encoder, params.encoder, x, weight)
        shares = calls.apply(attention, params.attention, (asked, z), of_examples)
        if e.shape[-1] % len(shares):
            raise ValueError(f"heads must be a divisor of the {e.shape[-1]} outputs of pairs, got {len(shares)}")
        parts = e.reshape(*e.shape[:2], len(shares), -1)
        r = jnp.einsum("hmn,nthr->mthr", shares, parts).reshape(len(asked), e.shape[1], -1)
        some = 1.0 if of_examples is None else jnp.any(of_examples > 0).astype(r.dtype)
        rows = pair_weights(r.shape[:2], weight, classes)
        out = calls.apply(decoder, params.decoder, beside(asked, some * r), rows)
        return out.reshape(*r.shape[:2], -1)

    return Parts(init, adapt, outputs)


def attentive_process(encoder: Model, pairs: Model, attention: Model, decoder: Model) -> Learner:
    """An attentive neural process without its latent path, to regress.

        e_n  = pairs([encoder(x_n), y_n])
        r(x) = [sum_n a_hn(x) e_n^h for each head h],   a = attention(encoder(x), {encoder(x_n)})       0 for no example
        m, s = decoder([encoder(x), r(x)]),   y ~ N(m, exp(2 s))

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        pairs: model mapping `[N, D + 1]` to `[N, R]`, of which each head has a part.
        attention: model mapping queries `[M, D]` and examples `[N, D]`, as a tuple, to shares `[heads, M, N]`, such as
            `nets.CrossShares()`. Its `apply_weighted` is given the examples' weights.
        decoder: model mapping `[N, D + R]` to `[N, 2]`.

    Returns:
        A `Learner` whose `predict` returns a `Normal`. Several targets are independent functions. With equal shares it
        is a `conditional_process`.

    Raises:
        ValueError: from `predict`, for heads that don't divide R, or a decoder without two outputs.

    Differs from the paper: this is its deterministic path, and examples don't attend to each other before; the
    projections of values are the last layer of pairs and the first of the decoder. The standard deviation has no floor.
    Source: Kim et al. 2019, Attentive Neural Processes. https://arxiv.org/abs/1901.05761
    """
    return independent(attentive_parts(encoder, pairs, attention, decoder))
