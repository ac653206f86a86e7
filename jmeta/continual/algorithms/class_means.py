"""Class means, which need no order and no memory of examples: the nearest one names the class."""

from typing import NamedTuple

from jax import Array

from jmeta import calls
from jmeta.continual.algorithms.moments import Moments, moments
from jmeta.distances import nearness, supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class ClassMeansAdapted(NamedTuple):
    """The encoder, what is kept of each class, and which classes `[way]` the stream had."""

    encoder: Params
    moments: Moments
    supported: Array


def class_means(encoder: Model, *, loss_fn: LossFn = cross_entropy) -> Learner:
    """The mean features of each class of a stream, which `moments.updated` goes on with, an example at a time.

        m_k        = mean of encoder(x) over the examples of class k
        logit_k(x) = -|encoder(x) - m_k|^2

    It forgets nothing, and no order of the stream changes it: prototypical networks, read as a continual learner.
    Parameters are the encoder's, and the classes those of the stream.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; on batch normalization see `oml`.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Source: Rebuffi et al. 2017, iCaRL, section 2.1, with all examples of a class. https://arxiv.org/abs/1611.07725
    """

    def adapt(params: Params, support: Batch) -> ClassMeansAdapted:
        z, kept = calls.read(encoder, params, support)
        return ClassMeansAdapted(kept, moments(z, support), supported(support))

    def predict(adapted: ClassMeansAdapted, x: Array, weight: Array | None = None) -> Array:
        logits = nearness(calls.apply(encoder, adapted.encoder, x, weight), adapted.moments.mean)
        return possible(logits, adapted.supported)

    return episodic(encoder.init, adapt, predict, judge(loss_fn))
