"""Sequences of tasks made of pictures: split by class, permuted, or rotated, in three scenarios."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.checks import NEVER, check_sizes, known
from jmeta.types import Batch, Model

SCENARIOS = ("task", "domain", "class")


class Masked(NamedTuple):
    """Inputs of a scenario in which the task is told: pictures, and `[N, way]`, 1 for the classes of their task."""

    x: Array
    classes: Array


def split_tasks(images: Any, classes: Any, *, scenario: str, counts: Any | None = None) -> Batch:
    """Tasks of other classes each, as in split MNIST.

        task:    labels are all classes, and inputs are `Masked` to those of the task
        domain:  labels are the places in the task: which of its classes is it, 0, 1, ...
        class:   labels are all classes, numbered in the order in which tasks bring them

    Args:
        images: `[classes, examples, ...]`, of any dtype.
        classes: `[T, k]`, those of each task, k of 2 or more, none of them twice. As a traced array it is not checked.
        scenario: one of `SCENARIOS`.
        counts: `[classes]`, how many examples are real; None for all.

    Returns:
        A `Batch` with leaves `[T, k * examples, ...]`, y one-hot over T k classes or k; weights if there are counts.

    Raises:
        ValueError: for another scenario, tasks of unlike sizes or of one class, a class that is in two tasks, or is not
            there, or more real examples than there are.

    Example:
        >>> tasks = split_tasks(np.zeros((4, 6, 8, 8), np.uint8), [(0, 1), (2, 3)], scenario="domain")
        >>> tasks.x.shape, tasks.y.shape
        ((2, 12, 8, 8), (2, 12, 2))

    Source: Zenke et al. 2017, Continual Learning Through Synaptic Intelligence, section 5.1 for split MNIST,
    https://arxiv.org/abs/1703.04200; van de Ven and Tolias 2019, Three scenarios for continual learning, for the
    scenarios, https://arxiv.org/abs/1904.07734.
    """
    images, which = _checked(images, scenario, counts), _divided(classes, len(images))
    tasks, way = which.shape
    rows = images[which].reshape(tasks, way * images.shape[1], *images.shape[2:])
    weight = None
    if counts is not None:
        real = jnp.arange(images.shape[1])[None, None] < jnp.asarray(counts)[which][..., None]
        weight = real.astype(float).reshape(tasks, -1)
    return _in_scenario(rows, jnp.repeat(jnp.arange(way), images.shape[1]), way, scenario, weight)


def permuted_tasks(images: Any, permutations: Any, *, scenario: str, counts: Any | None = None) -> Batch:
    """Tasks of the same classes, each with its own order of pixels, as in permuted MNIST.

        x of task t:  pixels x[permutations[t]], where pictures [H, W] or [H, W, C] are one row of numbers

    Labels are as in `split_tasks`, with all classes in each task: T k of them in scenarios task and class.

    Args:
        images, scenario, counts: as in `split_tasks`.
        permutations: `[T, P]`, of the P pixels; see `permutations`. As a traced array it is not checked.

    Returns:
        A `Batch` with leaves `[T, classes * examples, ...]`.

    Raises:
        ValueError: for another scenario, or rows that are no permutations of as many pixels as pictures have.

    Source: Goodfellow et al. 2014, An Empirical Investigation of Catastrophic Forgetting, section 5,
    https://arxiv.org/abs/1312.6211.
    """
    images = _checked(images, scenario, counts)
    pixels = int(np.prod(images.shape[2:]))
    if np.shape(permutations)[1:] != (pixels,) or not len(permutations):
        raise ValueError(f"permutations must be [T, {pixels}], of each pixel, got {list(np.shape(permutations))}")
    if known(permutations) and not (np.sort(permutations, axis=1) == np.arange(pixels)).all():
        raise ValueError(f"each permutation must have all of 0 to {pixels - 1} once: make them by permutations(key)")
    flat = images.reshape(-1, pixels)
    rows = jax.vmap(lambda order: flat[:, order])(jnp.asarray(permutations))
    return _same_classes(rows.reshape(len(rows), -1, *images.shape[2:]), images, scenario, counts)


def permutations(key: Array, tasks: int, pixels: int) -> Array:
    """`[tasks, pixels]`, of which the first leaves pixels where they are."""
    check_sizes(tasks=tasks, pixels=pixels)
    keys = jax.random.split(key, tasks)
    drawn = jax.vmap(lambda key: jax.random.permutation(key, pixels))(keys)
    return drawn.at[0].set(jnp.arange(pixels, dtype=drawn.dtype))


def rotated_tasks(images: Any, degrees: Any, *, scenario: str, counts: Any | None = None) -> Batch:
    """Tasks of the same classes, each turned by its own angle, as in rotated MNIST.

    Pictures are turned against the clock around their middle, and what comes from outside is 0; between pixels, values
    are bilinear, and those of integers are rounded. Labels and what is returned are as in `permuted_tasks`.

    Args:
        images: `[classes, examples, H, W]` or `[classes, examples, H, W, C]`.
        degrees: `[T]`, of each task.
        scenario, counts: as in `split_tasks`.

    Raises:
        ValueError: for another scenario, pictures of other shapes, or angles that are no list of finite numbers.

    Source: Lopez-Paz and Ranzato 2017, Gradient Episodic Memory, section 4.1. https://arxiv.org/abs/1706.08840
    """
    images = _checked(images, scenario, counts)
    if images.ndim not in (4, 5):
        raise ValueError(f"pictures to turn must be [classes, examples, H, W] or [..., C], got {list(images.shape)}")
    if np.ndim(degrees) != 1 or not len(degrees) or (known(degrees) and not np.isfinite(degrees).all()):
        raise ValueError(f"degrees must be finite numbers [T], one for each task, got {degrees}")
    flat = images.reshape(-1, *images.shape[2:])
    rows = jax.lax.map(lambda angle: turned(flat, angle), jnp.asarray(degrees, float))
    return _same_classes(rows, images, scenario, counts)


def turned(pictures: Array, degrees: Array) -> Array:
    """Pictures `[N, H, W]` or `[N, H, W, C]` turned against the clock by an angle `[]`, see `rotated_tasks`."""
    height, width = pictures.shape[1:3]
    angle = jnp.deg2rad(degrees)
    y, x = jnp.meshgrid(*(jnp.arange(size, dtype=float) - (size - 1) / 2 for size in (height, width)), indexing="ij")
    at = (
        jnp.cos(angle) * y + jnp.sin(angle) * x + (height - 1) / 2,
        jnp.cos(angle) * x - jnp.sin(angle) * y + (width - 1) / 2,
    )
    low = [jnp.floor(a + 1e-4) for a in at]  # a right angle is a little off in floats
    total = jnp.zeros(pictures.shape, float)
    for down in (0, 1):
        for right in (0, 1):
            row, column = low[0] + down, low[1] + right
            share = jnp.maximum(1 - jnp.abs(at[0] - row), 0) * jnp.maximum(1 - jnp.abs(at[1] - column), 0)
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            place = (jnp.clip(a, 0, size - 1).astype(jnp.int32) for a, size in ((row, height), (column, width)))
            value = pictures[:, *place].astype(float)
            share = jnp.where(inside, share, 0).reshape(1, height, width, *(1,) * (pictures.ndim - 3))
            total = total + share * value
    whole = jnp.issubdtype(pictures.dtype, jnp.integer)
    return (jnp.round(total) if whole else total).astype(pictures.dtype)


class MaskedModel(NamedTuple):
    """A model whose inputs are `Masked`: classes of other tasks have a logit that can't be."""

    model: Model

    def init(self, key: Array, x: Masked) -> Any:
        """Parameters of the model."""
        return self.model.init(key, x.x)

    def apply(self, params: Any, x: Masked) -> Array:
        """Logits `[N, way]`."""
        return jnp.where(x.classes > 0, self.model.apply(params, x.x), NEVER)


