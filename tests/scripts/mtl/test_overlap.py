"""Overlapped pairs against NumPy, pixel by pixel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scripts.mtl.overlap import overlap, overlapped_sampler, parts


def pictures(classes=4, examples=3, size=6, seed=0):
    """No two of them are alike."""
    return np.random.default_rng(seed).integers(0, 256, (classes, examples, size, size), dtype=np.uint8)


def laid(first, second, shift):
    canvas = np.zeros((2, first.shape[0] + shift, first.shape[1] + shift), first.dtype)
    canvas[0, : first.shape[0], : first.shape[1]] = first
    canvas[1, shift:, shift:] = second
    return canvas.max(0)


@given(hnp.arrays(np.uint8, (2, 2, 3)), st.integers(0, 2))
def test_a_canvas_is_the_larger_of_two_pictures_where_they_lie(two, shift):
    np.testing.assert_array_equal(overlap(jnp.asarray(two[0]), jnp.asarray(two[1]), shift=shift), laid(*two, shift))


def test_pairs_are_of_their_labels():
    images = pictures()
    sample = overlapped_sampler(images, batch_size=200, shift=2)
    batch = jax.jit(lambda sample, key: sample(key))(sample, jax.random.key(1))
    eager = sample(jax.random.key(1))
    np.testing.assert_array_equal(batch.y, eager.y)
    np.testing.assert_allclose(batch.x, eager.x, rtol=1e-6)
    assert batch.x.shape == (200, 8, 8, 1)
    assert batch.y.shape == (2, 200, 4)
    assert batch.x.dtype == batch.y.dtype == jnp.float32
    np.testing.assert_array_equal(np.sum(batch.y, axis=-1), 1)
    left, right = np.argmax(np.asarray(batch.y), axis=-1).tolist()
    assert all(a != b for a, b in zip(left, right, strict=True))
    drawn = set()
    for x, a, b in zip(np.asarray(batch.x)[..., 0], left, right, strict=True):
        fits = [
            (i, j)
            for i, first in enumerate(images[a])
            for j, second in enumerate(images[b])
            if np.allclose(x * 255, laid(first, second, 2), atol=1e-3)
        ]
        assert len(fits) == 1
        drawn.add((a, b, *fits[0]))
    assert len(drawn) > 80  # of 108, of which 200 draws meet 91 on average
    assert set(left) == set(right) == set(range(4))


def test_keys_decide_the_pairs():
    sample = overlapped_sampler(pictures(), batch_size=50)
    one, same, other = (sample(jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.x, same.x)
    assert np.any(one.y != other.y)
    assert one.x.shape == (50, 14, 14, 1)


def test_no_picture_is_in_two_parts():
    images = np.arange(5 * 20, dtype=np.uint8).reshape(5, 20, 1, 1)  # each names itself
    found = parts(images, (12, 5, 3))
    assert [part.shape for part in found] == [(5, 12, 1, 1), (5, 5, 1, 1), (5, 3, 1, 1)]
    for k in range(5):
        seen = np.concatenate([part[k].ravel() for part in found])
        np.testing.assert_array_equal(np.sort(seen), images[k].ravel())  # of their own class, once each
    np.testing.assert_array_equal(found.test, parts(images, (12, 5, 3)).test)
    orders = found.train[:, :, 0, 0] - 20 * np.arange(5)[:, None]
    assert np.any(orders[0] != orders[1])
    assert np.any(found.train != parts(images, (12, 5, 3), seed=1).train)
    fewer = parts(images, (2, 5, 3))
    assert not set(fewer.train.ravel()) & set(fewer.test.ravel())


def test_what_can_not_be_is_refused():
    for images in (pictures().astype(np.float32), pictures()[0], pictures()[:1], pictures()[:, :0]):
        with pytest.raises(ValueError, match=r"images must be uint8 of shape"):
            overlapped_sampler(images, batch_size=2)
    with pytest.raises(ValueError, match="batch_size must be 1 or more, got 0"):
        overlapped_sampler(pictures(), batch_size=0)
    for sizes in ((3, 1, 1), (1, 0, 1)):
        with pytest.raises(ValueError, match="sizes must be 1 or more each and 3 or fewer in all"):
            parts(pictures(), sizes)


def test_labels_of_real_digits(data_root):
    """Least squares on the pixels of MNIST pairs reads both digits far better than chance, which is 10 %."""
    images = np.load(data_root / "mnist28.npz")["images"]
    found = parts(images)

    def drawn(part, n):
        batch = overlapped_sampler(part, batch_size=n)(jax.random.key(0))
        return np.concatenate([np.asarray(batch.x).reshape(n, -1), np.ones((n, 1))], axis=1), np.asarray(batch.y)

    (x, labels), (unseen, answers) = drawn(found.train, 4000), drawn(found.test, 500)
    for task in range(2):
        weights = np.linalg.solve(x.T @ x + 30 * np.eye(x.shape[1]), x.T @ labels[task])
        right = np.argmax(unseen @ weights, axis=1) == np.argmax(answers[task], axis=1)
        assert right.mean() > 0.5, right.mean()
