"""How well a generator knows new classes: the density of drawings that it has not seen, after a few that it has."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.generative import floors
from jmeta.generative.types import Generator
from jmeta.nets.drawings import INK
from jmeta.ragged import Ragged
from jmeta.types import Batch, Params

AT_ONCE = 4


class Classes(NamedTuple):
    """Drawings of classes, 0 or 1: `seen [classes, k, H, W, 1]`, and others, `asked [classes, Q, H, W, 1]`."""

    seen: np.ndarray
    asked: np.ndarray


def classes_of(examples: Ragged, *, seen: int, queries: int, most: int | None = None, seed: int = 0) -> Classes:
    """Drawings of all classes, or of some, each class's in a random order: some to see, others to be asked for.

    Raises:
        ValueError: if there are too few drawings of a class.
    """
    if seen + queries > examples.counts.min():
        raise ValueError(
            f"{seen} drawings to see and {queries} to be asked for need {seen + queries} of each class, got "
            f"{examples.counts.min()}: ask for fewer"
        )
    rng, rows = np.random.default_rng(seed), np.asarray(examples.rows)
    chosen = np.arange(len(examples)) if most is None else rng.permutation(len(examples))[:most]
    places = [examples.starts[k] + rng.permutation(examples.counts[k])[: seen + queries] for k in chosen]
    ink = (rows[np.stack(places)] > INK * (255 if rows.dtype == np.uint8 else 1)).astype(np.float32)
    return Classes(ink[:, :seen], ink[:, seen:])


def nats(generator: Generator, params: Params, classes: Classes, seen: int) -> np.ndarray:
    """Log-densities `[classes, Q]` in nats a drawing, after the first `seen` drawings of each class, or none."""

    @jax.jit
    def all_classes(params: Params, seen_ones: Array, asked: Array) -> Array:
        weight = (jnp.arange(max(seen, 1)) < seen).astype(float)

        def one(pair: tuple[Array, Array]) -> Array:
            support = Batch(pair[0], jnp.ones((len(pair[0]), 1)), weight)
            return generator.learner.predict(generator.learner.adapt(params, support), pair[1])

        return jax.lax.map(one, (seen_ones, asked), batch_size=AT_ONCE)

    return np.asarray(all_classes(params, jnp.asarray(classes.seen[:, : max(seen, 1)]), jnp.asarray(classes.asked)))


def drawn(generator: Generator, params: Params, seen: np.ndarray, number: int, key: Array) -> np.ndarray:
    """New drawings `[classes, number, H, W, 1]` after those that were seen, `[classes, k, H, W, 1]`."""

    @jax.jit
    def all_classes(params: Params, seen: Array, keys: Array) -> Array:
        def one(pair: tuple[Array, Array]) -> Array:
            support = Batch(pair[0], jnp.ones((len(pair[0]), 1)))
            return generator.sample(generator.learner.adapt(params, support), pair[1], number)

        return jax.lax.map(one, (seen, keys), batch_size=AT_ONCE)

    return np.asarray(all_classes(params, jnp.asarray(seen), jax.random.split(key, len(seen))))


class Floor(NamedTuple):
    """What is known without learning across classes: its name, and nats `[classes, Q]` by the number that was seen."""

    name: str
    nats: dict[int, np.ndarray]


def floors_of(train: Ragged, judged: Classes, asked: Classes, shots: Sequence[int]) -> list[Floor]:
    """Independent pixels: the mean of background drawings, the conjugate posterior of each pixel, and what was seen,
    blurred, whose width and share are chosen on other classes, `judged`."""
    rows = np.asarray(train.rows)
    mean = floors.mean_of((rows > INK * (255 if rows.dtype == np.uint8 else 1))[..., 0])
    chance = {
        "mean of the background": lambda seen: mean,
        "Beta-Bernoulli": functools.partial(floors.beta_bernoulli, mean),
    }
    found = [Floor(name, {k: _each(make, asked, k) for k in shots}) for name, make in chance.items()]
    best = {k: floors.best_blur(mean, judged.seen[:, :k, ..., 0], judged.asked[..., 0]) for k in shots if k}
    blur = lambda k: lambda seen: floors.blurred(mean, seen, width=best[k][0], share=best[k][1]) if k else mean
    return [*found, Floor("what was seen, blurred", {k: _each(blur(k), asked, k) for k in shots})]


def _each(make: Any, classes: Classes, k: int) -> np.ndarray:
    pairs = zip(classes.seen[:, :k, ..., 0], classes.asked[..., 0], strict=True)
    return np.stack([floors.density(make(seen), asked) for seen, asked in pairs])
