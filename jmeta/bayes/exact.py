"""What the best learner can reach where it can be computed: linear tasks with a Gaussian prior, sine curves, and the
prior that gradient descent stands for."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from jmeta.checks import check_above_zero, check_sizes
from jmeta.distributions import Normal

# -- Linear tasks ------------------------------------------------------------------------------------------------------


class LinearTasks(NamedTuple):
    """Tasks `y = w'x + e` with w ~ N(0, diag(prior)), x ~ N(0, I), e ~ N(0, noise^2), of n examples each.

    Weights are told from the mean of the prior, which all rules start at. What is measured is E|w_hat - w|^2, the error
    on new x beyond the noise.

    Attributes:
        prior: variances `[D]`.
        noise: standard deviation.
        n: examples of a task.
    """

    prior: np.ndarray
    noise: float
    n: int


def one_step_rate(tasks: LinearTasks) -> float:
    """The best rate of MAML's one step `w_hat = a X'y / n`.

    a = tr P / ((1 + (D + 1) / n) tr P + D noise^2 / n)         since E[S^2] = (1 + (D + 1) / n) I for S = X'X / n
    """
    p, size = tasks.prior, len(tasks.prior)
    return float(p.sum() / ((1 + (size + 1) / tasks.n) * p.sum() + size * tasks.noise**2 / tasks.n))


def one_step_error(tasks: LinearTasks) -> float:
    """The error of MAML's one step at `one_step_rate` a: `(1 - a) tr P`."""
    return float((1 - one_step_rate(tasks)) * tasks.prior.sum())


def diagonal_rates(tasks: LinearTasks) -> np.ndarray:
    """The best rates `[D]` of Meta-SGD's one step `w_hat = a * X'y / n`, which follow the variances of the prior.

        a_i = p_i / ((1 + 1/n) p_i + (tr P + noise^2) / n)              since E[S P S] = (1 + 1/n) P + tr P / n I

    A whole matrix of rates is no better, as E[S P S] is diagonal.
    """
    p, n = tasks.prior, tasks.n
    return p / ((1 + 1 / n) * p + (p.sum() + tasks.noise**2) / n)


def diagonal_error(tasks: LinearTasks) -> float:
    """The error of Meta-SGD's one step at `diagonal_rates` a: `sum_i (1 - a_i) p_i`."""
    return float(np.sum((1 - diagonal_rates(tasks)) * tasks.prior))


def designs(tasks: LinearTasks, number: int, *, seed: int = 0) -> np.ndarray:
    """Inputs X `[number, n, D]` of tasks."""
    check_sizes(number=number)
    return np.random.default_rng(seed).normal(size=(number, tasks.n, len(tasks.prior)))


def linear_error(tasks: LinearTasks, x: np.ndarray, rule: np.ndarray) -> float:
    """The error of estimates `w_hat = B y`, exact in weights and noise, and a mean over designs.

        |(I - B X) P^(1/2)|^2 + noise^2 |B|^2

    Args:
        tasks: of which it is.
        x: designs `[number, n, D]`.
        rule: B, `[number, D, n]`.
    """
    missed = (np.eye(x.shape[2]) - rule @ x) * np.sqrt(tasks.prior)
    return float(np.mean(np.sum(missed**2, (1, 2)) + tasks.noise**2 * np.sum(rule**2, (1, 2))))


def posterior_rule(tasks: LinearTasks, x: np.ndarray) -> np.ndarray:
    """B of the posterior mean, than which nothing is better: `(X'X + noise^2 P^-1)^-1 X'`."""
    inverse = np.diag(tasks.noise**2 / tasks.prior)
    return np.linalg.solve(np.swapaxes(x, 1, 2) @ x + inverse, np.swapaxes(x, 1, 2))


def ridge_rule(x: np.ndarray, l2: float) -> np.ndarray:
    """B of ridge regression to the mean of the prior, `(X'X + l2 I)^-1 X'`."""
    check_above_zero("l2", l2)
    return np.linalg.solve(np.swapaxes(x, 1, 2) @ x + l2 * np.eye(x.shape[2]), np.swapaxes(x, 1, 2))


def descent_rule(x: np.ndarray, rate: float, steps: int) -> np.ndarray:
    """B of some steps of gradient descent on half the mean squared error: `rate / n sum_k (I - rate S)^k X'`."""
    check_sizes(steps=steps)
    turned = np.swapaxes(x, 1, 2)
    one = rate / x.shape[1] * turned
    found = one
    for _ in range(steps - 1):
        found = found - one @ (x @ found) + one
    return found


