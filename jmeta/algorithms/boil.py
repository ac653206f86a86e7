"""Body only in the inner loop: adapt the encoder alone (Oh et al. 2021)."""

from typing import NamedTuple

import jax
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class BOILParams(NamedTuple):
    """Parameters of the two parts of the network."""

    encoder: Params
    head: Params


def boil(
    encoder: Model,
    head: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    truncation: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """BOIL: MAML whose inner loop moves everything but the head, so that features must come to the classes.

        encoder_{k+1} = encoder_k - inner_lr * grad L_support(encoder_k; head)
        loss          = L_query(encoder_K; head)

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        head: model mapping features to logits `[N, way]`; the outer loop alone learns it.
        inner_optimizer: an Optax rule.
        inner_steps: K, 0 or more.
        first_order: leave the second derivative out; `truncation=0`.
        inner_grad: how the inner gradient is taken: `jax.grad`, or with less memory `jmeta.gradients.remat_grad` or
            `jmeta.gradients.mixed_grad`, which give the same meta-gradient.
        truncation: differentiate through the inner gradient of the last so many steps; None for all.
        loss_fn: `(prediction, y) -> [N]`, for support and query.

    Returns:
        A `Learner` with `BOILParams`; `adapt` returns `BOILParams` whose encoder has moved.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples.

    Source: Oh et al. 2021, BOIL: Towards Representation Change for Few-shot Learning, section 3.
    https://arxiv.org/abs/2008.08882
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)

    def init(key: Array, x: Array) -> BOILParams:
        encoder_key, head_key = jax.random.split(key)
        encoder_params = encoder.init(encoder_key, x)
        return BOILParams(encoder_params, head.init(head_key, encoder.apply(encoder_params, x)))

    def adapt(params: BOILParams, support: Batch) -> BOILParams:
        below_head = lambda encoder_params, x, weight: predict(BOILParams(encoder_params, params.head), x, weight)
        adapted = inner.fit(loop, below_head, params.encoder, support)
        z = calls.apply(encoder, adapted, support.x, support.weight)
        return BOILParams(
            calls.condition(encoder, adapted, support.x, support.weight),
            calls.condition(head, params.head, z, support.weight),
        )

    def predict(adapted: BOILParams, x: Array, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.encoder, x, weight)
        return calls.apply(head, adapted.head, z, weight)

    return episodic(init, adapt, predict, judge(loss_fn))
