"""The verbs that inner loops are composed of."""

import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import checks, rules
from jmeta.gradients import Grad
from jmeta.losses import LossFn, loss_on
from jmeta.types import Batch, Params

MANY = 100
"""Steps above which an inner loop is differentiated in segments: a forward pass more, and memory of a square root."""

GradFn = Callable[[Params], Params]
"""`params -> gradient`, of the same structure."""


class InnerLoop(NamedTuple):
    """How a task is learned by gradient steps."""

    optimizer: optax.GradientTransformation
    steps: int
    grad: Grad
    truncation: int | None
    loss_fn: LossFn


def inner_loop(
    optimizer: optax.GradientTransformation,
    steps: int,
    first_order: bool,
    grad: Grad,
    truncation: int | None,
    loss_fn: LossFn,
) -> InnerLoop:
    """An `InnerLoop` of arguments as algorithms take them, see `maml`; ValueError for negative steps or truncation."""
    truncation = 0 if first_order else truncation
    check_steps(steps, truncation)
    return InnerLoop(optimizer, steps, grad, truncation, loss_fn)


def fit(loop: InnerLoop, predict: Callable[..., Array], params: Params, support: Batch) -> Params:
    """Take an inner loop's steps on the mean loss of a support set; what is passed as `params` is what adapts."""
    loss = loss_on(support, predict, loop.loss_fn)
    return descend(loop.grad(loss), params, loop.optimizer, loop.steps, truncation=loop.truncation, value_fn=loss)


def descend(
    grad_fn: GradFn,
    params: Params,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    truncation: int | None = None,
    value_fn: Callable[[Params], Array] | None = None,
) -> Params:
    """The parameters after steps of any Optax rule; differentiable through every step.

        params_{k+1} = params_k + update(grad_fn(params_k))

    More than 100 steps are differentiated in segments, each of which is computed again: memory grows as their root.

    Args:
        grad_fn: `params -> gradient`, of the same structure.
        params: where to start; whatever is passed here is what adapts.
        optimizer: an Optax rule, started afresh. Roots and norms in it have the derivative 0 at 0, see `rules.smooth`.
        num_steps: an integer, or a traced one where no reverse-mode derivative is taken, which lets one compiled
            program serve any number of steps.
        truncation: how many steps, counted from the last, are differentiated through `grad_fn`; in those before, the
            gradient is a constant. None for all; 0 is first order.
        value_fn: `params -> []`, the loss, for rules that ask for it, such as `optax.polyak_sgd` and `optax.lbfgs`.

    Raises:
        ValueError: if `num_steps` or `truncation` is negative, the rule asks for what is not there, or it searches, as
            line searches do, and is differentiated through.

    Example:
        Three steps on (p - 2)^2 / 2 leave half of the way at each, and so does the derivative in the start.

        >>> descend(lambda p: p - 2.0, jnp.array(10.0), optax.sgd(0.5), 3).item()
        3.0
        >>> jax.grad(lambda start: descend(lambda p: p - 2.0, start, optax.sgd(0.5), 3))(10.0).item()
        0.125

    Source: Shaban et al. 2019, Truncated Back-propagation for Bilevel Optimization, for truncation.
    https://arxiv.org/abs/1810.10667
    """
    value_at = None if value_fn is None else lambda params, _: value_fn(params)
    along = lambda params, _: grad_fn(params)
    return descend_along(along, params, optimizer, num_steps, truncation=truncation, value_fn=value_at)


