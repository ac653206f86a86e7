"""Streams: in class order, each example once, and others to remember."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.tasks import stream_sampler


def pictures(classes=6, examples=5, size=2):
    """Of which each holds its class, its example and its place."""
    made = np.zeros((classes, examples, size, size, 1), np.float32)
    made[..., 0, 0, 0] = np.arange(classes)[:, None]
    made[..., 0, 1, 0] = np.arange(examples)
    return made


def drawn(seed=0, **values):
    sizes = {"classes": 3, "shot": 2, "query_shot": 2, **values}
    return jax.device_get(jax.jit(stream_sampler(pictures(), **sizes))(jax.random.key(seed)))


def test_a_stream_is_in_class_order_and_no_example_comes_twice():
    """Few-shot episodes, which are by example first, would be another stream."""
    support, query = drawn()
    assert support.y.argmax(1).tolist() == [0, 0, 1, 1, 2, 2] == query.y.argmax(1).tolist()
    classes = support.x[:, 0, 0, 0].reshape(3, 2)
    assert (classes == classes[:, :1]).all() and len(set(classes[:, 0])) == 3
    assert (query.x[:, 0, 0, 0].reshape(3, 2) == classes).all()
    examples = np.concatenate([support.x[:, 0, 1, 0].reshape(3, 2), query.x[:, 0, 1, 0].reshape(3, 2)], axis=1)
    assert all(len(set(row)) == 4 for row in examples)
    assert drawn(1).support.x.tolist() != support.x.tolist()


def test_drawers_are_in_order_where_examples_are_not_drawn():
    support, query = drawn(drawn=False)
    assert support.x[:, 0, 1, 0].tolist() == [0, 1] * 3 and query.x[:, 0, 1, 0].tolist() == [2, 3] * 3


def test_queries_to_remember_are_of_classes_that_the_stream_has_not():
    support, query = drawn(remember=3)
    assert support.y.shape == (6, 6) and query.y.shape == (9, 6)
    np.testing.assert_array_equal(query.y.argmax(1), query.x[:, 0, 0, 0])  # over all classes, by their own number
    np.testing.assert_array_equal(support.y.argmax(1), support.x[:, 0, 0, 0])
    assert set(query.y[6:].argmax(1)) == set(range(6)) - set(support.y.argmax(1))


def test_turned_classes_are_classes_of_their_own():
    support, query = drawn(classes=12, remember=12, rotations=True)
    assert support.y.shape[1] == 24
    corner = {0: (0, 0), 1: (1, 0), 2: (1, 1), 3: (0, 1)}  # where the class is written, turned anticlockwise
    for x, y in zip(query.x, query.y.argmax(1), strict=True):
        turns, k = divmod(int(y), 6)
        assert x[(*corner[turns], 0)] == k


def test_bytes_are_read_as_0_to_1_and_examples_are_changed():
    images = np.full((4, 4, 2, 2, 1), 255, np.uint8)
    sample = stream_sampler(images, classes=2, shot=1, query_shot=1, augment=lambda key, x: x / 2)
    np.testing.assert_array_equal(sample(jax.random.key(0)).support.x, 0.5)


def test_streams_are_drawn_under_vmap():
    sample = stream_sampler(jnp.ones((4, 4, 3)), classes=2, shot=1, query_shot=1)
    assert jax.vmap(sample)(jax.random.split(jax.random.key(0), 5)).support.x.shape == (5, 2, 3)


@pytest.mark.parametrize(("values", "message"), [
    ({"classes": 7}, "7 classes needs 7, got 6: ask for less"),
    ({"remember": 4}, "3 classes and 4 others to remember needs 7, got 6"),
    ({"shot": 4}, "needs 6 of each class, got 5"), ({"query_shot": 0}, "query_shot must be 1 or more, got 0"),
    ({"remember": -1}, "remember must be 0 or more"),
])  # fmt: skip
def test_what_can_not_be_drawn_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        drawn(**values)


def test_vectors_are_not_turned():
    with pytest.raises(ValueError, match=r"square pictures .* got examples of \[3\]"):
        stream_sampler(np.ones((4, 4, 3)), classes=2, shot=1, query_shot=1, rotations=True)
