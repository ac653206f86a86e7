"""Pure samplers of episodes: `sample(key) -> Episode`, made for use inside `jit` and under `vmap`."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.tree_util import Partial

from jmeta.types import Batch, Episode

Sampler = Callable[[Array], Episode]
"""`key -> Episode`. A `jax.tree_util.Partial` carries its data as arguments through `jit`, not as constants."""


def few_shot_sampler(
    images: Any, *, way: int, shot: int, query_shot: int, rotations: bool = False, counts: Any = None
) -> Partial:
    """Sampler of N-way K-shot classification episodes from an array of images held on the device.

    Classes are drawn without replacement, then examples within each without replacement, so that support and query
    share none. Rows are ordered by example first: row `i * way + k` is example i of class k.

    Args:
        images: uint8 `[classes, examples, H, W, C]`, 0 to 255, or floats, which are left as they are.
        way: classes in an episode.
        shot: support examples of each class.
        query_shot: query examples of each class.
        rotations: turn each class of each episode by its own multiple of 90 degrees, which makes four classes of one;
            support and query of a class turn together. Needs H = W.
        counts: `[classes]`, how many of the examples of each class are real; None means all.

    Returns:
        `sample(key) -> Episode`, with x `[way * shot, H, W, C]` float32 in 0 to 1 and y one-hot.

    Example:
        >>> images = jnp.zeros((30, 20, 28, 28, 1), jnp.uint8)
        >>> episode = few_shot_sampler(images, way=5, shot=1, query_shot=3)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((5, 28, 28, 1), (15, 5))

    Raises:
        ValueError: if a size is below 1, there are too few classes or examples, or the array is of another form.
    """
    check_few_shot(images.shape, way, shot, query_shot, rotations, counts)
    counts = jnp.full(images.shape[0], images.shape[1], jnp.int32) if counts is None else jnp.asarray(counts, jnp.int32)
    draw = functools.partial(_draw_few_shot, way, shot, query_shot, rotations)
    return Partial(draw, jnp.asarray(images), counts)


def check_few_shot(
    shape: tuple[int, ...], way: int, shot: int, query_shot: int, rotations: bool = False, counts: Any = None
) -> None:
    """Refuse episodes that an array of images of this shape cannot give.

    Raises:
        ValueError: as `few_shot_sampler`.
    """
    for name, value in (("way", way), ("shot", shot), ("query_shot", query_shot)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
    if len(shape) != 5:
        raise ValueError(f"images must be [classes, examples, H, W, C], got an array of shape {tuple(shape)}")
    classes, examples, height, width, _ = shape
    if way > classes:
        raise ValueError(f"{way}-way episodes need {way} classes, got {classes}: ask for a smaller way")
    if counts is not None and len(counts) != classes:
        raise ValueError(f"counts must have a number for each of the {classes} classes, got {len(counts)}")
    fewest = examples if counts is None else int(min(counts))
    if shot + query_shot > fewest:
        raise ValueError(
            f"{shot}-shot episodes with {query_shot} queries a class need {shot + query_shot} examples of each class, "
            f"got {fewest}: ask for a smaller shot or query_shot"
        )
    if rotations and height != width:
        raise ValueError(f"rotations by 90 degrees need square images, got {height} x {width}")


def _draw_few_shot(
    way: int, shot: int, query_shot: int, rotations: bool, images: Array, counts: Array, key: Array
) -> Episode:
    class_key, example_key, turn_key = jax.random.split(key, 3)
    classes = jax.random.choice(class_key, images.shape[0], (way,), replace=False)
    noise = jax.random.uniform(example_key, (way, images.shape[1]))
    noise = jnp.where(jnp.arange(images.shape[1])[None] < counts[classes, None], noise, 2.0)
    _, examples = jax.lax.top_k(-noise, shot + query_shot)
    x = images[classes[:, None], examples]
    if x.dtype == jnp.uint8:
        x = x.astype(jnp.float32) / 255
    if rotations:
        x = jax.vmap(rotate)(x, jax.random.randint(turn_key, (way,), 0, 4))
    support, query = x[:, :shot], x[:, shot:]
    return Episode(_example_major(support), _example_major(query))


def _example_major(x: Array) -> Batch:
    """`[way, n, ...]` to a batch whose row `i * way + k` is example i of class k."""
    way, n = x.shape[:2]
    return Batch(jnp.swapaxes(x, 0, 1).reshape(n * way, *x.shape[2:]), jnp.tile(jnp.eye(way), (n, 1)))


def rotate(images: Array, turns: Array) -> Array:
    """Turn images `[..., H, H, C]` anticlockwise by `turns` times 90 degrees, with `turns` a traced 0 to 3."""
    flipped = jnp.where(turns >= 2, images[..., ::-1, ::-1, :], images)
    return jnp.where(turns % 2 == 1, jnp.swapaxes(flipped, -3, -2)[..., ::-1, :, :], flipped)


def sinusoid_sampler(
    *,
    shot: int,
    query_shot: int,
    amplitude: tuple[float, float] = (0.1, 5.0),
    phase: tuple[float, float] = (0.0, jnp.pi),
    interval: tuple[float, float] = (-5.0, 5.0),
) -> Partial:
    """Sampler of sine curves to regress, as in MAML.

        y = a sin(x - b),   a ~ U[amplitude],   b ~ U[phase],   x ~ U[interval]

    Args:
        shot: support points.
        query_shot: query points.
        amplitude: the interval of a; an upper end of 0.5, seen in some ports, makes errors a hundred times smaller.
        phase: the interval of b, in radians.
        interval: the interval of x.

    Returns:
        `sample(key) -> Episode`, with x and y `[N, 1]`.

    Example:
        >>> episode = sinusoid_sampler(shot=10, query_shot=5)(jax.random.key(0))
        >>> episode.support.x.shape, episode.query.y.shape
        ((10, 1), (5, 1))

    Raises:
        ValueError: if a number of points is below 1.

    Source: Finn et al. 2017, section 5.1, with the sign of the phase as in the authors' code.
    """
    _check_points(shot, query_shot)
    return Partial(functools.partial(_draw_sinusoid, shot, query_shot, amplitude, phase, interval))


def _draw_sinusoid(shot: int, query_shot: int, amplitude: Any, phase: Any, interval: Any, key: Array) -> Episode:
    a_key, b_key, x_key = jax.random.split(key, 3)
    a = jax.random.uniform(a_key, (), minval=amplitude[0], maxval=amplitude[1])
    b = jax.random.uniform(b_key, (), minval=phase[0], maxval=phase[1])
    x = jax.random.uniform(x_key, (shot + query_shot, 1), minval=interval[0], maxval=interval[1])
    y = a * jnp.sin(x - b)
    return Episode(Batch(x[:shot], y[:shot]), Batch(x[shot:], y[shot:]))


def linear_sampler(*, features: int, shot: int, query_shot: int) -> Partial:
    """Sampler of binary tasks, each split by its own plane; the planes of all tasks are alike.

        w = w0 + v,   v ~ N(0, I / features),   x ~ N(0, I),   class = [w . x > 0]

    with w0 = (1, ..., 1) / sqrt(features) the same in all tasks: what a meta-learner can find out beforehand.

    Args:
        features: dimension of x.
        shot: support examples a class.
        query_shot: query examples a class.

    Returns:
        `sample(key) -> Episode`, with x `[2 * shot, features]` and y one-hot `[2 * shot, 2]`.

    Raises:
        ValueError: if `features` or a number of examples is below 1.
    """
    _check_points(shot, query_shot)
    if features < 1:
        raise ValueError(f"features must be 1 or more, got {features}")
    return Partial(functools.partial(_draw_linear, features, shot, query_shot))


def _draw_linear(features: int, shot: int, query_shot: int, key: Array) -> Episode:
    w_key, x_key = jax.random.split(key)
    w = (1.0 + jax.random.normal(w_key, (features,))) / jnp.sqrt(float(features))
    x = jax.random.normal(x_key, (2, shot + query_shot, features))
    # Mirroring a point through the origin changes its side and nothing else, as x and -x are equally likely.
    side = jnp.where(x @ w > 0, 1.0, -1.0) * jnp.array([[-1.0], [1.0]])
    x = x * side[..., None]
    return Episode(_example_major(x[:, :shot]), _example_major(x[:, shot:]))


def _check_points(shot: int, query_shot: int) -> None:
    for name, value in (("shot", shot), ("query_shot", query_shot)):
        if value < 1:
            raise ValueError(f"{name} must be 1 or more, got {value}")
