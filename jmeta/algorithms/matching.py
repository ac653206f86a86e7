"""Matching networks: classify by attention over the support examples (Vinyals et al. 2016)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import log_softmax, logsumexp

from jmeta import calls
from jmeta.distances import Similarity, SimilarityFn, fixed, members, nearness
from jmeta.losses import NEVER, LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class MatchingParams(NamedTuple):
    """Parameters of the encoder, of the similarity, and of the two context models, if there are any."""

    encoder: Params
    similarity: Params
    context: tuple[Params, ...] = ()


class MatchingAdapted(NamedTuple):
    """The parameters, the support examples' features `[S, D]`, and their labels times their weights `[S, way]`."""

    params: MatchingParams
    features: Array
    labels: Array


def matching(
    encoder: Model,
    *,
    similarity: Similarity | SimilarityFn = nearness,
    context: tuple[Model, Model] | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Matching networks: a query's label is the mean of the support's labels, weighted by attention.

        a(x, x_i)  = softmax_i similarity(f(x), g(x_i))
        p(y=k | x) = sum_i a(x, x_i) y_ik
        logits     = log p
        loss       = L_query(logits)

    The classes are those of the support set, so that training and evaluation may use different ways.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; without context it is both f and g.
        similarity: how alike features are, as a `Similarity`, or as a function that learns nothing. Beside the default,
            `jmeta.distances.scaled_cosine()` learns the temperature that cosines need: they lie in -1 to 1, and an
            attention of these over many examples is nearly even.
        context: full-context embeddings: a model of support features `[S, D]`, which gives g, and one of query features
            and g, a tuple of `[N, D]` and `[S, D]`, called with the support's weights, which gives f `[N, D]`; its
            `condition` is called with the support's features in place of queries'. `jmeta.nets` has the paper's,
            `BidirectionalLSTM()` and `AttentionLSTM(steps)`.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Differs from the paper: by default the squared distance, in place of the cosine, which without a temperature falls
    far behind; and the encoders of f and g are one. log p is a `logsumexp` of logs, which has a derivative where p is
    too small for a float.

    Example:
        Features that are the inputs. The query is at a distance of 0 and 1 from two examples of the first class, and of
        1 from one of the second: (1 + 1/e) / (1 + 2/e) is 0.788.

        >>> from jmeta import nets
        >>> learner = matching(nets.MLPEncoder(()))
        >>> support = Batch(jnp.array([[0.0], [1.0], [-1.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        >>> adapted = learner.adapt(MatchingParams({}, {}), support)
        >>> [round(p, 3) for p in jnp.exp(learner.predict(adapted, jnp.array([[0.0]])))[0].tolist()]
        [0.788, 0.212]

    Source: Vinyals et al. 2016, Matching Networks for One Shot Learning, equation 1 and appendix A.
    https://arxiv.org/abs/1606.04080
    """
    alike = similarity if isinstance(similarity, Similarity) else fixed(similarity)

    def init(key: Array, x: Array) -> MatchingParams:
        keys = jax.random.split(key, 4)
        params = MatchingParams(encoder.init(keys[0], x), alike.init(keys[1]))
        if context is None:
            return params
        z = encoder.apply(params.encoder, x)
        return params._replace(context=(context[0].init(keys[2], z), context[1].init(keys[3], (z, z))))

    def adapt(params: MatchingParams, support: Batch) -> MatchingAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        params = params._replace(encoder=kept)
        if context is not None:
            g = calls.apply(context[0], params.context[0], z, support.weight)
            kept = calls.condition(context[1], params.context[1], (z, g), support.weight)
            params, z = params._replace(context=(params.context[0], kept)), g
        return MatchingAdapted(params, z, members(support))

    def predict(adapted: MatchingAdapted, x: Array, weight: Array | None = None) -> Array:
        params, features, labels = adapted
        z = calls.apply(encoder, params.encoder, x, weight)
        if context is not None:
            z = calls.apply(context[1], params.context[1], (z, features), jnp.sum(labels, axis=-1))
        log_labels = jnp.where(labels > 0, jnp.log(jnp.where(labels > 0, labels, 1)), NEVER)
        shares = alike.apply(params.similarity, z, features)[:, :, None] + log_labels[None]
        return log_softmax(logsumexp(shares, axis=1))

    return episodic(init, adapt, predict, judge(loss_fn))
