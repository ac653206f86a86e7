"""The compiled loop of many steps, and the compiled map over many items: any number by one program."""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial

PIECE = 1024  # steps of one call of the compiled loop, and so the length of its buffer of metrics
KEPT = 16  # maps whose programs are kept; those used least lately are let go

Update = Callable[[Any], tuple[Any, Any]]
"""`state -> (state, metrics)`, any two pytrees."""

Advance = Callable[[Any, int], tuple[Any, Any]]
"""`(state, num_steps) -> (state, metrics)`."""

Over = Callable[[Callable[..., Any]], Callable[..., Any]]
"""`jax.vmap` or another that makes a function of one into a function of many, along leading axes."""


def steps(update: Update, state: Any, num_steps: Array) -> tuple[Any, Any]:
    """The state after 0 to `PIECE` steps inside a program, and metrics `[PIECE, ...]`, zeros from `num_steps` on.

    `num_steps` is a traced integer `[]`, so that the loop has no reverse-mode derivative.
    """
    once = jax.jit(update)  # traced once, for its shapes and for the loop
    one = jax.eval_shape(once, state)[1]
    empty = jax.tree.map(lambda a: jnp.zeros((PIECE, *a.shape), a.dtype), one)

    def body(i: Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        state, metrics = once(carry[0])
        return state, jax.tree.map(lambda kept, new: kept.at[i].set(new), carry[1], metrics)

    # XLA compiles scans of different lengths to programs that differ in the last bit. The count is a traced number
    # here, and the metrics' buffer has one size, so that one program runs every piece.
    return lax.fori_loop(0, num_steps, body, (state, empty))


def in_pieces(advance: Advance, state: Any, num_steps: int, axis: int = 0) -> tuple[Any, Any]:
    """Any number of steps, by a program that takes up to `PIECE` and has the metrics that `steps` has on an axis."""
    num_steps = operator.index(num_steps)
    if num_steps < 0:
        raise ValueError(f"steps must be 0 or more, got {num_steps}: give how many to take from this state on")
    parts = []
    for done in range(0, max(num_steps, 1), PIECE):
        count = min(PIECE, num_steps - done)
        state, metrics = advance(state, count)
        parts.append(jax.tree.map(lambda a, n=count: lax.slice_in_dim(a, 0, n, axis=axis), metrics))
    return state, parts[0] if len(parts) == 1 else jax.tree.map(lambda *a: jnp.concatenate(a, axis), *parts)


def repeat(update: Update) -> Advance:
    """Many steps as one compiled program: `run(state, num_steps) -> (state, metrics [num_steps, ...])`.

    One program runs any number of steps, so that a run which is cut into pieces anywhere gives the same bits. It can be
    under `vmap` over states. An `update` that is a `jax.tree_util.Partial` carries its data as arguments.

    Example:
        >>> run = repeat(lambda n: (n + 1, {"square": n * n}))
        >>> state, metrics = run(jnp.int32(0), 4)
        >>> state.item(), metrics["square"].tolist()
        (4, [0, 1, 4, 9])
    """
    # A function of its own, with which its programs go. Its arguments are the data of the update alone: JAX keeps what
    # is not an array of an argument, and so all that a function of it has compiled.
    data, structure = jax.tree.flatten(as_partial(update))
    piece = jax.jit(lambda data, state, num_steps: steps(jax.tree.unflatten(structure, data), state, num_steps))
    return lambda state, num_steps: in_pieces(functools.partial(piece, data), state, num_steps)


def one_by_one(fun: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.vmap(fun)` that computes one after another."""
    return lambda *args: lax.map(lambda one: fun(*one), args)


def mapped(fun: Callable[[Any], Any], xs: Any, *, chunk_size: int = 1) -> Any:
    """`fun` of each of many items, along a leading axis, compiled once for the same function.

    The data of a `jax.tree_util.Partial`, and of Partials among them, are arguments of the program, which is kept for
    the functions. `chunk_size` items are computed at once; memory grows with it.

    Example:
        >>> mapped(Partial(jnp.multiply, jnp.int32(3)), jnp.arange(4), chunk_size=2).tolist()
        [0, 3, 6, 9]
    """
    data, structure = jax.tree.flatten(as_partial(fun))
    return _kept(structure, chunk_size)(data, xs)


@functools.lru_cache(KEPT)
def _kept(structure: Any, chunk_size: int) -> Callable[..., Any]:
    """The map for a `Partial` of this structure, which says what functions are in it."""
    size = None if chunk_size == 1 else chunk_size  # a batch of one has more to trace, and computes the same
    return jax.jit(lambda data, xs: lax.map(jax.tree.unflatten(structure, data), xs, batch_size=size))


def as_partial(fun: Callable[..., Any]) -> Partial:
    """The same function in a form that `jit` takes as an argument, so that the data it carries is not compiled in."""
    return fun if isinstance(fun, Partial) else Partial(fun)
