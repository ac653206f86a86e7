"""A learned rule as a learner of episodes: it adapts a model, whose start is learned with it."""

from functools import partial
from typing import NamedTuple

import jax
from jax import Array

from jmeta import calls, inner
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.optimizers.types import Rule
from jmeta.types import Batch, Learner, Model, Params, episodic


class LearnedOptimizerParams(NamedTuple):
    """Where a model starts, and the parameters of the rule that it adapts by."""

    model: Params
    theta: Params


def learned_optimizer(
    model: Model,
    rule: Rule,
    *,
    inner_steps: int,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """MAML whose inner rule is learned too.

        params_{k+1} = params_k + update_theta(grad L_support(params_k)),   loss = L_query(params_K)

    With `rules.schedule([rate])` it begins as MAML, and with the rate held fixed it is MAML.

    Args:
        model: any `Model`; `x [N, ...]` to logits `[N, way]`.
        rule: any of `rules`.
        inner_steps: K, 0 or more.
        first_order: take inner gradients for constants.
        inner_grad: how they are taken, as in `jmeta.maml`.
        loss_fn: `(prediction, y) -> [N]`, for support and query.

    Raises:
        ValueError: if `inner_steps` is negative.

    Source: Ravi and Larochelle 2017, Optimization as a Model for Few-Shot Learning, for a start that is learned
    together with an LSTM's rule. https://openreview.net/forum?id=rJY0-Kcll
    """
    inner.check_steps(inner_steps)
    predict = partial(calls.apply, model)

    def init(key: Array, x: Array) -> LearnedOptimizerParams:
        one, other = jax.random.split(key)
        start = model.init(one, x)
        return LearnedOptimizerParams(start, rule.init(other, start))

    def adapt(params: LearnedOptimizerParams, support: Batch) -> Params:
        optimizer = rule.make(params.theta)
        loop = inner.inner_loop(optimizer, inner_steps, first_order, inner_grad, None, loss_fn)
        adapted = inner.fit(loop, predict, params.model, support)
        return calls.condition(model, adapted, support.x, support.weight)

    return episodic(init, adapt, predict, judge(loss_fn))
