"""Siamese networks: learn whether two examples are of the same class (Koch et al. 2015)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.distances import members
from jmeta.losses import NEVER, cross_entropy, query_loss, weighted_mean
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class SiameseParams(NamedTuple):
    """The encoder that both twins share, and how differences count: `[D]` and `[]`."""

    encoder: Params
    weights: Array
    bias: Array


class SiameseAdapted(NamedTuple):
    """The parameters, the features `[N, D]` of the support set, and which `[N, way]` are of a class."""

    params: SiameseParams
    z: Array
    member: Array


def siamese(encoder: Model) -> Learner:
    """Siamese networks: verify pairs, and classify by the best one.

        pair(x, x')  = weights . |encoder(x) - encoder(x')| + bias
        p(same)      = sigmoid(pair(x, x'))
        logit_k(x)   = max of pair(x, x') over support examples x' of class k
        loss         = 1/2 mean over pairs of one class of      -log p(same)
                     + 1/2 mean over pairs of two classes of    -log (1 - p(same))

    The encoder maps `x [N, ...]` to features `[N, D]`. Pairs are of a query and a support example, so none is of an
    example and itself. Training episodes with as many support as query examples have the most pairs. The loss is not
    that of its own logits, which are of one pair each; the accuracy is. Training and evaluation may use different ways.

    Differs from the paper: all pairs of an episode weighted so that both kinds count half, where it draws as many of
    one as of the other from the whole training set. The features have no sigmoid, unless the encoder has. Their
    weights start alike and negative, where it draws both signs: a difference speaks against the same class.
    Source: Koch, Zemel and Salakhutdinov 2015, Siamese Neural Networks for One-shot Image Recognition, section 3.
    https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf
    """

    def init(key: Array, x: Array) -> SiameseParams:
        params = encoder.init(key, x)
        z = jax.eval_shape(encoder.apply, params, x)
        size = z.shape[-1]
        return SiameseParams(params, jnp.full(size, -1 / size**0.5, z.dtype), jnp.zeros((), z.dtype))

    def adapt(params: SiameseParams, support: Batch) -> SiameseAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        return SiameseAdapted(params._replace(encoder=kept), z, members(support))

    def pairs(adapted: SiameseAdapted, x: Array, weight: Array | None) -> Array:
        params, z = adapted.params, calls.apply(encoder, adapted.params.encoder, x, weight)
        return jnp.abs(z[:, None] - adapted.z[None]) @ params.weights + params.bias

    def best(adapted: SiameseAdapted, logits: Array) -> Array:
        return jnp.max(jnp.where(adapted.member[None] > 0, logits[:, :, None], NEVER), axis=1)

    def predict(adapted: SiameseAdapted, x: Array, weight: Array | None = None) -> Array:
        return best(adapted, pairs(adapted, x, weight))

    def loss(params: SiameseParams, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode
        adapted = adapt(params, support)
        logits = pairs(adapted, query.x, query.weight)
        metrics = query_loss(best(adapted, logits), query, cross_entropy)[1]
        same = query.y @ support.y.T
        real = _weight(query)[:, None] * _weight(support)[None]
        of_one = weighted_mean(jax.nn.softplus(-logits), real * same)
        of_two = weighted_mean(jax.nn.softplus(logits), real * (1 - same))
        value = (of_one + of_two) / 2
        return value, metrics._replace(loss=value)

    return learner(init, adapt, predict, loss)


def _weight(batch: Batch) -> Array:
    return jnp.ones_like(batch.y[:, 0]) if batch.weight is None else batch.weight
