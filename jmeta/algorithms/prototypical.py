"""Prototypical networks: classify by the distance to the mean features of each class (Snell et al. 2017)."""

from typing import NamedTuple

from jax import Array

from jmeta import calls
from jmeta.distances import SimilarityFn, check_fixed, nearness, prototypes, supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class PrototypicalAdapted(NamedTuple):
    """The encoder, the prototypes `[way, D]`, and which of them `[way]` are of a class that the support set has."""

    encoder: Params
    prototypes: Array
    supported: Array


def prototypical(encoder: Model, *, similarity: SimilarityFn = nearness, loss_fn: LossFn = cross_entropy) -> Learner:
    """Prototypical networks: each class is the mean of its support examples' features.

        c_k        = mean of encoder(x) over the support examples of class k
        logit_k(x) = -|encoder(x) - c_k|^2
        loss       = L_query(logits)

    Up to `-|encoder(x)|^2`, which the softmax does not see, this is a linear head with weights `2 c_k` and biases
    `-|c_k|^2`. Parameters are the encoder's, and the classes those of the support set, so that training and evaluation
    may use different ways.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        similarity: `(z [N, D], c [M, D]) -> [N, M]`, the logits of features beside prototypes, such as
            `jmeta.distances.tempered(D)`.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Raises:
        TypeError: if `similarity` has parameters, as `jmeta.distances.Similarity`.

    Differs from the paper: nothing. Its figures are from training with more classes than are told apart in the test.

    Example:
        Features that are the inputs: 3 is nearer to the mean of 0 and 4 than to 5.

        >>> import jax.numpy as jnp
        >>> from jmeta import nets
        >>> learner = prototypical(nets.MLPEncoder(()))
        >>> support = Batch(jnp.array([[0.0], [4.0], [5.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        >>> learner.predict(learner.adapt({}, support), jnp.array([[3.0]])).tolist()
        [[-1.0, -4.0]]

    Source: Snell et al. 2017, Prototypical Networks for Few-shot Learning, equations 1, 2 and 8.
    https://arxiv.org/abs/1703.05175
    """
    check_fixed(similarity)

    def adapt(params: Params, support: Batch) -> PrototypicalAdapted:
        z, kept = calls.read(encoder, params, support)
        return PrototypicalAdapted(kept, prototypes(z, support), supported(support))

    def predict(adapted: PrototypicalAdapted, x: Array, weight: Array | None = None) -> Array:
        logits = similarity(calls.apply(encoder, adapted.encoder, x, weight), adapted.prototypes)
        return possible(logits, adapted.supported)

    return episodic(encoder.init, adapt, predict, judge(loss_fn))
