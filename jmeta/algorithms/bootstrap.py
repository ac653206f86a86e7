"""Bootstrapped meta-gradients: learn to be, in K steps, where more steps lead (Flennerhag et al. 2022)."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import calls, inner
from jmeta.checks import check_sizes
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, mean_loss, possible, query_loss, squared_error, weighted_mean
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class Point(NamedTuple):
    """What two ends of an inner loop are compared by: parameters of the model, and query predictions `[N, way]`."""

    params: Params
    prediction: Array


Matching = Callable[[Point, Point, Batch], Array]
"""`(target, adapted, query) -> []`, how far the adapted parameters are from the target."""


def prediction_kl(target: Point, adapted: Point, query: Batch) -> Array:
    """Mean over query examples of KL(softmax of the target's logits | softmax of the adapted ones), in nats.

    Raises:
        ValueError: for a single output, of which the softmax is always 1.

    Source: Flennerhag et al. 2022, Bootstrapped Meta-Learning, section 3. https://arxiv.org/abs/2109.04504
    """
    if target.prediction.shape[-1] == 1:
        raise ValueError(
            "prediction_kl compares probabilities, of which a single output has none: for regression give "
            "matching=prediction_distance"
        )
    log_p, log_q = (jax.nn.log_softmax(possible(point.prediction, query.classes)) for point in (target, adapted))
    return weighted_mean(jnp.sum(jnp.exp(log_p) * (log_p - log_q), axis=-1), query.weight)


def prediction_distance(target: Point, adapted: Point, query: Batch) -> Array:
    """Half the mean over query examples of `losses.squared_error` between the two predictions, for regression."""
    there, here = (possible(point.prediction, query.classes) for point in (target, adapted))
    return 0.5 * weighted_mean(squared_error(here, there), query.weight)


def parameter_distance(target: Point, adapted: Point, query: Batch) -> Array:
    """Half the squared distance of the parameters; the query examples have no part in it."""
    squares = jax.tree.map(lambda a, b: jnp.sum(jnp.square(a - b)), adapted.params, target.params)
    return 0.5 * jnp.sum(jnp.stack(jax.tree.leaves(squares)))


def bootstrapped(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    target_steps: int,
    target_optimizer: optax.GradientTransformation | None = None,
    matching: Matching = prediction_kl,
    inner_grad: Grad = jax.grad,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Bootstrapped meta-gradients: chase a target that further steps from the adapted parameters lead to.

        params_{k+1} = params_k - inner_lr * grad L_support(params_k)
        target       = params_{K+L-1} - target_lr * grad L_query(params_{K+L-1})     (a constant)
        loss         = matching(target, params_K)

    The gradient passes through K steps, and looks K + L ahead. With L = 1, `optax.sgd(target_lr)` and
    `parameter_distance`, it is `target_lr` times MAML's.

    It adapts as MAML does, and its metrics are of the query loss after K steps.

    Args:
        model, inner_steps, inner_grad, loss_fn: as in `maml`.
        inner_optimizer: an Optax rule, started afresh for the further steps.
        target_steps: L, 1 or more: L - 1 further steps on the support set and the last on the queries.
        target_optimizer: the rule of the last step; None for the inner one.
        matching: `(target, adapted, query) -> []`: `prediction_kl`, for regression `prediction_distance`, or
            `parameter_distance`.

    Raises:
        ValueError: if `inner_steps` is negative or `target_steps` is below 1; and from the loss, if `prediction_kl` is
            to match a single output.

    Differs from the paper: nothing; it leaves the target and the matching open. Its targets end with a step on the
    meta-objective, here the query loss.
    Source: Flennerhag et al. 2022, Bootstrapped Meta-Learning, section 3. https://arxiv.org/abs/2109.04504
    """
    loop = inner.inner_loop(inner_optimizer, inner_steps, False, inner_grad, None, loss_fn)
    check_sizes(target_steps=target_steps)
    further = loop._replace(steps=target_steps - 1)
    last_optimizer = inner_optimizer if target_optimizer is None else target_optimizer
    predict = partial(calls.apply, model)

    def adapt(params: Params, support: Batch) -> Params:
        adapted = inner.fit(loop, predict, params, support)
        return calls.condition(model, adapted, support.x, support.weight)

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode

        def point(params: Params) -> Point:
            ready = calls.condition(model, params, support.x, support.weight)
            return Point(params, predict(ready, query.x, query.weight))

        adapted = inner.fit(loop, predict, params, support)
        ahead = inner.fit(further, predict, lax.stop_gradient(adapted), support)
        on_query = lambda params: mean_loss(point(params).prediction, query, loss_fn)
        target = point(inner.descend(jax.grad(on_query), ahead, last_optimizer, 1, value_fn=on_query))
        here = point(adapted)
        return matching(target, here, query), query_loss(here.prediction, query, loss_fn)[1]

    return learner(model.init, adapt, predict, loss)
