"""Two tasks in one picture: overlapped digits, as in MultiMNIST."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.tree_util import Partial

from jmeta.types import Batch

SHIFT = 8
"""Pixels that the second picture lies below and to the right of the first: two of 28x28 fill 36x36."""


class Parts(NamedTuple):
    """Pictures to train on, to tune with and to test with, uint8 `[classes, examples, H, W]` each."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def parts(images: np.ndarray, sizes: tuple[int, int, int] = (400, 100, 100), *, seed: int = 0) -> Parts:
    """Divide the examples of each class, in an order of its own that the seed decides.

    Args:
        images: `[classes, examples, H, W]`.
        sizes: examples of a class to train on, to tune with and to test with; they come one after another in the order,
            so that no picture is in two parts.
        seed: of the order.

    Returns:
        The `Parts`.

    Raises:
        ValueError: if a size is below 1, or a class has fewer examples than the sizes add up to.

    Example:
        >>> [len(part[0]) for part in parts(np.zeros((10, 12, 28, 28), np.uint8), (8, 2, 2))]
        [8, 2, 2]
    """
    classes, examples = images.shape[:2]
    if min(sizes) < 1 or sum(sizes) > examples:
        raise ValueError(f"sizes must be 1 or more each and {examples} or fewer in all, got {sizes}: make them smaller")
    rng = np.random.default_rng(seed)
    order = np.stack([rng.permutation(examples) for _ in range(classes)])
    ends = np.cumsum(sizes)
    rows = np.arange(classes)[:, None]
    return Parts(*(images[rows, order[:, end - size : end]] for end, size in zip(ends, sizes, strict=True)))


def overlap(first: Array, second: Array, *, shift: int = SHIFT) -> Array:
    """Two pictures on one canvas, the first at its upper left and the second at its lower right.

        canvas[i, j] = max(first[i, j], second[i - shift, j - shift]),   0 outside of a picture

    Args:
        first: `[..., H, W]`.
        second: of the same shape.
        shift: pixels, 0 or more.

    Returns:
        `[..., H + shift, W + shift]`, of the same dtype.

    Example:
        >>> overlap(jnp.ones((1, 1)), 2 * jnp.ones((1, 1)), shift=1).tolist()
        [[1.0, 0.0], [0.0, 2.0]]
    """
    around = [(0, 0)] * (first.ndim - 2)
    return jnp.maximum(
        jnp.pad(first, [*around, (0, shift), (0, shift)]), jnp.pad(second, [*around, (shift, 0), (shift, 0)])
    )


def overlapped_sampler(images: np.ndarray | Array, *, batch_size: int, shift: int = SHIFT) -> Partial:
    """Sampler of overlapped pairs of two classes: task 0 names the picture at the upper left, task 1 the other.

        left ~ U(classes),   right ~ U(classes without left),   an example of each ~ U(examples), with replacement

    Args:
        images: uint8 `[classes, examples, H, W]`, 0 to 255, of one part of the data.
        batch_size: N, pairs of a batch.
        shift: as in `overlap`.

    Returns:
        `sample(key) -> Batch`, pure, with x `[N, H + shift, W + shift, 1]` float32 in 0 to 1, which both tasks have in
        common, and y `[2, N, classes]` one-hot. The pictures are an argument of the program it is compiled in.

    Raises:
        ValueError: if there are not two classes or more of uint8 pictures, or `batch_size` is below 1.

    Example:
        >>> batch = overlapped_sampler(np.zeros((10, 5, 28, 28), np.uint8), batch_size=16)(jax.random.key(0))
        >>> batch.x.shape, batch.y.shape
        ((16, 36, 36, 1), (2, 16, 10))

    Differs from the paper: pairs are drawn as they are needed, where Sabour et al. shift each digit by up to 4 pixels
    at random and keep what comes of it, and Sener and Koltun scale the canvas down to 28x28.

    Source: Sabour et al. 2017, Dynamic Routing Between Capsules, section 6, https://arxiv.org/abs/1710.09829; Sener and
    Koltun 2018, Multi-Task Learning as Multi-Objective Optimization, section 5.1, https://arxiv.org/abs/1810.04650.
    """
    if images.ndim != 4 or images.dtype != jnp.uint8 or images.shape[0] < 2 or not images.shape[1]:
        raise ValueError(
            "images must be uint8 of shape [classes, examples, H, W] with two classes or more, "
            f"got {images.dtype} of shape {list(images.shape)}"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size must be 1 or more, got {batch_size}")
    return Partial(functools.partial(_draw_pairs, batch_size, shift), jnp.asarray(images))


def _draw_pairs(batch_size: int, shift: int, images: Array, key: Array) -> Batch:
    left_key, right_key, example_key = jax.random.split(key, 3)
    classes, examples = images.shape[:2]
    left = jax.random.randint(left_key, (batch_size,), 0, classes, jnp.int32)
    right = (left + jax.random.randint(right_key, (batch_size,), 1, classes, jnp.int32)) % classes
    labels = jnp.stack([left, right])
    first, second = images[labels, jax.random.randint(example_key, (2, batch_size), 0, examples, jnp.int32)]
    x = overlap(first, second, shift=shift)[..., None].astype(jnp.float32) / 255
    return Batch(x, jax.nn.one_hot(labels, classes, dtype=jnp.float32))
