"""A black-box learner: a sequence model reads the support set, and labels the queries (after Mishra et al. 2018)."""

from typing import NamedTuple

from jax import Array

from jmeta import calls
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class AttentionParams(NamedTuple):
    """Parameters of the two networks."""

    encoder: Params
    transformer: Params


class AttentionAdapted(NamedTuple):
    """What queries attend to: parameters, and the support set's features `[N, D]`, labels and weights."""

    params: AttentionParams
    z: Array
    y: Array
    weight: Array | None


def attention_learner(encoder: Model, transformer: Model, *, loss_fn: LossFn = cross_entropy) -> Learner:
    """A black-box learner that finds out by itself how to learn from examples, by attention to them.

        z    = encoder(x)
        f(x) = transformer(encoder(x); {(z_n, y_n)})        n over the support set

    Nothing is moved by gradients within a task: all that the learner knows of it is in the sequence it looks back at.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        transformer: model mapping queries `[M, D]`, examples `[N, D]` and their labels `[N, way]`, as a tuple, to
            `[M, way]`, such as `nets.LabelTransformer()`. Its `apply_weighted` is given the examples' weights, and its
            `condition` the examples as queries.
        loss_fn: `(prediction, y) -> [N]`.

    Differs from the paper: there is no order, and so no masks and none of the temporal convolutions that SNAIL puts
    between its attention; and queries attend to the same support set side by side, where each of the paper's sequences
    ends in one query. With `nets.LabelTransformer` classes share their parameters and the last layer reads labels; the
    paper's tokens hold one-hot labels, which binds a network to one number of classes and makes it learn that their
    order does not matter.
    Source: Mishra et al. 2018, A Simple Neural Attentive Meta-Learner. https://arxiv.org/abs/1707.03141
    """

    def init(key: Array, x: Array) -> AttentionParams:
        return AttentionParams(*calls.init_both(key, x, encoder, transformer, lambda z: (z, z, z[:, :1])))

    def adapt(params: AttentionParams, support: Batch) -> AttentionAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        of_transformer = calls.condition(transformer, params.transformer, (z, z, support.y), support.weight)
        return AttentionAdapted(AttentionParams(kept, of_transformer), z, support.y, support.weight)

    def predict(adapted: AttentionAdapted, x: Array, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.params.encoder, x, weight)
        tokens = z, adapted.z, adapted.y
        return calls.apply(transformer, adapted.params.transformer, tokens, adapted.weight)

    return episodic(init, adapt, predict, judge(loss_fn))
