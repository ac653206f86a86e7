"""Random changes of an image that leave its class as it is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.ndimage import map_coordinates

Augment = Callable[[Array, Array], Array]
"""`(key, image [H, W, C]) -> image` of the same shape."""


def random_affine(*, degrees: float = 10.0, scale: float = 0.2, shear: float = 0.2, shift: float = 0.07) -> Augment:
    """Turn, stretch, slant and move an image at random: `(key, image [H, W, C]) -> image`, floats of the same dtype.

        x'(p) = x(A^-1 (p - c - t) + c),   A = R(a) [[s_1, h], [0, s_2]]

        a ~ U[-degrees, degrees],   s_i ~ U[1 - scale, 1 + scale],   h ~ U[-shear, shear],   t_i ~ U[-shift, shift] n_i

    with R(a) the turn by a, c the middle of the image and n its sides. Values between pixels are interpolated, and
    those from beyond the border are those of the border.

    Args:
        degrees: the largest turn either way.
        scale: the largest relative change of each side; below 1.
        shear: the largest slant, in columns a row.
        shift: the largest move along each side, in shares of that side.

    Raises:
        ValueError: if a number is below 0, or `scale` is 1 or more.

    Example:
        >>> warp = random_affine(degrees=15.0)
        >>> warp(jax.random.key(0), jnp.ones((28, 28, 1))).shape
        (28, 28, 1)

    Source: Koch et al. 2015, section 3.3, which turns by 10 degrees, stretches by 0.2, slants by 0.3 and moves by 2 of
    105 pixels, each with a chance of one half.
    """
    for name, value in (("degrees", degrees), ("scale", scale), ("shear", shear), ("shift", shift)):
        if not value >= 0:
            raise ValueError(f"{name} must be 0 or more, got {value}: give a smaller change, or 0 for none")
    if scale >= 1:
        raise ValueError(f"scale must be below 1, got {scale}: a side can't shrink to nothing")

    def warp(key: Array, image: Array) -> Array:
        height, width, _ = image.shape
        size = jnp.array([height, width], image.dtype)
        drawn = jax.random.uniform(key, (6,), image.dtype, -1, 1)
        turn, stretch, slant, move = drawn[0], drawn[1:3], drawn[3], drawn[4:]
        angle = turn * jnp.asarray(jnp.deg2rad(degrees), image.dtype)
        cos, sin = jnp.cos(angle), jnp.sin(angle)
        s, h = 1 + scale * stretch, shear * slant
        inverse = jnp.array([[1 / s[0], -h / (s[0] * s[1])], [jnp.zeros_like(h), 1 / s[1]]])
        inverse = inverse @ jnp.array([[cos, sin], [-sin, cos]])
        middle = (size - 1) / 2
        rows, columns = jnp.meshgrid(*(jnp.arange(n, dtype=image.dtype) for n in (height, width)), indexing="ij")
        places = jnp.stack([rows, columns])
        from_middle = places - (middle + shift * size * move)[:, None, None]
        at = jnp.einsum("ij,jhw->ihw", inverse, from_middle) + middle[:, None, None]
        channels = [map_coordinates(image[..., c], list(at), order=1, mode="nearest") for c in range(image.shape[-1])]
        return jnp.stack(channels, -1)

    return warp
