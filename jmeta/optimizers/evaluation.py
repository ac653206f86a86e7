"""Any Optax rule at work on problems: curves of the loss, and baselines whose rate is tuned."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import loop
from jmeta.optimizers.types import Problem, Rule
from jmeta.optimizers.unroll import run, unroll
from jmeta.types import Params

BASELINES: dict[str, tuple[Callable[[Any], optax.GradientTransformation], np.ndarray]] = {
    "sgd": (optax.sgd, np.geomspace(1e-2, 10**1.5, 10)),
    "momentum": (functools.partial(optax.sgd, momentum=0.9), np.geomspace(1e-3, 10**0.5, 10)),
    "adam": (optax.adam, np.geomspace(10**-3.5, 1.0, 10)),
}
"""Rules that a learned one is put beside: from the rate, and the grid that it is chosen from."""

Make = Callable[[Params], optax.GradientTransformation]


class Curves(NamedTuple):
    """Of each problem, the loss at the start and after each step `[N, steps + 1]`, as a rule is judged by it, and at
    the end `[N]` on what is held out, or the last loss where nothing is."""

    losses: np.ndarray
    final: np.ndarray


def _curve(optimizer: optax.GradientTransformation, problem: Problem, key: Array, steps: int) -> tuple[Array, Array]:
    fixed = Rule(lambda key, params: (), lambda theta: optimizer)
    system = unroll(problem, fixed, horizon=steps)
    first, begin = jax.random.split(key)
    params, task = problem.init(jax.random.split(begin)[0])  # where `run` begins
    start = (problem.loss if problem.judge is None else problem.judge)(params, task, first)
    state, losses = run(system, (), begin)
    final = losses[-1] if problem.held_out is None else problem.held_out(state.params, state.task)
    return jnp.concatenate([start[None], losses]), final


def outcome(optimizer: optax.GradientTransformation, problem: Problem, key: Array, *, steps: int) -> Array:
    """The loss `[]` that an Optax rule ends with on one problem, as in `Curves.final`."""
    return _curve(optimizer, problem, key, steps)[1]


def curves(make: Make, theta: Params, problem: Problem, keys: Array, *, steps: int, chunk_size: int = 8) -> Curves:
    """`Curves` of a rule, `make(theta)`, on the problems of some keys, by one compiled program."""
    found = _mapped(make, theta, problem, keys, steps, chunk_size, each=False)
    return Curves(*(np.asarray(a, np.float64) for a in found))


def _mapped(make: Make, theta: Params, problem: Problem, keys: Array, steps: int, chunk_size: int, each: bool) -> Any:
    """`_curve` of theta for each key, or of `each` theta for its own key."""

    def one(problem: Problem, theta: Params, x: Any) -> tuple[Array, Array]:
        own, key = x if each else (theta, x)
        return _curve(make(own), problem, key, steps)

    of_all = Partial(one, as_arguments(problem), () if each else theta)
    return loop.mapped(of_all, (theta, keys) if each else keys, chunk_size=chunk_size)


def as_arguments(problem: Problem) -> Problem:
    """A problem that a compiled program takes as an argument."""
    parts: Any = [None if part is None else loop.as_partial(part) for part in problem]
    return Problem(*parts)


class Tuned(NamedTuple):
    """The rate that a baseline does best at on average, and its mean final loss there; of each rate that was tried,
    too."""

    rate: float
    loss: float
    rates: np.ndarray
    losses: np.ndarray


def tuned(
    make: Callable[[Any], optax.GradientTransformation],
    rates: Sequence[float] | np.ndarray,
    problem: Problem,
    keys: Array,
    *,
    steps: int,
    chunk_size: int = 8,
) -> Tuned:
    """The best of some rates on the problems of some keys, which should not be those that it is then judged by.

    A rate at which any problem ends without a finite loss is out.
    """
    rates = np.asarray(rates, np.float32)
    every_rate, every_key = jnp.repeat(jnp.asarray(rates), len(keys)), jnp.tile(keys, len(rates))
    final = _mapped(make, every_rate, problem, every_key, steps, chunk_size, each=True)[1]
    losses = np.asarray(final, np.float64).reshape(len(rates), len(keys)).mean(axis=1)
    losses = np.where(np.isfinite(losses), losses, np.inf)
    best = int(losses.argmin())
    return Tuned(float(rates[best]), float(losses[best]), rates, losses)
