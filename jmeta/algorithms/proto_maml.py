"""Proto-MAML: MAML whose head starts from the prototypes of the task (Triantafillou et al. 2020)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.distances import prototypes, supported
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Learner, Model, Params, episodic


class ProtoMAMLAdapted(NamedTuple):
    """The encoder `Params` and a linear head, `z W.T + b` with W `[way, D]` and b `[way]`, of one task."""

    encoder: Params
    weights: Array
    bias: Array
    supported: Array | None = None


def proto_maml(
    encoder: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    truncation: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Proto-MAML: the inner loop begins as Prototypical networks and ends as MAML.

        c_k                    = mean of encoder(x) over support examples of class k
        W_0 = 2 c,  b_0        = -|c|^2                     so that  z W_0 + b_0 = |z|^2 - |z - c|^2
        (encoder, W, b)_{i+1}  = (encoder, W, b)_i - inner_lr * grad L_support((encoder, W, b)_i)
        loss                   = L_query((encoder, W, b)_K)

    The meta-gradient goes through the prototypes too, in first order as well. With no steps this is Prototypical
    networks: their logits differ by |z|^2, which is the same for all classes. Parameters are the encoder's; training
    and evaluation may use different ways.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn: as in `maml`.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: nothing; its results are of the first-order form.
    Source: Triantafillou et al. 2020, Meta-Dataset. https://arxiv.org/abs/1903.03096
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)

    def adapt(params: Params, support: Batch) -> ProtoMAMLAdapted:
        c = prototypes(calls.apply(encoder, params, support.x, support.weight), support)
        have = supported(support)

        def predict_these(moving: ProtoMAMLAdapted, x: Array, weight: Array | None = None) -> Array:
            return predict(moving._replace(supported=have), x, weight)

        start = ProtoMAMLAdapted(params, 2 * c, -jnp.sum(c * c, axis=-1))
        adapted = inner.fit(loop, predict_these, start, support)
        return adapted._replace(
            supported=have, encoder=calls.condition(encoder, adapted.encoder, support.x, support.weight)
        )

    def predict(adapted: ProtoMAMLAdapted, x: Array, weight: Array | None = None) -> Array:
        logits = calls.apply(encoder, adapted.encoder, x, weight) @ adapted.weights.T + adapted.bias[None]
        return possible(logits, adapted.supported)

    return episodic(encoder.init, adapt, predict, judge(loss_fn))
