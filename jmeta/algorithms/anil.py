"""Almost no inner loop: adapt the head alone (Raghu et al. 2020)."""

from functools import partial
from typing import NamedTuple

import jax
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class ANILParams(NamedTuple):
    """Parameters of the two parts of the network."""

    encoder: Params
    head: Params


def anil(
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
    """ANIL: MAML whose inner loop moves the head only, on features that are computed once.

        z            = encoder(x)
        head_{k+1}   = head_k - inner_lr * grad L_support(head_k; z)
        loss         = L_query(head_K; z)

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        head: model mapping features to logits `[N, way]`.
        inner_optimizer: an Optax rule.
        inner_steps: K, 0 or more.
        first_order: leave the second derivative out; `truncation=0`.
        inner_grad: how the inner gradient is taken: `jax.grad`, or with less memory `jmeta.gradients.remat_grad` or
            `jmeta.gradients.mixed_grad`, which give the same meta-gradient.
        truncation: differentiate through the inner gradient of the last so many steps; None for all.
        loss_fn: `(prediction, y) -> [N]`, for support and query.

    Returns:
        A `Learner` with `ANILParams`; `adapt` returns `ANILParams` whose head has moved.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples.

    Source: Raghu et al. 2020, Rapid Learning or Feature Reuse?, section 4. https://arxiv.org/abs/1909.09157
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)

    def init(key: Array, x: Array) -> ANILParams:
        encoder_key, head_key = jax.random.split(key)
        encoder_params = encoder.init(encoder_key, x)
        return ANILParams(encoder_params, head.init(head_key, encoder.apply(encoder_params, x)))

    def adapt(params: ANILParams, support: Batch) -> ANILParams:
        z = calls.apply(encoder, params.encoder, support.x, support.weight)
        adapted = inner.fit(loop, partial(calls.apply, head), params.head, support._replace(x=z))
        return ANILParams(
            calls.condition(encoder, params.encoder, support.x, support.weight),
            calls.condition(head, adapted, z, support.weight),
        )

    def predict(adapted: ANILParams, x: Array, weight: Array | None = None) -> Array:
        z = calls.apply(encoder, adapted.encoder, x, weight)
        return calls.apply(head, adapted.head, z, weight)

    return episodic(init, adapt, predict, judge(loss_fn))
