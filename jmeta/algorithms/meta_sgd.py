"""Meta-SGD: learn the initialization and a rate for every parameter (Li et al. 2017)."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.checks import check_above_zero
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class MetaSGDParams(NamedTuple):
    """The initialization, and rates of the same structure and shapes."""

    model: Params
    lr: Params


def meta_sgd(
    model: Model,
    *,
    inner_lr: float,
    inner_steps: int,
    inner_grad: Grad = jax.grad,
    truncation: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Meta-SGD: MAML with a learned rate for every parameter; a `Learner` of `MetaSGDParams`.

        params_{k+1} = params_k - lr * grad L_support(params_k)     (elementwise)
        loss         = L_query(params_K)

    Args:
        model: as in `maml`.
        inner_lr: where every rate starts, above 0.
        inner_steps, inner_grad, truncation, loss_fn: as in `maml`.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative, or `inner_lr` is not above 0 or not finite.

    Differs from the paper: every rate starts at `inner_lr`, where the paper draws them from an interval, and several
    steps may be taken, with the same rates. Rates may become negative, as there.
    Source: Li et al. 2017, Meta-SGD, algorithm 1. https://arxiv.org/abs/1707.09835
    """
    loop = inner.inner_loop(optax.sgd(inner_lr), inner_steps, False, inner_grad, truncation, loss_fn)
    check_above_zero("inner_lr", inner_lr, "for Meta-SGD to learn from")
    predict = partial(calls.apply, model)

    def init(key: Array, x: Array) -> MetaSGDParams:
        params = model.init(key, x)
        return MetaSGDParams(params, jax.tree.map(lambda p: jnp.full_like(p, inner_lr), params))

    def adapt(params: MetaSGDParams, support: Batch) -> Params:
        scale = optax.stateless(lambda grads, _: jax.tree.map(lambda lr, g: -lr * g, params.lr, grads))
        adapted = inner.fit(loop._replace(optimizer=scale), predict, params.model, support)
        return calls.condition(model, adapted, support.x, support.weight)

    return episodic(init, adapt, predict, judge(loss_fn))
