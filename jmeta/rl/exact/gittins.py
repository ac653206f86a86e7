"""An index of each arm by itself, for a finite horizon (Bradt, Johnson and Karlin 1956)."""

import functools

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.rl.envs.checks import check_count


def gittins_like_index(pulls: int, *, levels: int = 200) -> Array:
    """What a known arm would have to pay for either to be as good, with m pulls left.

        W(s, f, m; c)  = max(c m, p (1 + W(s + 1, f, m - 1; c)) + (1 - p) W(s, f + 1, m - 1; c)),  W(., ., 0) = 0
        index(s, f, m) = the c at which both sides are equal,    p = (s + 1) / (s + f + 2)

    The arm with the largest index is best where all others are known; of several unknown arms, it is not always, but
    nearly so. (With a discount in place of the horizon it always is, and is Gittins's.)

    Args:
        pulls: the horizon, 1 or more; memory grows with its third power, 4 MB for 100.
        levels: known arms that are tried, evenly spaced over 0 to 1, 2 or more; the index is the root of a straight
            line between two of them.

    Returns:
        `[pulls, pulls, pulls]` float32: the index after s successes and f failures with m pulls left, at
        `[m - 1, s, f]`, where s + f + m <= pulls; elsewhere it has no meaning.

    Raises:
        ValueError: if a number is too small.

    Example:
        One pull is worth its mean, and more of them more.

        >>> gittins_like_index(3)[:, 0, 0].round(3).tolist() == jnp.array([0.5, 0.556, 0.591]).round(3).tolist()
        True

    Source: Bradt, Johnson and Karlin 1956, On Sequential Designs for Maximizing the Sum of n Observations.
    https://doi.org/10.1214/aoms/1177728073
    """
    check_count("pulls", pulls)
    check_count("levels", levels, 2)
    return _index(pulls, levels)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _index(pulls: int, levels: int) -> Array:
    s, f = (jnp.arange(pulls, dtype=jnp.float32)[shape] for shape in ((slice(None), None), (None, slice(None))))
    mean = (s + 1) / (s + f + 2)

    def gains(known: Array) -> Array:
        """`[pulls, pulls, pulls]`, how much better a pull is than the known arm, at `[m - 1, s, f]`."""

        def body(gain: Array, _: None) -> tuple[Array, Array]:
            # The value over that of the known arm for ever; of the edges, nothing that counts is reached.
            won, lost = jnp.roll(gain, -1, axis=0), jnp.roll(gain, -1, axis=1)
            pull = mean * won + (1 - mean) * lost + (mean - known)
            return jnp.maximum(pull, 0), pull

        return lax.scan(body, jnp.zeros((pulls, pulls), jnp.float32), length=pulls)[1]

    def body(level: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        index, before = carry
        gain = gains(level.astype(jnp.float32) / levels)
        # The gain falls with what is known: its sign changes once.
        share = before / jnp.where(before > gain, before - gain, 1)
        root = (level.astype(jnp.float32) - 1 + share) / levels
        return jnp.where((before > 0) & (gain <= 0), root, index), gain

    start = jnp.zeros((pulls,) * 3, jnp.float32), gains(jnp.float32(0))
    return lax.fori_loop(1, levels + 1, body, start)[0]
