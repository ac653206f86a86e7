"""A picture as a function of the place: tasks to complete it from some of its pixels."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.checks import check_above_zero, check_sizes
from jmeta.types import Batch, Episode

Features = Callable[[Array], Array]
"""Places `[N, 2]` to what a learner is given, `[N, D]`."""


def places(height: int, width: int) -> Array:
    """The middles of all pixels, row by row, `[H * W, 2]`: how far down and to the right, each from -1 to 1.

    Example:
        >>> places(1, 2).tolist()
        [[0.0, -0.5], [0.0, 0.5]]
    """
    down, right = ((jnp.arange(n, dtype=float) + 0.5) * (2 / n) - 1 for n in (height, width))
    return jnp.stack(jnp.meshgrid(down, right, indexing="ij"), axis=-1).reshape(-1, 2)


def fourier_features(number: int = 64, *, scale: float = 2.0, seed: int = 0) -> Features:
    """Waves of random directions and lengths, without which a network learns a picture too smooth.

        phi(x) = [sin(pi B x), cos(pi B x)],   B_ij ~ N(0, scale^2), drawn once

    Args:
        number: of waves; there are twice as many features.
        scale: the standard deviation of the frequencies, in periods of the picture.
        seed: decides B.

    Raises:
        ValueError: if the number is below 1, or the scale not above 0.

    Source: Tancik et al. 2020, Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains,
    section 3. https://arxiv.org/abs/2006.10739
    """
    check_sizes(number=number)
    check_above_zero("scale", scale)
    waves = scale * jax.random.normal(jax.random.key(seed), (2, number))

    def features(x: Array) -> Array:
        angle = jnp.pi * (x @ waves)
        return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)

    return features


def pixels_sampler(
    pictures: Any, *, shot: int, least: int | None = None, asked: int | None = None, features: Features = lambda x: x
) -> Partial:
    """Sampler `sample(key) -> Episode` of one picture: some of its pixels to see, and all or some to be asked for.

    Args:
        pictures: `[N, H, W, C]`; uint8 is 0 to 255 and comes out as 0 to 1, other numbers as they are.
        shot: the most pixels that are seen, drawn without replacement; the support set has as many rows.
        least: the fewest; where it is not None, a number from it to `shot` is drawn, and the rows beyond have a weight
            of 0.
        asked: how many are asked for, drawn without replacement and whichever are seen, to train in less time; None for
            all of them, row by row.
        features: of places `[N, 2]`, see `places`, such as `fourier_features()`.

    Returns:
        Episodes with support x `[shot, D]` and y `[shot, C]`, and queries `[asked, D]` and `[asked, C]`.

    Raises:
        ValueError: for pictures of another form, or numbers of pixels that a picture does not have.

    Source: Garnelo et al. 2018, Conditional Neural Processes, section 4.2. https://arxiv.org/abs/1807.01613
    """
    held = jnp.asarray(pictures)
    if held.ndim != 4 or not len(held):
        raise ValueError(f"pictures must be [N, H, W, C], got {list(held.shape)}")
    pixels = held.shape[1] * held.shape[2]
    if not 0 <= (shot if least is None else least) <= shot <= pixels or shot < 1:
        raise ValueError(
            f"the pixels to see must be 1 to {pixels}, and least no more than shot, got shot {shot} and least {least}"
        )
    if asked is not None and not 1 <= asked <= pixels:
        raise ValueError(f"the pixels that are asked for must be 1 to {pixels}, got {asked}")
    return Partial(functools.partial(_draw, shot, least, asked, features), held)


def _draw(shot: int, least: int | None, asked: int | None, features: Features, pictures: Array, key: Array) -> Episode:
    which, order, number = jax.random.split(key, 3)
    picture = pictures[jax.random.randint(which, (), 0, len(pictures))]
    picture = picture.astype(jnp.float32) / 255 if picture.dtype == jnp.uint8 else picture
    x, y = features(places(*picture.shape[:2])), picture.reshape(-1, picture.shape[-1])
    seen = jax.random.permutation(order, len(y))[:shot]
    weight = None
    if least is not None:
        weight = (jnp.arange(shot) < jax.random.randint(number, (), least, shot + 1)).astype(y.dtype)
    if asked is None:
        return Episode(Batch(x[seen], y[seen], weight), Batch(x, y))
    others = jax.random.permutation(jax.random.fold_in(order, 1), len(y))[:asked]
    return Episode(Batch(x[seen], y[seen], weight), Batch(x[others], y[others]))
