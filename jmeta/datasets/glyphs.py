"""Glyphs: handwritten-looking characters from random stroke programs, with no file and no network.

A class is a `Program`: up to `STROKES` strokes, each a chain of up to `PIECES` lines, arcs and loops, and how the
strokes are attached to one another. An example is a redraw of its program with jittered lengths, bends and joins,
a tremor of the hand, another slant, size, place and pen.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.datasets.strokes import PEN, PIECES, SEGMENTS, STROKES, Program, assemble, box, ink, legibility, trace
from jmeta.datasets.types import Dataset, make_dataset

DEFAULT_CLASSES = 2000
DEFAULT_EXAMPLES = 20
TRIES = 4
TREMOR = 0.06


def _pick(uniform: Array, weights: tuple[float, ...]) -> Array:
    """Turns uniform numbers into integers 0..len(weights)-1 with these odds."""
    edges = jnp.asarray(np.cumsum(weights)[:-1] / np.sum(weights), jnp.float32)
    return jnp.sum(uniform[..., None] > edges.reshape((1,) * uniform.ndim + (-1,)), axis=-1, dtype=jnp.int32)


def _bell(uniform: Array) -> Array:
    """Turns uniform numbers into normal ones, at most 4.3 standard deviations from 0."""
    return math.sqrt(2) * jax.lax.erf_inv(jnp.clip(2.0 * uniform - 1.0, -0.99998, 0.99998))


def _sample_shapes(uniform: Array, normal: Array) -> tuple[Array, Array, Array, Array]:
    """Length, bend, corner `[S, P]` and heading `[S]` of strokes by themselves, from noise `[9 and 2, S, P]`."""
    place = jnp.arange(PIECES, dtype=jnp.int32)[None]
    there = place < 1 + _pick(uniform[0, :, :1], (0.34, 0.26, 0.22, 0.12, 0.06))
    line, loop = uniform[1] < 0.46, uniform[1] > 0.91
    size = jnp.exp(0.35 * normal[0] + 0.30 * normal[1, :, :1])
    turn = jnp.where(line, 0.2, jnp.where(loop, 4.2, 0.8)) + jnp.where(line, 0.1, 2.3) * uniform[2]
    sharp = (uniform[4] < 0.65) & there & (place > 0)
    square = jnp.where(uniform[5] < 0.6, 0.5 * math.pi + 0.6 * (uniform[6] - 0.5), 0.8 + 1.5 * uniform[6])
    compass = 0.25 * math.pi * jnp.round(8.0 * uniform[8, :, 1] + 0.5 * (uniform[8, :, 0] - 0.5))
    heading = jnp.where(
        uniform[8, :, 2] < 0.75, compass + 0.2 * (uniform[8, :, 3] - 0.5), 2 * math.pi * uniform[8, :, 3]
    )
    length = jnp.where(there, size * jnp.where(loop, 1.3, 1.0), 0.0)
    sign = jnp.where(uniform < 0.5, -1.0, 1.0)
    bend = jnp.where(there, sign[3] * turn, 0.0)
    return length, bend, jnp.where(sharp, sign[7] * square, 0.0), heading


def _sample_once(uniform: Array, count: Array) -> Program:
    """A program of `count` strokes, legible or not, from uniform numbers `[15, S, P]`."""
    normal = _bell(uniform[12:])
    length, bend, corner, heading = _sample_shapes(uniform[:9], normal[:2])
    u, v, w = uniform[9].T, uniform[10].T, uniform[11].T
    index = jnp.arange(STROKES, dtype=jnp.int32)
    first = jnp.where(jnp.arange(PIECES, dtype=jnp.int32) == 0, 1.0, 0.0).astype(jnp.float32)[None]
    place = jnp.where(index > 0, _pick(u[0], (0.52, 0.18, 0.30)), 0)
    bridge, beside = place == 1, place == 2
    twin = beside & (u[1] < 0.3)
    dot = beside & (u[1] > 0.82)
    parent = jnp.where((u[2] < 0.5) | twin, 0, jnp.floor(u[3] * index.astype(jnp.float32)).astype(jnp.int32))
    own_at = jnp.asarray((0.0, 1.0, 0.5), jnp.float32)[_pick(u[4], (0.55, 0.15, 0.30))]
    parent_at = jnp.where(beside, 0.5, jnp.where(v[0] < 0.45, jnp.round(v[1]), v[1]))
    reach = 0.4 + 0.6 * v[2]
    end_at = jnp.where(parent_at + reach <= 1.0, parent_at + reach, jnp.maximum(parent_at - reach, 0.0))
    # A bridge is one arc of at most 4 radians: its ends stay well apart, so that it can be fitted between two points.
    length = jnp.where(bridge[:, None], first, jnp.where(dot[:, None], 0.15 * first, length))
    bend = jnp.where(bridge[:, None], first * (8.0 * v[3] - 4.0)[:, None], bend)
    corner = jnp.where(bridge[:, None], 0.0, corner)
    # A twin repeats the first stroke or its mirror image.
    mirror = jnp.where(v[4] < 0.4, -1.0, 1.0)
    length = jnp.where(twin[:, None], length[:1], length)
    bend = jnp.where(twin[:, None], mirror[:, None] * bend[:1], bend)
    corner = jnp.where(twin[:, None], mirror[:, None] * corner[:1], corner)
    heading = jnp.where(twin, jnp.where(mirror < 0, math.pi - heading[0], heading[0]), heading)
    toward = 2 * math.pi * w[0]
    offset = (0.4 + 0.7 * w[1])[:, None] * jnp.stack([jnp.cos(toward), jnp.sin(toward)], axis=-1)
    return Program(
        length=length,
        bend=bend,
        corner=corner,
        heading=heading,
        parent=parent,
        own_at=jnp.where(beside, 0.5, jnp.where(bridge, 0.0, own_at)),
        parent_at=parent_at,
        end_at=end_at,
        offset=jnp.where(beside[:, None], offset, 0.0),
        bridge=bridge,
        drawn=index < count,
        side=jnp.clip(0.61 + 0.09 * normal[2, 0, 0], 0.3, 0.85),
        center=0.485 + 0.018 * normal[2, 0, 1:3],
    )


def _redraw(noise: Array, program: Program) -> tuple[Program, Array]:
    """The program as the hand executes it with noise `[5, S, P]`, and a tremor `[S, SEGMENTS]` of the direction."""
    bends, strokes = noise[1], noise[2].T
    shaken = program._replace(
        length=program.length * jnp.exp(0.12 * noise[0]),
        bend=jnp.where(program.length > 0, program.bend * (1.0 + 0.04 * bends) + 0.04 * bends, 0.0),
        heading=program.heading + 0.06 * strokes[0],
        own_at=jnp.clip(program.own_at + 0.04 * strokes[1], 0.0, 1.0),
        parent_at=jnp.clip(program.parent_at + 0.04 * strokes[2], 0.0, 1.0),
        end_at=jnp.clip(program.end_at + 0.04 * strokes[3], 0.0, 1.0),
        offset=program.offset + 0.06 * noise[3, :, :2],
    )
    # Sines and cosines with independent normal factors have a uniform phase and a Rayleigh amplitude.
    at = jnp.asarray((np.arange(SEGMENTS) + 0.5) / SEGMENTS, jnp.float32)
    turns = 2 * math.pi * jnp.asarray((0.6, 1.5, 3.5), jnp.float32)[:, None] * at[None]
    waves = jnp.concatenate([jnp.sin(turns), jnp.cos(turns)[:2]])
    return shaken, noise[4] @ (TREMOR * waves)


def _lay_out(noise: Array, program: Program, paths: Array) -> Array:
    """Slants, scales and places the character in the unit square, with noise `[6]`."""
    tilt, slant, aspect = 0.07 * noise[0], 0.12 * noise[1], 0.10 * noise[2]
    x, y = paths[..., 0], paths[..., 1]
    x, y = jnp.exp(aspect) * (x + slant * y), jnp.exp(-aspect) * y
    x, y = jnp.cos(tilt) * x - jnp.sin(tilt) * y, jnp.sin(tilt) * x + jnp.cos(tilt) * y
    paths = jnp.stack([x, y], axis=-1)
    low, high = box(paths, program.drawn)
    side = jnp.clip(program.side * jnp.exp(0.13 * noise[3]), 0.25, 0.9)
    scale = side / jnp.maximum(jnp.max(high - low), 1e-3)
    center = program.center + 0.05 * noise[4:]
    # A character keeps inside the picture, as a hand does.
    half = 0.5 * scale * (high - low)
    center = jnp.clip(center, jnp.minimum(half + 0.05, 0.5), jnp.maximum(0.95 - half, 0.5))
    return scale * (paths - 0.5 * (low + high)[None, None]) + center[None, None]


def sample_program(key: Array) -> Program:
    """Draws the program of one class; `vmap` over keys for many.

    One to five strokes. A later stroke starts, crosses or ends on an earlier one (joined), closes a shape with it
    (bridge), or stands beside it; some repeat or mirror the first stroke, some are dots. Of `TRIES` programs the
    most legible is kept: strokes that do not cover one another, a box that is not a mere line.
    """
    # One call: every call to the generator adds half a second to the compilation.
    uniform = jax.random.uniform(key, (TRIES, 15, STROKES, PIECES), jnp.float32)
    count = 1 + _pick(uniform[0, 11, 0, 4], (0.22, 0.28, 0.25, 0.16, 0.09))
    tries = jax.vmap(lambda u: _sample_once(u, count))(uniform)
    best = jnp.argmax(jax.vmap(legibility)(tries))
    return jax.tree.map(lambda leaf: leaf[best], tries)


def draw(key: Array, program: Program, *, size: int = 28) -> Array:
    """Draws one example of a class, as ink float32 `[size, size, 1]`, 1 on paper of 0; `vmap` over keys for many.

    Raises:
        ValueError: `size` is below 8.
    """
    if size < 8:
        raise ValueError(f"A glyph needs at least 8 pixels a side to be read, got size={size}: ask for 8 or more.")
    noise = jax.random.normal(key, (6, STROKES, PIECES), jnp.float32)
    shaken, tremor = _redraw(noise[:5], program)
    paths = _lay_out(noise[5].reshape(-1)[:6], shaken, assemble(shaken, trace(shaken, tremor)))
    width = size / 28 * PEN * jnp.exp(0.08 * noise[5, -1, -1])
    return ink(paths, shaken.drawn, width, size)[..., None]


@partial(jax.jit, static_argnums=(1, 2, 3))
def glyph_images(key: Array, classes: int, examples: int, size: int = 28) -> Array:
    """Pictures of `classes` classes; class i depends on `key` and i only, whatever the number of classes.

    Returns:
        uint8 `[classes, examples, size, size, 1]`, 255 being ink.

    Raises:
        ValueError: `classes` or `examples` is below 1, or `size` is below 8.
    """
    for name, value in (("classes", classes), ("examples", examples)):
        if value < 1:
            raise ValueError(f"Glyphs need at least one of each, got {name}={value}: ask for 1 or more.")

    def program_of(index: Array) -> tuple[Array, Program]:
        what, how = jax.random.split(jax.random.fold_in(key, index))
        return how, sample_program(what)

    def pictures(made: tuple[Array, Program]) -> Array:
        how, program = made
        keys = jax.vmap(partial(jax.random.fold_in, how))(jnp.arange(examples, dtype=jnp.int32))
        drawn = jax.vmap(lambda k: draw(k, program, size=size))(keys)
        return jnp.round(255.0 * drawn).astype(jnp.uint8)

    # Two loops: in one, the compiler works out the class anew for every example. A class at a time in each, so that
    # memory stays small and the arithmetic, to the last bit, does not depend on the number of classes.
    return jax.lax.map(pictures, jax.lax.map(program_of, jnp.arange(classes, dtype=jnp.int32)))


def load(classes: int = DEFAULT_CLASSES, *, examples: int = DEFAULT_EXAMPLES, size: int = 28, seed: int = 0) -> Dataset:
    """Glyphs as a data set, drawn anew at each call: images uint8 `[classes, examples, size, size, 1]` of one group.

    The same arguments give the same pictures on the same machine; on another kind of processor a pixel may differ by
    one level of 255. Class i is the same whatever the number of classes, so more only add to the set; another seed
    gives others.

    Raises:
        ValueError: `classes` or `examples` is below 1, or `size` is below 8.
    """
    images = np.asarray(glyph_images(jax.random.key(seed), classes, examples, size))
    return make_dataset("glyphs", images, [f"glyph{i + 1:05d}" for i in range(classes)])