def implied_variance(curvature: float, *, rate: float, steps: int) -> float:
    """The variance of the prior that some steps of gradient descent stand for, along an axis.

        ((1 - rate s)^-steps - 1) / s

    Steps of gradient descent on a negative log-likelihood of curvature s end where the posterior has its maximum, for
    a normal prior of this variance around the start. Source: Santos 1996, Equivalence of regularization and truncated
    iteration for general ill-posed problems. https://doi.org/10.1016/0024-3795(94)00114-6; for MAML, Grant et al. 2018,
    Recasting Gradient-Based Meta-Learning as Hierarchical Bayes, section 3.1. https://arxiv.org/abs/1801.08930

    Raises:
        ValueError: if the rate does not come nearer at each step, from 0 to 1 / s.
    """
    check_sizes(steps=steps)
    if not 0 < rate * curvature < 1:
        raise ValueError(f"rate * curvature must be above 0 and below 1, got {rate} * {curvature}: take a smaller rate")
    return ((1 - rate * curvature) ** -steps - 1) / curvature


# -- Curves with a few unknowns ----------------------------------------------------------------------------------------


class Weighed(NamedTuple):
    """A grid of functions: their values `[G, N]` at some points, and the logarithms `[G]` of their probabilities."""

    values: Array
    log_prior: Array


def sine_curves(x: Array, *, amplitudes: int = 200, phases: int = 200) -> Weighed:
    """The sine curves of `jmeta.tasks.sinusoid_sampler` at points `[N]`: `a sin(x - b)`, a ~ U(.1, 5), b ~ U(0, pi)."""
    middle = lambda low, high, number: low + (high - low) * (jnp.arange(number, dtype=x.dtype) + 0.5) / number
    a, b = (g.ravel() for g in jnp.meshgrid(middle(0.1, 5.0, amplitudes), middle(0.0, jnp.pi, phases), indexing="ij"))
    return Weighed(a[:, None] * jnp.sin(x[None] - b[:, None]), jnp.full(a.shape, -jnp.log(len(a))))


def posterior(grid: Weighed, y: Array, noise: float) -> tuple[Normal, Any]:
    """The exact prediction after N targets with normal noise: of the function at the other points, by quadrature.

    Args:
        grid: of the functions, whose first N points are those of the targets.
        y: targets `[N]`.
        noise: standard deviation.

    Returns:
        Mean and variance `[M, 1]` of the function at the other points, without noise; and `log_density(y) -> [M]`, the
        logarithm of the exact predictive density of targets `[M]` there, which is a mixture and no normal.
    """
    n = len(y)
    log_weight = grid.log_prior - jnp.sum(jnp.square(y[None] - grid.values[:, :n]), axis=1) / (2 * noise**2)
    log_weight = jax.nn.log_softmax(log_weight)
    ahead, share = grid.values[:, n:], jnp.exp(log_weight)
    with jax.default_matmul_precision("highest"):
        mean = share @ ahead
        variance = share @ jnp.square(ahead - mean[None])

    def log_density(at: Array) -> Array:
        each = -jnp.square((at[None] - ahead) / noise) / 2 - jnp.log(noise) - jnp.log(2 * jnp.pi) / 2
        return jax.nn.logsumexp(log_weight[:, None] + each, axis=0)

    return Normal(mean[:, None], variance[:, None]), log_density


def sinusoid_optimum(
    key: Array, *, shot: int, noise: float, tasks: int = 2000, queries: int = 20, grid: int = 200
) -> dict[str, Array]:
    """What the best learner of sine curves reaches with some noisy points of each: of many tasks, `[tasks]` each.

    Args:
        key: decides the tasks.
        shot: points of each.
        noise: standard deviation of a target.
        tasks: how many.
        queries: of each.
        grid: amplitudes, and phases, of the quadrature; their steps must be small beside what is left uncertain.

    Returns:
        `mse`, mean squared error against the curve itself; add noise^2 for that against noisy targets. `nll`, mean
        negative log-likelihood of a noisy target, in nats. Both are of the exact posterior.

    Raises:
        ValueError: if a number is below 1, or `noise` is not above 0.
    """
    check_sizes(shot=shot, tasks=tasks, queries=queries, grid=grid)
    check_above_zero("noise", noise)

    def one(key: Array) -> dict[str, Array]:
        a_key, b_key, x_key, e_key = jax.random.split(key, 4)
        a = jax.random.uniform(a_key, (), minval=0.1, maxval=5.0)
        b = jax.random.uniform(b_key, (), minval=0.0, maxval=jnp.pi)
        x = jax.random.uniform(x_key, (shot + queries,), minval=-5.0, maxval=5.0)
        clean = a * jnp.sin(x - b)
        y = clean + noise * jax.random.normal(e_key, clean.shape)
        found, log_density = posterior(sine_curves(x, amplitudes=grid, phases=grid), y[:shot], noise)
        return {
            "mse": jnp.mean(jnp.square(found.mean[:, 0] - clean[shot:])),
            "nll": -jnp.mean(log_density(y[shot:])),
        }

    return jax.jit(lambda keys: lax.map(one, keys))(jax.random.split(key, tasks))
