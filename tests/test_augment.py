"""Changes of pictures: where each pixel goes, by matrices, and how far."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageEnhance
from scipy import ndimage

from jmeta.augment import color_jitter, compose, random_affine, random_crop, random_flip

SIZE = 15


def blob(seed):
    """A smooth picture, whose interpolation hardly depends on where its pixels are."""
    noise = np.random.default_rng(seed).normal(size=(SIZE, SIZE, 2))
    return ndimage.gaussian_filter(noise, (2, 2, 0)).astype(np.float32)


def test_no_change_leaves_the_picture_as_it_is():
    image = blob(0)
    none = random_affine(degrees=0.0, scale=0.0, shear=0.0, shift=0.0)
    np.testing.assert_allclose(none(jax.random.key(0), image), image, atol=1e-6)


@hypothesis.given(seed=st.integers(0, 2**31 - 1))
@hypothesis.settings(max_examples=20)
def test_it_is_the_affine_map_of_its_docstring(seed):
    degrees, scale, shear, shift = 25.0, 0.3, 0.4, 0.1
    key, image = jax.random.key(seed), blob(seed)
    found = random_affine(degrees=degrees, scale=scale, shear=shear, shift=shift)(key, image)
    a, s1, s2, h, t1, t2 = np.asarray(jax.random.uniform(key, (6,), jnp.float32, -1, 1), np.float64)
    angle = np.deg2rad(degrees * a)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    change = turn @ np.array([[1 + scale * s1, shear * h], [0.0, 1 + scale * s2]])
    middle = np.full(2, (SIZE - 1) / 2)
    move = shift * SIZE * np.array([t1, t2])
    for channel in range(2):
        inverse = np.linalg.inv(change)
        offset = middle - inverse @ (middle + move)
        want = ndimage.affine_transform(image[..., channel], inverse, offset, order=1, mode="nearest")
        np.testing.assert_allclose(found[..., channel], want, atol=1e-4)


def test_moves_are_as_large_as_was_asked_for():
    point = np.zeros((21, 11, 1), np.float32)
    point[10, 5] = 1.0
    warp = random_affine(degrees=0.0, scale=0.0, shear=0.0, shift=0.2)
    moved = np.asarray(jax.vmap(warp, (0, None))(jax.random.split(jax.random.key(0), 300), point))[..., 0]
    rows, columns = np.mgrid[:21, :11]
    centers = np.stack([(moved * grid).sum((1, 2)) for grid in (rows - 10, columns - 5)], -1)
    limits = 0.2 * np.array([21, 11])
    assert (np.abs(centers) < limits + 1e-4).all()
    np.testing.assert_allclose(centers.mean(0), 0.0, atol=0.3)
    np.testing.assert_allclose(centers.std(0), limits / np.sqrt(3), rtol=0.1)


def test_jit_and_vmap_change_nothing_and_keys_do():
    image, warp = blob(1), random_affine()
    keys = jax.random.split(jax.random.key(3), 4)
    alone = jnp.stack([warp(key, image) for key in keys])
    np.testing.assert_allclose(jax.jit(jax.vmap(warp, (0, None)))(keys, image), alone, atol=1e-5)
    assert alone.dtype == image.dtype
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"degrees": -1.0}, "degrees must be 0 or more, got -1.0"),
        ({"shear": float("nan")}, "shear must be 0 or more, got nan"),
        ({"scale": 1.0}, "scale must be below 1, got 1.0"),
    ],
)
def test_changes_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        random_affine(**options)


def ramp(height=6, width=5, channels=2):
    """A picture of values that are all different, none of them 0."""
    return (1 + jnp.arange(height * width * channels, dtype=jnp.float32)).reshape(height, width, channels) / 100


KEYS = jax.random.split(jax.random.key(5), 300)


def test_a_crop_is_a_window_of_the_padded_picture():
    """Catches an offset that is never drawn, and rows taken for columns; of 2 there are 5 x 5 windows."""
    image, padded = ramp(), np.pad(np.asarray(ramp()), ((2, 2), (2, 2), (0, 0)))
    windows = {padded[i : i + 6, j : j + 5].tobytes(): (i, j) for i in range(5) for j in range(5)}
    found = np.asarray(jax.vmap(lambda key: random_crop(padding=2)(key, image))(KEYS))
    assert {windows[crop.tobytes()] for crop in found} == {(i, j) for i in range(5) for j in range(5)}


@pytest.mark.parametrize(("side", "padding"), [(32, 4), (84, 8)])
def test_padding_by_the_size_of_the_picture(side, padding):
    image = jnp.ones((side, side, 1))
    moved = jax.vmap(lambda key: jnp.sum(random_crop()(key, image)[:, :, 0].max(1)))(KEYS)
    assert int(moved.min()) == side - padding and int(moved.max()) == side


def test_half_of_the_pictures_are_mirrored_left_to_right():
    image = ramp()
    found = np.asarray(jax.vmap(lambda key: random_flip()(key, image))(KEYS))
    mirrored = (found == np.asarray(image)[:, ::-1]).all((1, 2, 3))
    assert (mirrored | (found == np.asarray(image)).all((1, 2, 3))).all()
    assert 110 < mirrored.sum() < 190


def test_jitter_is_what_pillow_does():
    """Catches another order, another gray, and a contrast about each channel's own mean; Pillow rounds to bytes."""
    image = np.random.default_rng(0).integers(0, 256, (8, 7, 3), dtype=np.uint8)
    change = jax.jit(color_jitter(brightness=0.6, contrast=0.5, saturation=0.4))
    for key in KEYS[:10]:
        drawn = jax.random.uniform(key, (3,), jnp.float32, -1, 1)
        expected = Image.fromarray(image)
        factors = 1 + np.array([0.6, 0.5, 0.4]) * np.asarray(drawn)
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, factor in zip(kinds, factors, strict=True):
            expected = kind(expected).enhance(float(factor))
        found = 255 * np.asarray(change(key, image.astype(np.float32) / 255))
        np.testing.assert_allclose(found, np.asarray(expected, np.float32), atol=4)


