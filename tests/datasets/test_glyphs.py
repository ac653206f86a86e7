"""Glyphs: numbers that drawings of characters must have, and the promises about keys and shapes."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta.datasets import glyphs, strokes

sample_program = jax.jit(glyphs.sample_program)
draw = jax.jit(glyphs.draw, static_argnames="size")


@pytest.fixture(scope="module")
def ink():
    """Ink [200, 6, 784] of 200 classes."""
    images = np.asarray(glyphs.glyph_images(jax.random.key(3), 200, 6))
    return images.reshape(200, 6, -1).astype(np.float32) / 255


@pytest.fixture(scope="module")
def program():
    return sample_program(jax.random.key(5))


def test_load_is_deterministic_and_class_i_does_not_depend_on_the_number_of_classes():
    few, many = glyphs.load(3, examples=5), glyphs.load(7, examples=5)
    np.testing.assert_array_equal(few.images, many.images[:3])
    assert few.class_names == many.class_names[:3] == ("glyph00001", "glyph00002", "glyph00003")
    assert glyphs.load(3, examples=5).checksum == few.checksum != many.checksum
    assert not np.array_equal(glyphs.load(3, examples=5, seed=1).images, few.images)


def test_loaded_data_set_has_its_parts():
    data = glyphs.load(3, examples=5)
    assert data.name == "glyphs" and data.groups == ("glyphs",) * 3
    assert data.images.shape == (3, 5, 28, 28, 1) and data.images.dtype == np.uint8
    np.testing.assert_array_equal(data.counts, np.full(3, 5, np.int32))


def test_examples_and_classes_all_differ(ink):
    assert len(np.unique(ink.reshape(1200, -1), axis=0)) == 1200


def test_ink_and_spread_are_those_of_omniglot(ink):
    """Omniglot at 28x28: 8.1 to 8.8 % of ink on average, between classes +-2.6; box of 18 +- 3 pixels; middle 13.5."""
    assert 0.06 < ink.mean() < 0.10
    assert 0.015 < ink.mean(axis=(1, 2)).std() < 0.04
    assert ink.mean(axis=2).min() > 0.003
    there = ink.reshape(-1, 28, 28) > 0.3
    rows, columns = there.any(axis=2), there.any(axis=1)
    extent = [28 - side.argmax(1) - side[:, ::-1].argmax(1) for side in (rows, columns)]
    longer = np.maximum(*extent)
    assert 16 < longer.mean() < 20 and longer.min() >= 6
    assert abs((ink.mean((0, 1)) * np.tile(np.arange(28), 28)).sum() / ink.mean((0, 1)).sum() - 13.3) < 0.7


def test_pen_is_as_wide_as_omniglots():
    """A line leaves 1.33 pixels of ink for a pixel of its length; Omniglot's straight lines leave 1.45 +- 0.13."""
    x = np.linspace(0.2, 0.8, strokes.SEGMENTS + 1)
    line = jnp.asarray(np.stack([x, np.full_like(x, 0.51)], axis=-1), jnp.float32)
    paths = jnp.stack([line] * strokes.STROKES)
    picture = np.asarray(strokes.ink(paths, jnp.arange(strokes.STROKES) == 0, strokes.PEN, 28))
    np.testing.assert_allclose(picture.sum() / (0.6 * 28), 1.35, atol=0.08)
    np.testing.assert_allclose(strokes.STROKE_AREA, 1.35, atol=0.08)
    assert picture[14, 8:20].min() > 0.85


def test_redraws_are_closer_than_other_classes(ink):
    within = np.linalg.norm(ink[:, 0] - ink[:, 1], axis=-1)
    between = np.linalg.norm(ink[:, 0] - np.roll(ink[:, 1], 7, axis=0), axis=-1)
    assert 0.75 < within.mean() / between.mean() < 0.95


def test_nearest_neighbor_on_pixels_is_far_from_chance_and_far_from_perfect(ink):
    """5-way 1-shot; real Omniglot gives 42 to 44 %."""
    rng = np.random.default_rng(0)
    right = []
    for _ in range(600):
        classes = rng.permutation(200)[:5]
        support, query = ink[classes, 0], ink[classes, 1:4].reshape(15, -1)
        nearest = ((query[:, None] - support[None]) ** 2).sum(-1).argmin(1)
        right.append(np.mean(nearest == np.repeat(np.arange(5), 3)))
    assert 0.36 < np.mean(right) < 0.55


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_key_gives_a_legible_character_within_the_picture(seed):
    what, how = jax.random.split(jax.random.key(seed))
    picture = np.asarray(draw(how, sample_program(what)))
    assert picture.shape == (28, 28, 1) and picture.dtype == np.float32
    assert picture.min() >= 0 and 0.5 < picture.max() <= 1
    border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    assert border.max() < 0.5


@pytest.mark.long
def test_jit_equals_eager(program):
    eager = glyphs.sample_program(jax.random.key(5))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-5), eager, program)
    picture = glyphs.draw(jax.random.key(1), program)
    np.testing.assert_allclose(draw(jax.random.key(1), program), picture, atol=1e-4)


def test_vmap_equals_loop():
    keys = jax.random.split(jax.random.key(2), 6)
    together = jax.jit(jax.vmap(lambda key: glyphs.draw(key, glyphs.sample_program(key))))(keys)
    loop = jnp.stack([draw(key, sample_program(key)) for key in keys])
    np.testing.assert_allclose(together, loop, atol=1e-4)


def test_another_size_is_the_same_drawing(program):
    small = np.asarray(draw(jax.random.key(1), program, size=28))[..., 0]
    large = np.asarray(draw(jax.random.key(1), program, size=84))[..., 0]
    assert np.abs(large.reshape(28, 3, 28, 3).mean(axis=(1, 3)) - small).mean() < 0.02


@pytest.mark.parametrize("double", [False, True])
def test_strict_types(double):
    with jax.enable_x64(double), jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        program = jax.eval_shape(glyphs.sample_program, jax.random.key(0))
        kinds = {leaf.dtype.name for leaf in jax.tree.leaves(program)}
        assert kinds == {"float32", "int32", "bool"}
        assert jax.eval_shape(glyphs.draw, jax.random.key(0), program).dtype == jnp.float32
        assert jax.eval_shape(partial(glyphs.glyph_images, classes=1, examples=2), jax.random.key(0)).dtype == jnp.uint8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (partial(glyphs.load, 0), "classes=0"),
        (partial(glyphs.load, 5, examples=-1), "examples=-1"),
        (partial(glyphs.load, 5, size=4), "size=4"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
