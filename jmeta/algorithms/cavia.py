"""Fast context adaptation: a task is a short vector (Zintgraf et al. 2019)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.checks import check_sizes
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


class CAVIAAdapted(NamedTuple):
    """The model's parameters, which all tasks share, and the context `[context_size]` of one task."""

    model: Params
    context: Array


def cavia(
    model: Model,
    *,
    context_size: int,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    truncation: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """CAVIA: the inner loop moves a context, one more input of the model, and no parameter at all.

        context_0     = 0
        context_{k+1} = context_k - inner_lr * grad L_support(context_k; params)
        loss          = L_query(context_K; params)

    Args:
        model: a `Model` whose input is a pair `(x [N, ...], context [context_size])`, such as `jmeta.nets.ContextMLP`
            or `jmeta.nets.FiLMConvNet`; to logits `[N, way]`.
        context_size: numbers that a task has for itself, 1 or more.
        inner_optimizer: an Optax rule; `optax.sgd(1.0)` is the paper's.
        inner_steps, inner_grad, truncation, loss_fn: as in `maml`.
        first_order: leave the second derivative out, which takes the context for a constant; `truncation=0`.

    Raises:
        ValueError: if `context_size` is below 1, or `inner_steps` or `truncation` is negative.

    Differs from the paper: nothing.
    Source: Zintgraf et al. 2019, Fast Context Adaptation via Meta-Learning, algorithm 1.
    https://arxiv.org/abs/1810.03642
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)
    check_sizes(context_size=context_size)

    def start(x: Array) -> Array:
        return jnp.zeros(context_size, x.dtype if jnp.issubdtype(x.dtype, jnp.floating) else float)

    def init(key: Array, x: Array) -> Params:
        return model.init(key, (x, start(x)))

    def adapt(params: Params, support: Batch) -> CAVIAAdapted:
        in_context = lambda context, x, weight: predict(CAVIAAdapted(params, context), x, weight)
        context = inner.fit(loop, in_context, start(support.x), support)
        return CAVIAAdapted(calls.condition(model, params, (support.x, context), support.weight), context)

    def predict(adapted: CAVIAAdapted, x: Array, weight: Array | None = None) -> Array:
        return calls.apply(model, adapted.model, (x, adapted.context), weight)

    return episodic(init, adapt, predict, judge(loss_fn))
