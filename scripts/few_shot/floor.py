"""What any learner has to beat: the nearest neighbor between raw pixels."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.distances import squared_distances
from jmeta.losses import NEVER, cross_entropy, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics

FLOOR = "nearest neighbor between raw pixels"


class Remembered(NamedTuple):
    """Support pictures `[N, D]` as rows of pixels, and which of them are of each class `[N, way]`."""

    pixels: Array
    member: Array


def nearest_pixels() -> Learner:
    """The class of the support picture that is nearest, pixel by pixel; nothing is learned.

        logit_k(x) = -min_{n of class k} |x - x_n|^2

    Returns:
        A `Learner` whose parameters are empty; `adapt` returns the support set as `Remembered`.
    """

    def init(key: Array, x: Array) -> tuple[()]:
        return ()

    def adapt(params: tuple[()], support: Batch) -> Remembered:
        member = support.y if support.weight is None else support.y * support.weight[:, None]
        return Remembered(support.x.reshape(len(support.x), -1), member)

    def predict(adapted: Remembered, x: Array, weight: Array | None = None) -> Array:
        distances = squared_distances(x.reshape(len(x), -1), adapted.pixels)
        of_class = jnp.where(adapted.member.T[None] > 0, -distances[:, None], NEVER)
        return jnp.max(of_class, axis=-1)

    def loss(params: tuple[()], episode: Episode) -> tuple[Array, Metrics]:
        return query_loss(predict(adapt(params, episode.support), episode.query.x), episode.query, cross_entropy)

    return Learner(init, adapt, predict, loss)