def test_jitter_of_gray_pictures_changes_their_brightness_alone():
    image = jnp.full((4, 4, 1), 0.5)
    found = color_jitter(contrast=0.0)(KEYS[0], image)
    factor = 1 + 0.4 * jax.random.uniform(KEYS[0], (3,), jnp.float32, -1, 1)[0]
    np.testing.assert_allclose(found, 0.5 * factor * np.ones((4, 4, 1)), rtol=1e-6)
    np.testing.assert_allclose(
        color_jitter(brightness=0.0, contrast=0.0, saturation=0.0)(KEYS[0], ramp()), ramp(), atol=1e-6
    )


def test_composed_changes_come_one_after_another_by_keys_of_their_own():
    """Catches one key for all, by which a crop and a flip would go together."""
    image = ramp()
    np.testing.assert_array_equal(compose()(KEYS[0], image), image)
    both = compose(lambda key, x: x + jax.random.uniform(key), lambda key, x: x * jax.random.uniform(key))
    twice = jax.vmap(lambda key: both(key, jnp.zeros((1, 1, 1))))(KEYS[:50])[:, 0, 0, 0]
    drawn = jax.vmap(lambda key: [jax.random.uniform(jax.random.fold_in(key, place)) for place in (0, 1)])
    first, second = drawn(KEYS[:50])
    np.testing.assert_allclose(twice, first * second, rtol=1e-6)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.5


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: random_crop(padding=-1), "padding must be 0 or more, got -1"),
        (lambda: color_jitter(contrast=1.5), "contrast must be 0 to 1, got 1.5"),
        (lambda: color_jitter(brightness=-0.1), "brightness must be 0 to 1, got -0.1"),
    ],
)
def test_changes_that_make_no_sense(make, expected):
    with pytest.raises(ValueError, match=expected):
        make()
