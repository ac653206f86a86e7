"""The geometry and the pen of glyphs: from the numbers of a stroke program to ink. Nothing here is random."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

STROKES = 5
PIECES = 5
SEGMENTS = 40
DOTS = 128
PEN = 0.56  # standard deviation of the pen's profile, in pixels of a 28-pixel picture
STROKE_AREA = 1.33  # ink for a pixel's length of such a pen


class Program(NamedTuple):
    """What one class is: S = `STROKES` strokes of P = `PIECES` pieces. Angles are radians, y points down.

    The direction of the pen along a stroke, at arc length s, with s_i where piece i starts and l_i its length, is

        angle(s) = heading + sum_i bend_i * clip((s - s_i) / l_i, 0, 1) + corner_i * [s > s_i]

    and stroke k lies so that its point at fraction `own_at` is the point at fraction `parent_at` of stroke `parent`,
    plus `offset`. A stroke with `bridge` is turned and scaled instead, to run from `parent_at` to `end_at`.
    """

    length: Array  # [S, P]    length of each piece, 0 for a piece that is not there
    bend: Array  # [S, P]      turn spread over the piece: 0 a line, pi a half circle, 2 pi a loop
    corner: Array  # [S, P]    turn where the piece starts
    heading: Array  # [S]      first direction of the pen
    parent: Array  # [S] int32 an earlier stroke
    own_at: Array  # [S]       fractions of a stroke's length in [0, 1]
    parent_at: Array  # [S]
    end_at: Array  # [S]
    offset: Array  # [S, 2]    (x, y); 0 joins the strokes
    bridge: Array  # [S] bool
    drawn: Array  # [S] bool   False for a stroke that is not there
    side: Array  # []          longer side of the character's box, 1 being the side of the picture
    center: Array  # [2]       middle of the box


def trace(program: Program, tremor: Array) -> Array:
    """Each stroke as SEGMENTS + 1 points `[S, SEGMENTS + 1, 2]` from the origin, evenly spaced along the stroke."""
    total = jnp.sum(program.length, axis=1)
    start = jnp.cumsum(program.length, axis=1) - program.length
    at = jnp.asarray((np.arange(SEGMENTS) + 0.5) / SEGMENTS, jnp.float32)
    along = total[:, None, None] * at[None, :, None] - start[:, None, :]
    ramp = jnp.clip(along / jnp.maximum(program.length, 1e-3)[:, None, :], 0.0, 1.0)
    angle = (
        program.heading[:, None]
        + tremor
        + jnp.sum(ramp * program.bend[:, None, :] + jnp.where(along > 0.0, program.corner[:, None, :], 0.0), axis=-1)
    )
    step = (total / SEGMENTS)[:, None, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)
    return jnp.pad(jnp.cumsum(step, axis=1), ((0, 0), (1, 0), (0, 0)))


def _point(path: Array, fraction: Array) -> Array:
    """The point `[2]` at this fraction of a path `[SEGMENTS + 1, 2]`."""
    at = jnp.clip(fraction, 0.0, 1.0) * SEGMENTS
    low = jnp.minimum(at.astype(jnp.int32), SEGMENTS - 1)
    rest = at - low.astype(at.dtype)
    return (1.0 - rest) * path[low] + rest * path[low + 1]


def assemble(program: Program, paths: Array) -> Array:
    """Places every stroke on its parent: `[S, SEGMENTS + 1, 2]` -> the same shape."""

    def place(k: Array, paths: Array) -> Array:
        parent, path = paths[program.parent[k]], paths[k]
        anchor = _point(parent, program.parent_at[k])
        chord, goal = path[-1] - path[0], _point(parent, program.end_at[k]) - anchor
        norm = jnp.maximum(jnp.sum(chord * chord), 1e-4)
        # goal / chord as complex numbers: the turn and scale that fit the stroke between its two points.
        cos = jnp.where(program.bridge[k], jnp.sum(goal * chord) / norm, 1.0)
        sin = jnp.where(program.bridge[k], (goal[1] * chord[0] - goal[0] * chord[1]) / norm, 0.0)
        turned = jnp.stack([cos * path[:, 0] - sin * path[:, 1], sin * path[:, 0] + cos * path[:, 1]], axis=-1)
        shift = anchor + program.offset[k] - _point(turned, program.own_at[k])
        return paths.at[k].set(turned + shift[None])

    return jax.lax.fori_loop(jnp.int32(1), jnp.int32(STROKES), place, paths)


def box(paths: Array, drawn: Array) -> tuple[Array, Array]:
    """Corners (x, y) of the box around the strokes that are there."""
    there = drawn[:, None, None]
    low = jnp.min(jnp.where(there, paths, jnp.inf), axis=(0, 1))
    return low, jnp.max(jnp.where(there, paths, -jnp.inf), axis=(0, 1))


def dots(paths: Array, drawn: Array) -> tuple[Array, Array]:
    """`DOTS` points `[DOTS, 2]`, evenly spaced along all the drawn strokes together, and the length one stands for."""
    step = jnp.sqrt(jnp.sum(jnp.square(paths[:, 1:] - paths[:, :-1]), axis=-1))
    length = jnp.where(drawn, jnp.sum(step, axis=1), 0.0)
    end = jnp.cumsum(length)
    along = end[-1] * jnp.asarray((np.arange(DOTS) + 0.5) / DOTS, jnp.float32)
    stroke = jnp.minimum(jnp.sum(along[:, None] > end[None], axis=1, dtype=jnp.int32), STROKES - 1)
    fraction = (along - (end - length)[stroke]) / jnp.maximum(length[stroke], 1e-3)
    return jax.vmap(lambda k, f: _point(paths[k], f))(stroke, fraction), end[-1] / DOTS


def ink(paths: Array, drawn: Array, width: ArrayLike, size: int) -> Array:
    """Ink `[size, size]` of a round pen with a Gaussian profile, drawn along the strokes.

        density(p) = sum over dots of spacing * exp(-|p - dot|^2 / 2 width^2) / (sqrt(2 pi) width)
        ink        = 1 - exp(-3 density^2)

    The Gaussian is a product of one in x and one in y, so the sum is a single matrix product.
    """
    dot, spacing = dots(size * paths, drawn)
    pixel = jnp.arange(size, dtype=jnp.float32) + 0.5
    reach = jnp.exp(-jnp.square(pixel[:, None, None] - dot[None]) / (2 * width * width))
    density = spacing / (math.sqrt(2 * math.pi) * width) * (reach[..., 1] @ reach[..., 0].T)
    return 1.0 - jnp.exp(-3.0 * density * density)


def legibility(program: Program) -> Array:
    """How far the strokes keep clear of one another, and whether the character fills a box or is a mere line."""
    still = jnp.zeros((STROKES, SEGMENTS), jnp.float32)
    paths = assemble(program, trace(program, still))
    low, high = box(paths, program.drawn)
    extent = high - low
    paths = 0.2 + 0.6 * (paths - low[None, None]) / jnp.maximum(jnp.max(extent), 1e-3)
    step = jnp.sqrt(jnp.sum(jnp.square(paths[:, 1:] - paths[:, :-1]), axis=-1))
    length = 28 * jnp.sum(jnp.where(program.drawn, jnp.sum(step, axis=1), 0.0))
    area = jnp.sum(ink(paths, program.drawn, PEN, 28))
    clear = area / (STROKE_AREA * jnp.maximum(length, 1.0))
    return jnp.minimum(clear, 0.95) + jnp.minimum(jnp.min(extent) / jnp.maximum(jnp.max(extent), 1e-3), 0.3)
