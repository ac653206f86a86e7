"""Changes of pictures: where each pixel goes, by matrices, and how far."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jmeta.augment import random_affine

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
