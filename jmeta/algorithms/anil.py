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
    """Parameters of a network in two parts."""

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
    """ANIL: MAML whose inner loop moves the head only, on features that are computed once; a `Learner` of `ANILParams`.

        z            = encoder(x)
        head_{k+1}   = head_k - inner_lr * grad L_support(head_k; z)
        loss         = L_query(head_K; z)

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        head: model mapping features to logits `[N, way]`.
        inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn: as in `maml`.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples.
    Source: Raghu et al. 2020, Rapid Learning or Feature Reuse?, section 4. https://arxiv.org/abs/1909.09157
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)

    def init(key: Array, x: Array) -> ANILParams:
        return ANILParams(*calls.init_both(key, x, encoder, head))

    def adapt(params: ANILParams, support: Batch) -> ANILParams:
        z, kept = calls.read(encoder, params.encoder, support)
        adapted = inner.fit(loop, partial(calls.apply, head), params.head, support._replace(x=z))
        return ANILParams(kept, calls.condition(head, adapted, z, support.weight))

    def predict(adapted: ANILParams, x: Array, weight: Array | None = None) -> Array:
        return calls.apply(head, adapted.head, calls.apply(encoder, adapted.encoder, x, weight), weight)

    return episodic(init, adapt, predict, judge(loss_fn))
