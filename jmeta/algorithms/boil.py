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
    """Parameters of a network in two parts."""

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
    """BOIL: MAML whose inner loop moves all but the head; features must come to the classes. Has `BOILParams`.

        encoder_{k+1} = encoder_k - inner_lr * grad L_support(encoder_k; head)
        loss          = L_query(encoder_K; head)

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        head: model mapping features to logits `[N, way]`; the outer loop alone learns it.
        inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn: as in `maml`.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples.
    Source: Oh et al. 2021, BOIL: Towards Representation Change for Few-shot Learning, section 3.
    https://arxiv.org/abs/2008.08882
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)

    def init(key: Array, x: Array) -> BOILParams:
        return BOILParams(*calls.init_both(key, x, encoder, head))

    def adapt(params: BOILParams, support: Batch) -> BOILParams:
        below_head = lambda encoder_params, x, weight: predict(BOILParams(encoder_params, params.head), x, weight)
        adapted = inner.fit(loop, below_head, params.encoder, support)
        z, kept = calls.read(encoder, adapted, support)
        return BOILParams(kept, calls.condition(head, params.head, z, support.weight))

    def predict(adapted: BOILParams, x: Array, weight: Array | None = None) -> Array:
        return calls.apply(head, adapted.head, calls.apply(encoder, adapted.encoder, x, weight), weight)

    return episodic(init, adapt, predict, judge(loss_fn))
