"""Optax rules as loops call them: any rule, differentiated right wherever a gradient is 0."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from jmeta.types import Params


def move(
    rule: optax.GradientTransformation,
    grads: Params,
    state: Any,
    params: Params,
    *,
    value_fn: Callable[[Params], Array] | None = None,
    grad_fn: Callable[..., Params] | None = None,
    through: Callable[[Callable[..., Any]], Callable[..., Any]] | None = None,
) -> tuple[Params, Any]:
    """Parameters and the rule's state after one step.

        params <- params + update(grads, state, params)

    Where steps are differentiated, `smooth` gives them a derivative wherever the rule has one: the square root of
    Adam's second moment, or of the norm that a gradient is clipped by, counts as flat at 0, where its slope is
    infinite. A unit that is off for all examples, whose gradient is 0 all around, then adds nothing, in place of NaN.

    Args:
        rule: any Optax rule.
        grads: of the structure of `params`.
        state: of the rule.
        params: where the step starts.
        value_fn: `params -> []`, the loss, for rules that ask for it, such as `optax.polyak_sgd` and line searches.
        grad_fn: `(params, step) -> gradient`, for rules that ask for it; None for that of `value_fn`.
        through: what becomes of the rule's update, `smooth` where it is differentiated. None leaves it as it is, as
            outer steps do: `smooth` costs them a hundredth of their time.

    Raises:
        ValueError: if the rule asks for something else.
    """
    offered = {}
    if value_fn is not None and _asks(rule, grads, state, params):
        offered = _offers(value_fn, grad_fn, params, grads)
        wanted = inspect.signature(rule.update).parameters.values()
        if not any(p.kind is p.VAR_KEYWORD for p in wanted):
            offered = {p.name: offered[p.name] for p in wanted if p.name in offered}

    def update(grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
        try:
            return rule.update(grads, state, params, **offered)
        except TypeError as error:
            told = "a gradient" if value_fn is None else "a gradient and the loss"
            raise ValueError(f"this Optax rule asks for more than {told}, so choose another: {error}") from error

    updates, state = (update if through is None else through(update))(grads, state, params)
    return optax.apply_updates(params, updates), state


def _asks(rule: optax.GradientTransformation, grads: Params, state: Any, params: Params) -> bool:
    """Whether a rule has a word for more than the gradient, or does nothing without: most do, and cost nothing then."""
    if not isinstance(rule, optax.GradientTransformationExtraArgs):
        return False
    if any(p.kind is p.KEYWORD_ONLY for p in inspect.signature(rule.update).parameters.values()):
        return True
    try:
        jax.eval_shape(rule.update, grads, state, params)
    except (TypeError, ValueError):
        return True
    return False


def _offers(value_fn: Any, grad_fn: Any, params: Params, grads: Params) -> dict[str, Any]:
    """What rules may ask for, by the names that Optax has for it."""

    def of(params: Params, *, loss: Any = None, obj_fn: Any = None, grad_fn: Any = None) -> Array:
        return value_fn(params)  # line searches hand on to it what they are given, by name

    own_grad = lambda params, step=None: jax.grad(value_fn)(params)
    value = value_fn(params)
    grad_fn = own_grad if grad_fn is None else grad_fn
    return {"value": value, "loss": value, "grad": grads, "value_fn": of, "obj_fn": of, "grad_fn": grad_fn}


def no_derivative(value: Array) -> Array:
    """The same value, which can't be differentiated.

    Raises:
        ValueError: where it is.
    """
    return _undifferentiated(value)


@jax.custom_jvp
def _undifferentiated(value: Array) -> Array:
    return value


@_undifferentiated.defjvp
def _refused(primals: tuple[Array], tangents: tuple[Array]) -> Any:
    raise ValueError(
        "this Optax rule searches until it has found a good step, or turns gradients by a decomposition, and so has no "
        "derivative: choose another where it is differentiated, or take its gradients for constants by first_order=True"
    )


def smooth(fun: Callable[..., Any], *, search: Callable[[Array], Array] = no_derivative) -> Callable[..., Any]:
    """The same function, to the bit, whose roots, quotients and logarithms have the derivative 0 at 0.

    Where a slope is infinite, reverse mode multiplies it by the 0 that belongs to it, and the product is NaN. Nothing
    else is changed: a function that has none of them becomes the same program.

    Args:
        fun: a function of pytrees of arrays, as many as wanted.
        search: what becomes of the results of a function that loops until a condition holds, which has no derivative in
            reverse mode.

    Example:
        >>> jax.grad(lambda x: smooth(jnp.sqrt)(x * x))(0.0).item(), jax.grad(lambda x: jnp.sqrt(x * x))(0.0).item()
        (0.0, nan)
    """

    def smoothed(*args: Any) -> Any:
        closed, shape = jax.make_jaxpr(fun, return_shape=True)(*args)
        leaves = _evaluate(closed.jaxpr, closed.consts, jax.tree.leaves(args))
        leaves = list(map(search, leaves)) if _searches(closed.jaxpr) else leaves
        return jax.tree.unflatten(jax.tree.structure(shape), leaves)

    return smoothed


def _flat_at_zero(primitive: Any, values: Sequence[Array], params: Mapping[str, Any]) -> Array:
    """What a primitive gives, with no derivative where that would be infinite."""
    argument, power = STEEP[primitive.name]
    steep = jnp.abs(values[argument]) <= jnp.finfo(values[argument].dtype).max ** -power
    if primitive.name == "pow":
        steep &= values[1] < 1
    moved = [jnp.where(steep, jnp.ones_like(a), a) if i == argument else a for i, a in enumerate(values)]
    there = primitive.bind(*(lax.stop_gradient(a) for a in values), **params)
    return jnp.where(steep, there, primitive.bind(*moved, **params))


# The argument near whose 0 the derivative is infinite, and its power there: that of 1 / sqrt(x) is x^-1.5.
STEEP = {"sqrt": (0, 2), "rsqrt": (0, 0.6), "cbrt": (0, 1.4), "log": (0, 1), "pow": (0, 0.6), "div": (1, 0.45)}
CALLS = {"jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr"}


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    env: dict[Any, Any] = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    read = lambda var: var.val if isinstance(var, Literal) else env[var]
    for eqn in jaxpr.eqns:
        env.update(zip(eqn.outvars, _bind(jaxpr, eqn, [read(var) for var in eqn.invars]), strict=True))
    return [read(var) for var in jaxpr.outvars]


def _bind(jaxpr: Jaxpr, eqn: Any, values: list[Any]) -> list[Any]:
    """The results of one operation, flat at 0 also inside of what it calls."""
    name, params = eqn.primitive.name, eqn.params
    if name in STEEP and jnp.issubdtype(eqn.outvars[0].aval.dtype, jnp.inexact):
        return [_flat_at_zero(eqn.primitive, values, params)]
    if name in CALLS:
        return _call(params[CALLS[name]])(*values)
    if name == "cond":
        return lax.switch(values[0], [_call(branch) for branch in params["branches"]], *values[1:])
    named = {var: value for var, value in zip(eqn.invars, values, strict=True) if not isinstance(var, Literal)}
    alone = jaxpr.replace(constvars=[], invars=list(named), outvars=eqn.outvars, eqns=[eqn])
    return jaxpr_as_fun(ClosedJaxpr(alone, ()))(*named.values())


def _call(closed: Any) -> Callable[..., list[Any]]:
    closed = closed if isinstance(closed, ClosedJaxpr) else ClosedJaxpr(closed, ())
    return lambda *args: _evaluate(closed.jaxpr, closed.consts, args)


# Loops that end when they are good enough, and decompositions whose vectors turn where two values meet.
NO_DERIVATIVE = {"while", "svd", "eigh", "qr", "householder_product"}


def _searches(jaxpr: Jaxpr) -> bool:
    """Whether what has no derivative is anywhere in a program."""
    return any(eqn.primitive.name in NO_DERIVATIVE or any(map(_searches, _inside(eqn.params))) for eqn in jaxpr.eqns)


def _inside(params: Mapping[str, Any]) -> list[Jaxpr]:
    found = [p for value in params.values() for p in (value if isinstance(value, tuple | list) else [value])]
    return [p.jaxpr if isinstance(p, ClosedJaxpr) else p for p in found if isinstance(p, ClosedJaxpr | Jaxpr)]
