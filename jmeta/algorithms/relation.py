"""Relation networks: a learned module compares a query with each class (Sung et al. 2018)."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.distances import pair_weights, prototypes, supported
from jmeta.losses import LossFn, judge, possible, squared_score_error
from jmeta.types import Batch, Learner, Model, Params, episodic


class RelationParams(NamedTuple):
    """Parameters of the two modules."""

    encoder: Params
    relation: Params


class RelationAdapted(NamedTuple):
    """The parameters, the features of each class `[way, ..., C]`, and which classes there are, as in `Batch`."""

    params: RelationParams
    features: Array
    classes: Array | None
    supported: Array


def relation(encoder: Model, relation: Model, *, loss_fn: LossFn = squared_score_error) -> Learner:
    """Relation networks: the comparison of features is learned too.

        c_k        = mean of encoder(x) over the support examples of class k
        logit_k(x) = relation([c_k, encoder(x)])
        score_k(x) = sigmoid(logit_k(x))
        loss       = mean over queries, sum over k of (score_k - 1 if k is the label else score_k)^2

    It predicts the logits of the scores, which have the same order. The classes are those of the support set, so that
    training and evaluation may use different ways.

    Args:
        encoder: model mapping `x [N, ...]` to maps `[N, H, W, C]`, such as `jmeta.nets.ConvMap`, or vectors `[N, C]`.
        relation: model mapping pairs of a class and a query, beside each other in depth, `[N, H, W, 2 C]` or
            `[N, 2 C]`, to one number each `[N, 1]`, such as `jmeta.nets.RelationHead`. A pair that has padding in it
            has weight 0.
        loss_fn: `(logits, y) -> [N]`, for the query.

    Raises:
        ValueError: when called, if the relation module does not give one number for each pair.

    Differs from the paper: a class has the mean of its examples' features, where the paper has their sum, so that a
    learner of one shot can be used with another; with one example they are the same.
    Source: Sung et al. 2018, Learning to Compare: Relation Network for Few-Shot Learning, section 3.
    https://arxiv.org/abs/1711.06025
    """

    def init(key: Array, x: Array) -> RelationParams:
        return RelationParams(*calls.init_both(key, x, encoder, relation, lambda z: _pairs(z, z[:1])))

    def adapt(params: RelationParams, support: Batch) -> RelationAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        features = prototypes(z.reshape(len(z), -1), support).reshape(-1, *z.shape[1:])
        weight = pair_weights(support.y.shape, support.weight, support.classes)
        of_relation = calls.condition(relation, params.relation, _pairs(z, features), weight)
        return RelationAdapted(RelationParams(kept, of_relation), features, support.classes, supported(support))

    def predict(adapted: RelationAdapted, x: Array, weight: Array | None = None) -> Array:
        params, features, classes, have = adapted
        z = calls.apply(encoder, params.encoder, x, weight)
        shape = len(z), len(features)
        logits = calls.apply(relation, params.relation, _pairs(z, features), pair_weights(shape, weight, classes))
        if logits.shape != (len(z) * len(features), 1):
            raise ValueError(f"relation must give one number for each pair, got {logits.shape}")
        return possible(logits.reshape(shape), have)

    return episodic(init, adapt, predict, judge(loss_fn))


def _pairs(z: Array, features: Array) -> Array:
    """Each example `[N, ..., C]` with each class `[way, ..., C]`, the class first in depth: `[N way, ..., 2 C]`."""
    shape = len(z), len(features), *z.shape[1:]
    pairs = jnp.concatenate([jnp.broadcast_to(features[None], shape), jnp.broadcast_to(z[:, None], shape)], axis=-1)
    return pairs.reshape(-1, *pairs.shape[2:])