def masked(model: Model) -> MaskedModel:
    """The model for the scenario "task": its logits are those of the task's classes alone, in losses and predictions.

    What a memory keeps of an example has its mask, so that replayed examples are judged within their own tasks.
    """
    return MaskedModel(model)


def _checked(images: Any, scenario: str, counts: Any | None) -> Array:
    if scenario not in SCENARIOS:
        raise ValueError(f"scenario must be one of {', '.join(SCENARIOS)}, got {scenario!r}")
    if np.ndim(images) < 3 or 0 in np.shape(images):
        raise ValueError(f"images must be [classes, examples, ...], and not empty, got {list(np.shape(images))}")
    if counts is not None:
        if np.shape(counts) != np.shape(images)[:1]:
            raise ValueError(f"counts must be [{len(images)}], one for each class, got {list(np.shape(counts))}")
        if known(counts) and not ((np.asarray(counts) >= 1) & (np.asarray(counts) <= np.shape(images)[1])).all():
            raise ValueError(f"counts must be 1 to {np.shape(images)[1]}, the examples that there are, got {counts}")
    return jnp.asarray(images)


def _divided(classes: Any, number: int) -> Array:
    if known(classes):
        sizes = {len(group) for group in classes}
        if len(sizes) != 1 or min(sizes) < 2:
            raise ValueError(f"tasks must have as many classes each, two or more, got {[len(g) for g in classes]}")
        named = np.asarray(classes)
        if len(np.unique(named)) != named.size:
            twice = sorted({int(c) for c in named.ravel() if (named == c).sum() > 1})
            raise ValueError(f"tasks must not share classes, got {twice} more than once: give each to one task")
        if named.min() < 0 or named.max() >= number:
            raise ValueError(f"classes must be 0 to {number - 1}, those that there are, got {named.ravel().tolist()}")
    return jnp.asarray(classes, jnp.int32)


def _same_classes(rows: Array, images: Array, scenario: str, counts: Any | None) -> Batch:
    way, each = images.shape[:2]
    weight = None
    if counts is not None:
        weight = (jnp.arange(each)[None] < jnp.asarray(counts)[:, None]).astype(float).reshape(1, -1)
        weight = jnp.broadcast_to(weight, rows.shape[:2])
    return _in_scenario(rows, jnp.repeat(jnp.arange(way), each), way, scenario, weight)


def _in_scenario(rows: Array, labels: Array, way: int, scenario: str, weight: Array | None) -> Batch:
    """Rows `[T, N, ...]`, whose labels `[N]` within the task are the same in all tasks."""
    tasks = len(rows)
    first = 0 if scenario == "domain" else way * jnp.arange(tasks)
    numbers = jnp.broadcast_to(jnp.reshape(first, (-1, 1)) + labels[None], rows.shape[:2])
    total = way if scenario == "domain" else tasks * way
    y = jax.nn.one_hot(numbers, total, dtype=float)
    if scenario != "task":
        return Batch(rows, y, weight)
    own = jnp.repeat(jnp.eye(tasks), way, axis=1)[:, None]
    return Batch(Masked(rows, jnp.broadcast_to(own, y.shape)), y, weight)
