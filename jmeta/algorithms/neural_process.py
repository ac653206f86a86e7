"""Conditional neural processes: the task as a mean of encoded pairs (Garnelo et al. 2018)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.distances import pair_weights
from jmeta.losses import cross_entropy, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class NeuralProcessParams(NamedTuple):
    """Parameters of the three networks."""

    encoder: Params
    pairs: Params
    decoder: Params


class NeuralProcessAdapted(NamedTuple):
    """What is kept of a support set: `params`, and for each target r `[way, R]` and whether it exists `[way]`."""

    params: NeuralProcessParams
    r: Array
    classes: Array | None


def all_examples(y: Array) -> Sequence[Array]:
    """One mean, over all examples: `[N, way] -> ([N, way],)`."""
    return (jnp.ones_like(y),)


def class_and_rest(y: Array) -> Sequence[Array]:
    """Two means, over the examples of class k and over those of the other classes."""
    return y, 1 - y


def neural_process(
    encoder: Model,
    pairs: Model,
    decoder: Model,
    *,
    groups: Callable[[Array], Sequence[Array]] = class_and_rest,
    loss_fn: Callable[..., Array] = cross_entropy,
) -> Learner:
    """Conditional neural process: encode each example with its label, take the mean, and decode it at the queries.

        e_nk   = pairs([encoder(x_n), y_nk])
        r_k    = [sum_n w_n g_nk e_nk / sum_n w_n g_nk  for g in groups(y)]
        f_k(x) = decoder([encoder(x), r_k])

    Each target k, which may be a class, is a function of its own, and the same networks learn all of them: labels in
    another order give logits in that order, and another way at evaluation needs nothing.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        pairs: model mapping `[M, D + 1]` to `[M, R]`.
        decoder: model mapping `[M, D + groups * R]` to `[M, 1]`. What it gives besides the prediction, in
            `[M, 1 + extra]`, is passed on to `loss_fn`.
        groups: `y [N, way]` to weights `[N, way]`, of one mean each: `class_and_rest` for classes, after the paper's
            section 4.3; `all_examples` for targets to regress.
        loss_fn: `(prediction, y) -> [N]`, or `(prediction, y, *extra) -> [N]`, such as `losses.gaussian`.

    Differs from the paper: the decoder there gets the means of all classes, one after another, and gives all logits at
    once; here it gets those of a class and of the rest, and gives the logit of the class. Targets of regression are
    independent given x and r, and each sees its own column of y alone; with one target this is the paper's process.
    Source: Garnelo et al. 2018, Conditional Neural Processes. https://arxiv.org/abs/1807.01613
    """

    init, adapt, decode = process_parts(encoder, pairs, decoder, groups)

    def predict(adapted: NeuralProcessAdapted, x: Array, weight: Array | None = None) -> Array:
        return decode(adapted, x, weight)[..., 0]

    def loss(params: NeuralProcessParams, episode: Episode) -> tuple[Array, Metrics]:
        out = decode(adapt(params, episode.support), episode.query.x, episode.query.weight)
        prediction, *extra = jnp.moveaxis(out, -1, 0)
        return query_loss(prediction, episode.query, lambda prediction, y: loss_fn(prediction, y, *extra))

    return learner(init, adapt, predict, loss)


def process_parts(
    encoder: Model, pairs: Model, decoder: Model, groups: Callable[[Array], Sequence[Array]]
) -> tuple[Callable[..., NeuralProcessParams], Callable[..., NeuralProcessAdapted], Callable[..., Array]]:
    """`init`, `adapt`, and `(adapted, x, weight) -> [N, way, outputs]` of a decoder with any number of outputs; of the
    arguments of `neural_process`."""

    def init(key: Array, x: Array) -> NeuralProcessParams:
        keys = jax.random.split(key, 3)
        encoder_params = encoder.init(keys[0], x)
        z = encoder.apply(encoder_params, x)
        joined = beside(z, z[:, :1, None])
        pairs_params = pairs.init(keys[1], joined)
        e = pairs.apply(pairs_params, joined)
        inputs = beside(z, jnp.concatenate([e for _ in groups(z[:, :1])], axis=1)[:, None])
        return NeuralProcessParams(encoder_params, pairs_params, decoder.init(keys[2], inputs))

    def adapt(params: NeuralProcessParams, support: Batch) -> NeuralProcessAdapted:
        _, y, weight, classes = support
        z, kept = calls.read(encoder, params.encoder, support)
        rows = pair_weights(y.shape, weight, classes)
        e = calls.apply(pairs, params.pairs, beside(z, y[..., None]), rows).reshape(*y.shape, -1)
        r = jnp.concatenate([mean_of(e, group, weight) for group in groups(y)], axis=1)
        decoder_params = calls.condition(decoder, params.decoder, beside(z, r[None]), rows)
        return NeuralProcessAdapted(NeuralProcessParams(kept, params.pairs, decoder_params), r, classes)

    def decode(adapted: NeuralProcessAdapted, x: Array, weight: Array | None) -> Array:
        params, r, classes = adapted
        z = calls.apply(encoder, params.encoder, x, weight)
        shape = len(z), len(r)
        out = calls.apply(decoder, params.decoder, beside(z, r[None]), pair_weights(shape, weight, classes))
        return out.reshape(*shape, -1)

    return init, adapt, decode


def beside(z: Array, other: Array) -> Array:
    """Features `[N, D]` beside what each target has, `[N or 1, way, R]`, as rows `[N * way, D + R]`."""
    shape = len(z), other.shape[1]
    both = jnp.broadcast_to(z[:, None], (*shape, z.shape[1])), jnp.broadcast_to(other, (*shape, other.shape[2]))
    return jnp.concatenate(both, axis=2).reshape(shape[0] * shape[1], -1)


def mean_of(e: Array, group: Array, weight: Array | None) -> Array:
    """Means `[way, R]` of `[N, way, R]`; zeros for a group that has no example."""
    share = group if weight is None else group * weight[:, None]
    total = jnp.sum(share, axis=0)[:, None]
    return jnp.sum(share[..., None] * e, axis=0) / jnp.where(total > 0, total, 1)