def descend_along(
    grad_fn: Callable[[Params, Array], Params],
    params: Params,
    optimizer: optax.GradientTransformation,
    num_steps: int,
    *,
    truncation: int | None = None,
    value_fn: Callable[[Params, Array], Array] | None = None,
) -> Params:
    """`descend` with a gradient, and a loss, that know the step: `(params, step) -> gradient`, for mini-batches."""
    check_steps(num_steps, truncation)
    num_steps = checks.steps(num_steps)

    state = optimizer.init(params)

    def move(grads: Params, carry: Any, step: Array, search: Callable[[Array], Array]) -> tuple[Params, Any]:
        value_at = None if value_fn is None else partial(_at, value_fn, step)
        smooth = partial(rules.smooth, search=search)
        return rules.move(optimizer, grads, carry[1], carry[0], value_fn=value_at, through=smooth)

    if jax.tree.leaves(state):  # Adam would keep each of its intermediate results, all as large as the parameters.
        move = jax.checkpoint(move, prevent_cse=False, static_argnums=3)

    def loop(grad_fn: Callable[[Params, Array], Params], search: Any, carry: Any, first: int, last: int) -> Any:
        def body(step: Array, carry: tuple[Params, optax.OptState]) -> tuple[Params, optax.OptState]:
            return move(grad_fn(carry[0], step), carry, step, search)

        # A single step needs no loop, whose carry would copy parameters that all tasks share for each of them.
        if isinstance(last, int) and last - first == 1:
            return body(jnp.int32(first), carry)
        if isinstance(last, int) and last - first > MANY:
            return _in_segments(body, carry, first, last)
        return lax.fori_loop(first, last, body, carry)

    def constant(params: Params, step: Array) -> Params:
        return first_order(lambda params: grad_fn(params, step))(params)

    carry, through = (params, state), rules.no_derivative
    if truncation is None or not isinstance(num_steps, int) or truncation >= num_steps:
        return loop(grad_fn, through, carry, 0, num_steps)[0]
    carry = loop(constant, lax.stop_gradient, carry, 0, num_steps - truncation)
    return loop(grad_fn, through, carry, num_steps - truncation, num_steps)[0] if truncation else carry[0]


def _in_segments(body: Callable[[Array, Any], Any], carry: Any, first: int, last: int) -> Any:
    """`lax.fori_loop` whose derivative computes its segments again, and so keeps 2 sqrt(n) carries of n steps.

    Source: Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, section 4. https://arxiv.org/abs/1604.06174
    """
    size = math.isqrt(last - first)

    @partial(jax.checkpoint, prevent_cse=False)
    def segment(carry: Any, start: Array) -> tuple[Any, None]:
        return lax.fori_loop(0, size, lambda i, carry: body(start + i, carry), carry), None

    starts = jnp.arange(first, last - size + 1, size, dtype=jnp.int32)
    carry, _ = lax.scan(segment, carry, starts)
    return lax.fori_loop(first + size * len(starts), last, body, carry)


def _at(value_fn: Callable[[Params, Array], Array], step: Array, params: Params) -> Array:
    return value_fn(params, step)


def check_steps(num_steps: int | Array, truncation: int | None = None) -> None:
    """ValueError for a negative number of inner steps, where it is known, or truncation; TypeError for no integer."""
    if checks.known(num_steps) and checks.steps(num_steps) < 0:
        raise ValueError(f"the number of inner steps must be 0 or more, got {num_steps}")
    if truncation is not None and operator.index(truncation) < 0:
        raise ValueError(f"truncation must be 0 steps or more, or None for all, got {truncation}")


def first_order(grad_fn: GradFn) -> GradFn:
    """The same gradient with a zero derivative: a constant of the outer problem, without a second derivative.

    Example:
        >>> grad_fn = first_order(lambda p: p - 2.0)
        >>> grad_fn(jnp.array(10.0)).item(), jax.grad(grad_fn)(10.0).item()
        (8.0, 0.0)

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, section 5.2. https://arxiv.org/abs/1703.03400
    """
    return lambda params: lax.stop_gradient(grad_fn(lax.stop_gradient(params)))


def attach_gradient(value: Array, params: Params, grad: Params) -> Array:
    """Return `value` with a chosen gradient in `params`, in place of its own.

        d/dparams attach_gradient(value, params, grad) = grad

    `value` is a scalar, and `params` and `grad` are pytrees of the same structure.

    Raises:
        AssertionError: if they are not.

    Example:
        >>> value, grad = jax.value_and_grad(lambda p: attach_gradient(p**2, p, jnp.array(7.0)))(3.0)
        >>> value.item(), grad.item()
        (9.0, 7.0)
    """

    chex.assert_trees_all_equal_structs(params, grad)

    @jax.custom_vjp
    def attached(params: Params, value: Array, grad: Params) -> Array:
        return value

    def forward(params: Params, value: Array, grad: Params) -> tuple[Array, Params]:
        return value, grad

    def backward(grad: Params, cotangent: Array) -> tuple[Params, Array, Params]:
        along = jax.tree.map(lambda g: cotangent * g, grad)
        return along, jnp.zeros_like(cotangent), jax.tree.map(jnp.zeros_like, grad)

    attached.defvjp(forward, backward)
    return attached(params, value, grad)
