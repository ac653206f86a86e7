"""Random changes of an image that leave its class as it is."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.ndimage import map_coordinates

Augment = Callable[[Array, Array], Array]
"""`(key, image [H, W, C]) -> image` of the same shape; pictures are floats of 0 to 1."""

_GRAY = (0.299, 0.587, 0.114)


def compose(*augments: Augment) -> Augment:
    """One change after another, each by a key of its own; of none, the image as it is.

    Example:
        >>> change = compose(random_crop(padding=4), random_flip(), color_jitter())
        >>> change(jax.random.key(0), jnp.ones((32, 32, 3))).shape
        (32, 32, 3)
    """

    def change(key: Array, image: Array) -> Array:
        for place, augment in enumerate(augments):
            image = augment(jax.random.fold_in(key, place), image)
        return image

    return change


def random_crop(*, padding: int | None = None) -> Augment:
    """A window of the image's own size, at random in the image with zeros around it: `(key, [H, W, C]) -> [H, W, C]`.

        x'(p) = x(p + t),   t_i ~ U{-padding .. padding},   x = 0 beyond the border

    Args:
        padding: zeros at each side. None is 4 for images of a shorter side below 64 pixels, and 8 from there, as for
            CIFAR-FS of 32 pixels and miniImageNet of 84 in the source.

    Raises:
        ValueError: if `padding` is below 0.

    Source: Lee et al. 2019, Meta-learning with differentiable convex optimization, the authors' code.
    https://arxiv.org/abs/1904.03758
    """
    if padding is not None and padding < 0:
        raise ValueError(f"padding must be 0 or more, got {padding}: give a smaller change, or 0 for none")

    def crop(key: Array, image: Array) -> Array:
        around = (4 if min(image.shape[:2]) < 64 else 8) if padding is None else padding
        start = jax.random.randint(key, (2,), 0, 2 * around + 1, jnp.int32)
        padded = jnp.pad(image, ((around, around), (around, around), (0, 0)))
        return jax.lax.dynamic_slice(padded, (start[0], start[1], jnp.int32(0)), image.shape)

    return crop


def mirror(image: Array) -> Array:
    """The image `[H, W, C]` with left and right exchanged."""
    return image[:, ::-1]


def random_flip() -> Augment:
    """The image, or with a chance of one half its mirror image, left to right."""

    def flip(key: Array, image: Array) -> Array:
        return jnp.where(jax.random.bernoulli(key), mirror(image), image)

    return flip


def color_jitter(*, brightness: float = 0.4, contrast: float = 0.4, saturation: float = 0.4) -> Augment:
    """Change the colors of an image `[H, W, C]` of 0 to 1, in this order, each cut off at 0 and 1.

        x <- clip(b x)                     b ~ U[1 - brightness, 1 + brightness]
        x <- clip(m + c (x - m))           c ~ U[1 - contrast, 1 + contrast],      m the mean of the gray image
        x <- clip(g + s (x - g))           s ~ U[1 - saturation, 1 + saturation],  g the gray image

    with the gray image 0.299 R + 0.587 G + 0.114 B, or the image itself where there are no three channels.

    Raises:
        ValueError: if a number is below 0 or above 1.

    Source: Lee et al. 2019, https://arxiv.org/abs/1904.03758, the authors' code, which has 0.4 for each; there the mean
    is rounded to a byte, as is every pixel.
    """
    spreads = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
    for name, value in spreads.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name} must be 0 to 1, got {value}: at 1 a factor is between 0 and 2")

    def jitter(key: Array, image: Array) -> Array:
        drawn = jax.random.uniform(key, (3,), image.dtype, -1, 1)
        factors = 1 + jnp.array(list(spreads.values()), image.dtype) * drawn
        image = jnp.clip(factors[0] * image, 0, 1)
        image = _away(image, jnp.mean(_gray(image)), factors[1])
        return _away(image, _gray(image), factors[2])

    return jitter


def _gray(image: Array) -> Array:
    """The luminance `[H, W, 1]` of colors; other images as they are."""
    if image.shape[-1] != 3:
        return image
    return jnp.sum(image * jnp.array([[_GRAY]], image.dtype), axis=-1, keepdims=True)


def _away(image: Array, other: Array, factor: Array) -> Array:
    return jnp.clip(other + factor * (image - other), 0, 1)


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
