"""Drawings of a class after a few of it, block by block, by looking at them (Reed et al. 2018)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.checks import check_sizes
from jmeta.generative.types import Generator, density_loss
from jmeta.nets.drawings import SIDE, DrawingNetwork, Seen, blocks, pictures
from jmeta.types import Batch, Model, Params, episodic


class DrawingParams(NamedTuple):
    """Parameters of the two networks."""

    encoder: Params
    network: Params


class DrawingAdapted(NamedTuple):
    """The network, what it looks at, and a drawing of zeros `[H, W, 1]`."""

    network: Params
    seen: Seen
    blank: Array


def attentive_drawing(encoder: Model, network: DrawingNetwork) -> Generator:
    """A black-and-white picture as a sequence of blocks, each drawn with a look at the support set.

        log p(x | support) = sum_b log softmax(network(blocks of x before b; encoder(support)))[block b of x]

    Args:
        encoder: model mapping pictures `[N, H, W, 1]` to feature maps `[N, H', W', D]`, such as
            `nets.ConvMap(features=(32, 64), norm=nets.GroupNorm)`.
        network: what draws, see `nets.DrawingNetwork`.

    Returns:
        A `Generator` of pictures `[H, W, 1]` of 0 and 1 with even sides. A pixel above 0.5 has ink. The order of the
        support set has no part, and it may be empty: then the drawing is of no class in particular.

    Raises:
        ValueError: for pictures of more than one channel, or whose sides are odd; from `sample`, for no picture.

    Source: see `nets.DrawingNetwork`.
    """

    def called(method: str, params: Params, *given: Any) -> Any:
        return network.apply(params, *given, method=method)

    def init(key: Array, x: Any) -> DrawingParams:
        one, two = jax.random.split(key)
        params = encoder.init(one, x)
        return DrawingParams(params, network.init(two, blocks(x), encoder.apply(params, x)))

    def adapt(params: DrawingParams, support: Batch) -> DrawingAdapted:
        blocks(support.x)
        maps, _ = calls.read(encoder, params.encoder, support)
        seen = called("seen", params.network, maps, support.weight)
        return DrawingAdapted(params.network, seen, jnp.zeros(support.x.shape[1:]))

    def predict(adapted: DrawingAdapted, x: Any, weight: Array | None = None) -> Array:
        patterns = blocks(x)
        above = called("above", adapted.network, patterns, adapted.seen)
        logits = called("along", adapted.network, patterns, above, adapted.seen)
        own = jnp.take_along_axis(jax.nn.log_softmax(logits), patterns[..., None], axis=-1)
        return jnp.sum(own, axis=(1, 2, 3))

    def sample(adapted: DrawingAdapted, key: Array, n: int) -> Array:
        check_sizes(n=n)
        rows, columns = (side // SIDE for side in adapted.blank.shape[:2])

        def row(drawn: Array, at: Array) -> tuple[Array, None]:
            above = called("above", adapted.network, drawn, adapted.seen)
            here = [jax.lax.dynamic_slice_in_dim(a, at, 1, axis=1) for a in above]

            def block(line: Array, column: Array) -> tuple[Array, None]:
                logits = called("along", adapted.network, line, here, adapted.seen)
                own = jax.random.fold_in(key, at * columns + column)
                chosen = jax.random.categorical(own, logits[:, 0, column]).astype(jnp.int32)
                return line.at[:, 0, column].set(chosen), None

            line = jax.lax.scan(block, jnp.zeros((n, 1, columns), jnp.int32), jnp.arange(columns))[0]
            return jax.lax.dynamic_update_slice_in_dim(drawn, line, at, axis=1), None

        return pictures(jax.lax.scan(row, jnp.zeros((n, rows, columns), jnp.int32), jnp.arange(rows))[0])

    return Generator(episodic(init, adapt, predict, density_loss), sample)
