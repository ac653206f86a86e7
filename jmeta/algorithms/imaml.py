"""MAML with implicit gradients (Rajeswaran et al. 2019)."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import calls, inner
from jmeta.checks import check_above_zero
from jmeta.losses import LossFn, cross_entropy, loss_on, query_loss
from jmeta.solvers import Solver, conjugate_gradient
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


def imaml(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    regularization: float,
    solver: Solver | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """iMAML: a task stays near the parameters; the meta-gradient comes from where it got to, and not from the way.

        phi                = K steps on L_support(phi) + regularization / 2 * |phi - params|^2, from params
        d loss / d params := (I + H / regularization)^-1 grad L_query(phi),   H = Hessian of L_support at phi

    At the minimum of the inner problem this is the exact gradient of L_query(phi). Memory does not grow with K.

    Args:
        model, inner_steps, loss_fn: as in `maml`.
        inner_optimizer: an Optax rule, which need not be differentiable.
        regularization: lambda in the paper, above 0; above the size of H's most negative eigenvalue, too, for the
            inner problem to have one minimum and the linear system one solution. `inner_optimizer` must be stable for
            H + lambda.
        solver: `(matvec, b) -> x` with `matvec(x) = b`, such as `jmeta.solvers.conjugate_gradient(steps)` or
            `jmeta.solvers.neumann(steps, rate)`. Each of its steps costs about two gradients. None for five steps of
            conjugate gradients.

    Raises:
        ValueError: if `inner_steps` is negative, or `regularization` is not above 0 or not finite.

    Differs from the paper: L is the mean over examples. Every inner step is regularized, as the paper writes it; the
    authors' code takes steps without, then one of the regularization alone, and damps its linear system.
    Source: Rajeswaran et al. 2019, Meta-Learning with Implicit Gradients, algorithms 1 and 2.
    https://arxiv.org/abs/1909.04630
    """
    inner.check_steps(inner_steps)
    check_above_zero("regularization", regularization)
    solve = conjugate_gradient(5) if solver is None else solver
    predict = partial(calls.apply, model)

    def move(params: Params, support: Batch) -> Params:
        task_loss = loss_on(support, predict, loss_fn)
        gradient = jax.grad(task_loss)

        def grad_fn(phi: Params) -> Params:
            return jax.tree.map(lambda g, p, start: g + regularization * (p - start), gradient(phi), phi, params)

        def value_fn(phi: Params) -> Array:
            away = jax.tree.map(lambda p, start: jnp.sum(jnp.square(p - start)), phi, params)
            return task_loss(phi) + regularization / 2 * jax.tree.reduce(jnp.add, away)

        return inner.descend(grad_fn, params, inner_optimizer, inner_steps, value_fn=value_fn)

    def adapt(params: Params, support: Batch) -> Params:
        return calls.condition(model, move(params, support), support.x, support.weight)

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode
        phi = move(lax.stop_gradient(params), support)

        def outer(phi: Params) -> tuple[Array, Metrics]:
            adapted = calls.condition(model, phi, support.x, support.weight)
            return query_loss(predict(adapted, query.x, query.weight), query, loss_fn)

        (value, metrics), grad = jax.value_and_grad(outer, has_aux=True)(phi)
        # Forward over reverse, with all that does not depend on the direction computed once.
        _, hessian = jax.linearize(jax.grad(loss_on(support, predict, loss_fn)), phi)

        def matvec(v: Params) -> Params:
            return jax.tree.map(lambda v, product: v + product / regularization, v, hessian(v))

        return inner.attach_gradient(value, params, solve(matvec, grad)), metrics

    return learner(model.init, adapt, predict, loss)
