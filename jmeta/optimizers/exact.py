"""What the best rules reach, computed and not trained: on quadratics, and on a system that truncation misleads."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy import optimize, special

from jmeta.checks import check_sizes
from jmeta.optimizers.types import Problem, Unroll
from jmeta.types import Params

BALANCE = -1.0 / 6.0
"""The theta that is right for `influence_balancing`."""


def influence_balancing(*, horizon: int, size: int = 23, positive: int = 10) -> Unroll:
    """A linear system on which truncated backpropagation has the wrong sign.

        s <- A s + b theta,   A = (I + shift) / 2,   b = +1 `positive` times, then -1
        loss = (s_0 - 1)^2 / 2 at the horizon

    theta pushes the first number of the state up at once, and down once its effect on the others has come there: in
    the end s_0 = -6 theta for the 23 and 10 here, so that `BALANCE` is right.

    Source: Tallec and Ollivier 2017, Unbiased Online Recurrent Optimization, section 3.3,
    https://arxiv.org/abs/1702.05043, with the numbers of Vicol et al. 2021, https://arxiv.org/abs/2112.13835.
    """
    check_sizes(horizon=horizon, size=size, positive=positive)
    push = jnp.where(jnp.arange(size) < positive, 1.0, -1.0)

    def init(theta: Params, key: Array) -> Array:
        return jnp.zeros(size)

    def step(theta: Params, state: Array, key: Array) -> tuple[Array, Array]:
        shifted = jnp.concatenate([state[1:], jnp.zeros(1)])
        state = 0.5 * (state + shifted) + push * theta
        return state, 0.5 * jnp.square(state[0] - 1.0)

    return Unroll(init, step, horizon, lambda t: (t == horizon).astype(jnp.float32))


class Spectrum(NamedTuple):
    """How much of a quadratic's loss is at which curvature: `loss after t steps = sum weights p_t(points)^2`, where
    p_t, with p_t(0) = 1, is the polynomial of what t steps have done to the error. Both `[N]`, float64."""

    points: np.ndarray
    weights: np.ndarray


def uniform_spectrum(nodes: int = 200) -> Spectrum:
    """Of `lambda e^2 / 2` with lambda ~ U(0, 1) and E e^2 = 1, exact for polynomials of degree below `nodes`."""
    x, w = special.roots_legendre(nodes)
    points = (x + 1) / 2
    return Spectrum(points, w / 2 * points / 2)


def log_uniform_spectrum(kappa: float, nodes: int = 200) -> Spectrum:
    """As `uniform_spectrum`, with log lambda uniform on (-log kappa, 0)."""
    x, w = special.roots_legendre(nodes)
    points = 1 / kappa + (1 - 1 / kappa) * (x + 1) / 2
    return Spectrum(points, w / 2 * (1 - 1 / kappa) / np.log(kappa) / 2)


def sampled_spectrum(matrices: np.ndarray, residuals: np.ndarray) -> Spectrum:
    """Of `|W x - y|^2` on average over draws: W `[N, d, d]`, and W x_0 - y `[N, d]` where x starts."""
    left, size, _ = np.linalg.svd(np.asarray(matrices, np.float64))
    parts = np.einsum("nij,ni->nj", left, np.asarray(residuals, np.float64))
    return Spectrum((2 * size**2).ravel(), (parts**2).ravel() / len(size))


def drawn_spectrum(problem: Problem, draws: int = 20_000) -> Spectrum:
    """As `sampled_spectrum`, of so many draws of `problems.least_squares` or of the released code's.

    Of fewer draws, polynomials of a high degree fit the largest curvatures that there happen to be: after 100 steps the
    least loss of 2000 draws is a fifth too small.
    """
    x, task = jax.jit(jax.vmap(problem.init))(jax.random.split(jax.random.key(0), draws))
    matrices = np.asarray(task.w, np.float64)
    return sampled_spectrum(matrices, np.einsum("nij,nj->ni", matrices, np.asarray(x)) - np.asarray(task.y))


def best_losses(spectrum: Spectrum, steps: int) -> np.ndarray:
    """The least loss after 0 ... `steps` steps, `[steps + 1]`, by the best polynomial for each number of steps.

        min over p of degree t, p(0) = 1, of sum w p(x)^2 = 1 / sum_k q_k(0)^2

    with q_k the polynomials of degree k that are orthonormal for the weights. No rule whose steps are a fixed
    combination of the gradients so far, schedules and momentum of any kind among them, has less; one that looks at the
    problem at hand may.

    Source: Szego 1939, Orthogonal Polynomials, section 3.1, on Christoffel's function.
    """
    x, w = spectrum
    root, total, losses = np.sqrt(w), 0.0, []
    basis = np.empty((steps + 1, len(x)))
    v, value, before, beta, old = root.copy(), 1.0, 0.0, 0.0, np.zeros_like(root)
    norm = np.linalg.norm(v)
    v, value = v / norm, value / norm
    for k in range(steps + 1):
        basis[k], total = v, total + value**2
        losses.append(1 / total)
        alpha = float(v @ (x * v))
        new = x * v - alpha * v - beta * old
        new -= basis[: k + 1].T @ (basis[: k + 1] @ new)  # which rounding has left of the others
        nonzero = np.linalg.norm(new)
        if nonzero < 1e-13:
            return np.array(losses + losses[-1:] * (steps - k))
        value, before = (-alpha * value - beta * before) / nonzero, value
        old, v, beta = v, new / nonzero, nonzero
    return np.array(losses)


def loss_of(spectrum: Spectrum, rates: Sequence[float] | np.ndarray) -> float:
    """The loss after gradient descent by a schedule of rates: `sum w prod_t (1 - rate_t x)^2`."""
    factors = 1 - np.asarray(rates, np.float64)[:, None] * spectrum.points
    return float(spectrum.weights @ np.prod(factors**2, axis=0))


def best_constant(spectrum: Spectrum, steps: int) -> tuple[float, float]:
    """The best rate to stay at, and its loss after so many steps."""
    most = 4 / spectrum.points.max()
    loss = lambda rate: float(spectrum.weights @ (1 - rate * spectrum.points) ** (2 * steps))
    grid = np.geomspace(1e-3 * most, most, 100)
    with np.errstate(over="ignore"):
        start = grid[int(np.argmin([loss(rate) for rate in grid]))]
    found = optimize.minimize_scalar(
        loss, bounds=(start / 1.1, start * 1.1), method="bounded", options={"xatol": 1e-10}
    )
    return float(found.x), float(found.fun)


def best_heavy_ball(spectrum: Spectrum, steps: int) -> tuple[float, float, float]:
    """The best rate and momentum to stay at, started from rest, and their loss."""

    def loss(both: np.ndarray) -> float:
        now, before = np.ones_like(spectrum.points), np.ones_like(spectrum.points)
        for _ in range(steps):
            now, before = now - both[0] * spectrum.points * now + both[1] * (now - before), now
        return float(np.log(spectrum.weights @ now**2))

    start = best_constant(spectrum, steps)[0]
    tries = [optimize.minimize(loss, [start, b], method="Nelder-Mead", options=_TIGHT) for b in (0.0, 0.2, 0.5)]
    best = min(tries, key=lambda found: found.fun)
    return float(best.x[0]), float(best.x[1]), float(np.exp(best.fun))


_TIGHT = {"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000}


def uniform_optimum(steps: int) -> float:
    """The least loss after so many steps for lambda ~ U(0, 1), per coordinate: `1 / ((T + 1)^2 (T + 2)^2)`."""
    return 1.0 / ((steps + 1) ** 2 * (steps + 2) ** 2)


def uniform_rates(steps: int) -> np.ndarray:
    """The schedule that reaches `uniform_optimum`, small rates first: one over the zeros of the Jacobi polynomial for
    the weight lambda^2 on (0, 1)."""
    x, _ = special.roots_jacobi(steps, 0, 2)
    return np.sort(2 / (x + 1))
