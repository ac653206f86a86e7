"""Drop-ins for `jax.grad` that make an inner loop cheaper to differentiate: the same gradient, less memory."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

Grad = Callable[..., Callable[..., Any]]
"""`jax.grad` or another with its arguments: `(fun, argnums=0, has_aux=False) -> gradient function`."""


def remat_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """`jax.grad` that keeps nothing but its arguments for its own derivative, and computes the rest again.

    An inner loop then holds one set of parameters a step, and the activations of one step at a time. The arguments are
    those of `jax.grad`.
    """
    return jax.checkpoint(jax.grad(fun, argnums, has_aux=has_aux))


def mixed_grad(fun: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable[..., Any]:
    """`jax.grad` whose own backward pass is forward-over-reverse.

    Reverse mode over a gradient keeps and walks back through both of its passes. The Hessian is symmetric, so that its
    product with a cotangent v, and that of the mixed derivatives in all that the loss depends on, is also the
    derivative of the gradient along v,

        v -> d/de grad_(params, rest) L(params + e v, rest) at e = 0

    which needs one tangent beside each value, and nothing from the forward pass but the arguments.

    The arguments are those of `jax.grad`. `fun` may close over traced values, and arguments that it is not
    differentiated in may be of any dtype. An aux that is differentiated too costs another backward pass. The gradient
    function has derivatives of any order in reverse mode, and none in forward mode.

    Example:
        >>> fun = lambda x, c: c * x**3
        >>> jax.grad(mixed_grad(fun), argnums=(0, 1))(2.0, 5.0) == jax.grad(jax.grad(fun), argnums=(0, 1))(2.0, 5.0)
        True

    Differs from the paper: theirs also chooses which of the inner steps to keep; here each step keeps its parameters.
    Source: Kemaev et al. 2025, Scalable Meta-Learning via Mixed-Mode Differentiation, section 3.
    https://arxiv.org/abs/2505.00793
    """

    def grad_fn(*args: Any) -> Any:
        # The program with all that it closes over, as arguments: a custom derivative may not close over tracers.
        closed, shape = jax.make_jaxpr(fun, return_shape=True)(*args)
        chosen = [i % len(args) for i in ((argnums,) if isinstance(argnums, int) else argnums)]

        def evaluate(wrt: list[Any], rest: tuple[Any, list[Array]]) -> tuple[Array, Any]:
            others, consts = rest
            args = list(others)
            for i, value in zip(chosen, wrt, strict=True):
                args[i] = value
            leaves = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))(*jax.tree.leaves(args))
            out = jax.tree.unflatten(jax.tree.structure(shape), leaves)
            return out if has_aux else (out, None)

        @jax.custom_vjp
        def gradient(wrt: list[Any], rest: tuple[Any, list[Array]]) -> tuple[list[Any], Any]:
            return jax.grad(evaluate, has_aux=True)(wrt, rest)

        def forward(wrt: list[Any], rest: tuple[Any, list[Array]]) -> tuple[Any, Any]:
            return gradient(wrt, rest), (wrt, rest)

        def backward(kept: tuple[Any, Any], cotangent: tuple[list[Any], Any]) -> tuple[Any, Any]:
            wrt, rest = kept
            along, aux_cotangent = cotangent
            floats = jax.tree.map(lambda a: a if jnp.issubdtype(jnp.result_type(a), jnp.inexact) else None, rest)

            def part(index: int) -> Callable[..., Any]:
                return lambda wrt, floats: evaluate(wrt, _merged(floats, rest))[index]

            product = jax.jvp(lambda wrt: jax.grad(part(0), argnums=(0, 1))(wrt, floats), (wrt,), (along,))[1]
            if jax.tree.leaves(aux_cotangent):
                _, pull = jax.vjp(part(1), wrt, floats)
                product = jax.tree.map(jnp.add, product, pull(aux_cotangent))
            return product

        gradient.defvjp(forward, backward)
        others = tuple(() if i in chosen else arg for i, arg in enumerate(args))
        grads, aux = gradient([args[i] for i in chosen], (others, list(closed.consts)))
        found = grads[0] if isinstance(argnums, int) else tuple(grads)
        return (found, aux) if has_aux else found

    return grad_fn


def _merged(floats: Any, tree: Any) -> Any:
    """A tree with other floats; `floats` has None for leaves of other dtypes, which have no derivative."""
    return jax.tree.map(lambda new, old: old if new is None else new, floats, tree, is_leaf=lambda a: a is None)
