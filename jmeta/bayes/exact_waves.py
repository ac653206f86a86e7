"""The best that can be known of waves about a sloping line: exact in level and slope, by quadrature in the others."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_sizes
from jmeta.tasks.waves import Waves, check_waves
from jmeta.types import Episode


def wave_posterior(
    waves: Waves, episode: Episode, *, amplitudes: int = 24, shifts: int = 32, frequencies: int = 64
) -> dict[str, Array]:
    """The exact prediction of one task of `jmeta.tasks.wave_sampler`: what the best learner reaches on it.

        p(y | support) = sum_g p(g | support) N(y; h_g(x) + mean of the line, covariance of the line + noise^2 I)

    with g over places of amplitude, shift and frequency, h_g the wave alone, and the line's posterior in closed form.

    Args:
        waves: of which the task is.
        episode: x and y `[N, 1]` in both parts, without padding.
        amplitudes, shifts, frequencies: places of the quadrature, evenly in 4 standard deviations or in the interval;
            their steps must be small beside what all points together leave uncertain. A frequency that is known has 1.

    Returns:
        `rmse`, the root `[]` of the mean squared error of the posterior mean on the queries, and `joint`, the logarithm
        `[]` of the density of all queries jointly, in nats a query.

    Raises:
        ValueError: if a number is out of its range.
    """
    check_sizes(amplitudes=amplitudes, shifts=shifts, frequencies=frequencies)
    check_waves(waves)
    (x, y), (asked, answers) = ((batch.x[:, 0], batch.y[:, 0]) for batch in episode)
    places, log_prior = _places(waves, amplitudes, shifts, frequencies)
    of = lambda x: places[:, :1] * jnp.sin(places[:, 2:] * (x[None] - places[:, 1:2]))
    seen, ahead = of(x), of(asked)
    log_seen, slope, level = _line(waves, x, y[None] - seen)
    both = _line(waves, jnp.concatenate([x, asked]), jnp.concatenate([y, answers])[None] - jnp.hstack([seen, ahead]))[0]
    share = jax.nn.softmax(log_prior + log_seen)
    mean = jnp.sum(share[:, None] * (ahead + level[:, None] + slope[:, None] * asked[None]), axis=0)
    joint = jax.nn.logsumexp(log_prior + both) - jax.nn.logsumexp(log_prior + log_seen)
    return {"rmse": jnp.sqrt(jnp.mean(jnp.square(mean - answers))), "joint": joint / len(answers)}


def _places(waves: Waves, amplitudes: int, shifts: int, frequencies: int) -> tuple[Array, Array]:
    """Amplitude, shift and frequency of places `[G, 3]`, and the logarithms `[G]` of their probabilities."""
    middle = lambda interval, number: (
        interval[0] + (interval[1] - interval[0]) * (jnp.arange(number, dtype=jnp.float32) + 0.5) / number
    )
    mean, spread = waves.shift
    known = waves.frequency[0] == waves.frequency[1]
    each = (
        middle(waves.amplitude, amplitudes),
        middle((mean - 4 * spread, mean + 4 * spread), shifts),
        middle(waves.frequency, 1 if known else frequencies),
    )
    places = jnp.stack([g.ravel() for g in jnp.meshgrid(*each, indexing="ij")], axis=1)
    return places, jax.nn.log_softmax(-jnp.square((places[:, 1] - mean) / spread) / 2)


def _line(waves: Waves, x: Array, rest: Array) -> tuple[Array, Array, Array]:
    """Of residuals `[G, N]` about a line with a normal prior: their logarithmic densities `[G]`, and the posterior
    means `[G]` of slope and level."""
    n, (slope, slope_sd), (level, level_sd) = len(x), waves.slope, waves.level
    apart = (rest - level - slope * x[None]) / waves.noise
    b, c = x * (slope_sd / waves.noise), jnp.full_like(x, level_sd / waves.noise)  # features of standard normal weights
    aa, ab, bb = 1 + jnp.sum(b * b), jnp.sum(b * c), 1 + jnp.sum(c * c)
    determinant = aa * bb - ab**2
    with jax.default_matmul_precision("highest"):
        p, q = apart @ b, apart @ c
    u, v = (bb * p - ab * q) / determinant, (aa * q - ab * p) / determinant
    # The square of what the line leaves, plus that of its weights: p u + q v taken off |apart|^2 would lose its digits.
    left = apart - u[:, None] * b[None] - v[:, None] * c[None]
    square = jnp.sum(left * left, axis=1) + u * u + v * v
    constant = n * jnp.log(2 * jnp.pi * waves.noise**2) + jnp.log(determinant)
    return -(square + constant) / 2, slope + slope_sd * u, level + level_sd * v


def wave_optimum(waves: Waves, episodes: Episode, **places: int) -> dict[str, Array]:
    """`wave_posterior` of many episodes with a leading axis, one after another: `[episodes]` of each."""
    return jax.jit(lambda episodes: lax.map(lambda one: wave_posterior(waves, one, **places), episodes))(episodes)
