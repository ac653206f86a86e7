"""A rule at work on a problem, as a system that theta moves."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import rules
from jmeta.checks import check_sizes
from jmeta.gradients import Grad
from jmeta.inner import first_order
from jmeta.optimizers.types import Problem, Rule, Unroll
from jmeta.types import Params


class Inner(NamedTuple):
    """What an inner optimization carries from step to step."""

    params: Params
    task: Any
    opt_state: Any


def every(horizon: int) -> Callable[[Array], Array]:
    """Weights by which the mean of all losses counts, 1 / horizon each."""
    return lambda t: jnp.full_like(t, 1.0 / horizon, jnp.float32)


def last(horizon: int) -> Callable[[Array], Array]:
    """Weights by which the loss after the last step alone counts."""
    return lambda t: (t == horizon).astype(jnp.float32)


def constant_grad(fun: Callable[..., Array], argnums: int = 0, has_aux: bool = False) -> Callable[..., Any]:
    """`jax.grad` in the first argument whose gradient is a constant: the rule's inputs are not differentiated."""
    return lambda params, *rest: first_order(lambda p: jax.grad(fun, argnums, has_aux=has_aux)(p, *rest))(params)


def unroll(
    problem: Problem,
    rule: Rule,
    *,
    horizon: int,
    weight: Callable[[int], Callable[[Array], Array]] = every,
    grad: Grad = jax.grad,
) -> Unroll:
    """A rule that optimizes a problem of its own each time, for so many steps.

        g_t = grad loss(p_t, batch),   p_{t+1} = p_t + update_theta(g_t),   loss_{t+1} = judge(p_{t+1}, another batch)

    Args:
        problem: what is optimized.
        rule: by which.
        horizon: steps.
        weight: `horizon -> weights` of the losses after each step: `every` or `last`.
        grad: how the inner gradient is taken: `jax.grad`; `constant_grad`, as Andrychowicz et al. do, which leaves
            second derivatives out; or one of `jmeta.gradients`.

    Raises:
        ValueError: if `horizon` is below 1.
    """
    check_sizes(horizon=horizon)
    judge = problem.loss if problem.judge is None else problem.judge

    def init(theta: Params, key: Array) -> Inner:
        params, task = problem.init(key)
        return Inner(params, task, rule.make(theta).init(params))

    def step(theta: Params, state: Inner, key: Array) -> tuple[Inner, Array]:
        first, second = jax.random.split(key)
        grads = grad(problem.loss)(state.params, state.task, first)
        params, opt_state = rules.move(rule.make(theta), grads, state.opt_state, state.params)
        return Inner(params, state.task, opt_state), judge(params, state.task, second)

    return Unroll(init, step, horizon, weight(horizon))


def run(unroll: Unroll, theta: Params, key: Array) -> tuple[Any, Array]:
    """The state after a whole unroll, and the losses `[horizon]` after each step."""
    first, rest = jax.random.split(key)
    keys = jax.random.split(rest, unroll.horizon)
    return jax.lax.scan(lambda state, key: unroll.step(theta, state, key), unroll.init(theta, first), keys)
