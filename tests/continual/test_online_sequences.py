"""Sequences of tasks against NumPy: split, permuted, rotated, in three scenarios."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta.checks import NEVER
from jmeta.tasks.sequences import Masked, masked, permutations, permuted_tasks, rotated_tasks, split_tasks

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 3, 5, 5), dtype=np.uint8)
ORDER = [(2, 0), (1, 3)]


@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
def test_a_split_has_the_pictures_of_its_classes(scenario):
    """Catches labels that are not those of the pictures, in each scenario, and masks of the other task."""
    tasks = split_tasks(IMAGES, ORDER, scenario=scenario)
    x = tasks.x.x if scenario == "task" else tasks.x
    assert x.dtype == np.uint8 and tasks.weight is None
    for task, classes in enumerate(ORDER):
        np.testing.assert_array_equal(x[task], IMAGES[list(classes)].reshape(6, 5, 5))
        first = 0 if scenario == "domain" else 2 * task
        np.testing.assert_array_equal(np.argmax(tasks.y[task], -1), [first] * 3 + [first + 1] * 3)
        if scenario == "task":
            np.testing.assert_array_equal(tasks.x.classes[task], [[1, 1, 0, 0], [0, 0, 1, 1]][task] * np.ones((6, 1)))
    assert tasks.y.shape[-1] == (2 if scenario == "domain" else 4)


def test_classes_of_unlike_sizes_have_padding():
    counts = np.array([1, 2, 3, 3])
    assert split_tasks(IMAGES, ORDER, scenario="class", counts=counts).weight.tolist() == [
        [1, 1, 1, 1, 0, 0],
        [1, 1, 0, 1, 1, 1],
    ]
    assert rotated_tasks(IMAGES, [0.0, 90.0], scenario="class", counts=counts).weight.sum(1).tolist() == [9, 9]


def test_permutations_are_of_pixels():
    """Catches one permutation for all tasks, or of examples."""
    orders = permutations(jax.random.key(0), 3, 25)
    tasks = permuted_tasks(IMAGES, orders, scenario="domain")
    flat = IMAGES.reshape(12, 25)
    for task, order in enumerate(np.asarray(orders)):
        np.testing.assert_array_equal(tasks.x[task].reshape(12, 25), flat[:, order])
    np.testing.assert_array_equal(tasks.x[0].reshape(12, 25), flat)
    assert not (orders[1] == orders[2]).all()
    assert permuted_tasks(IMAGES, orders, scenario="class").y.shape == (3, 12, 12)


@pytest.mark.parametrize("images", [IMAGES, np.stack([IMAGES, 255 - IMAGES], -1), IMAGES[..., :4] / 255])
def test_right_angles_turn_whole_pixels(images):
    """Catches a turn the other way, around a corner, and half a pixel off."""
    turns = [0.0, 90.0, 180.0, 270.0] if images.shape[2] == images.shape[3] else [0.0, 180.0]
    tasks = rotated_tasks(images, turns, scenario="class")
    for task, angle in enumerate(turns):
        expected = np.rot90(images, int(angle) // 90, axes=(2, 3)).reshape(12, *images.shape[2:])
        np.testing.assert_allclose(tasks.x[task], expected, atol=2e-3 if images.dtype != np.uint8 else 0)


def test_half_a_right_angle_keeps_the_middle_and_empties_the_corners():
    tasks = rotated_tasks(np.full((2, 1, 5, 5), 200, np.uint8), [45.0], scenario="domain")
    assert tasks.x[0, 0, 2, 2] == 200 and tasks.x[0, 0, 0, 0] == 34 and tasks.x[0, 0, 0, 2] > 150


def test_a_masked_model_says_nothing_of_other_classes():
    class Model:
        def init(self, key, x):
            return jnp.ones((x.shape[-1], 4))

        def apply(self, params, x):
            return x @ params

    model, x = masked(Model()), Masked(jnp.ones((2, 3)), jnp.array([[1.0, 1, 0, 0], [0, 0, 1, 1]]))
    assert model.apply(model.init(jax.random.key(0), x), x).tolist() == [[3, 3, NEVER, NEVER], [NEVER, NEVER, 3, 3]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: split_tasks(IMAGES, ORDER, scenario="tasks"), "must be one of task, domain, class, got 'tasks'"),
        (lambda: split_tasks(IMAGES, [(0, 1), (1, 2)], scenario="class"), r"not share classes, got \[1\]"),
        (lambda: split_tasks(IMAGES, [(0, 1), (2, 4)], scenario="class"), "classes must be 0 to 3"),
        (lambda: split_tasks(IMAGES, [(0, 1), (2,)], scenario="class"), r"as many classes each.*got \[2, 1\]"),
        (lambda: split_tasks(IMAGES, [], scenario="class"), "as many classes each"),
        (lambda: split_tasks(IMAGES[:, :0], ORDER, scenario="class"), "not empty"),
        (lambda: split_tasks(IMAGES, ORDER, scenario="class", counts=np.array([1, 2, 3, 4])), "counts must be 1 to 3"),
        (lambda: permuted_tasks(IMAGES, np.zeros((2, 25), int), scenario="class"), "0 to 24 once"),
        (lambda: permuted_tasks(IMAGES, np.zeros((2, 24), int), scenario="class"), r"\[T, 25\]"),
        (lambda: rotated_tasks(IMAGES, [0.0, np.nan], scenario="class"), "finite numbers"),
        (lambda: rotated_tasks(IMAGES.reshape(4, 3, 25), [0.0], scenario="class"), "pictures to turn"),
    ],
)
def test_what_makes_no_tasks_is_refused(make, said):
    with pytest.raises(ValueError, match=said):
        make()
