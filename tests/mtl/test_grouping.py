"""Groups of tasks, beside every partition there is, and pictures of matrices."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from jmeta.mtl.relatedness import draw_heatmap, group_tasks, grouping_value
from jmeta.mtl.relatedness import grouping as module


def partitions(tasks, groups):
    """All of them, as tasks numbered by group."""
    for labels in itertools.product(range(groups), repeat=tasks):
        if len(set(labels)) == groups:
            yield [[task for task in range(tasks) if labels[task] == group] for group in range(groups)]


def by_hand(z, partition):
    """The mean of what each task's mates do for it, summed over the tasks."""
    return sum(
        np.mean([z[mate][task] for mate in group if mate != task])
        for group in partition
        for task in group
        if len(group) > 1
    )


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(2, 6), st.data())
def test_the_partition_is_the_best_of_all(seed, tasks, data):
    groups = data.draw(st.integers(1, tasks))
    z = np.random.default_rng(seed).normal(size=(tasks, tasks))
    found = group_tasks(z, groups)
    assert sorted(task for group in found for task in group) == list(range(tasks))
    assert len(found) == groups
    assert list(found) == sorted(found) and all(list(group) == sorted(group) for group in found)
    best = max(by_hand(z, partition) for partition in partitions(tasks, groups))
    assert grouping_value(z, found) == pytest.approx(best)
    assert by_hand(z, found) == pytest.approx(best)


def planted(sizes, seed=0):
    """Affinities of 1 within groups and 0 between, with noise that is too small to hide them, in a mixed order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(sum(sizes))
    z = rng.normal(scale=0.1, size=(len(order), len(order)))
    bounds = np.cumsum([0, *sizes])
    groups = [sorted(order[a:b].tolist()) for a, b in itertools.pairwise(bounds)]
    for group in groups:
        z[np.ix_(group, group)] += 1
    return z, tuple(sorted(map(tuple, groups)))


@pytest.mark.parametrize("sizes", [(4, 3, 3), (5, 4, 8, 6), (30, 2)])
def test_planted_groups_are_found_exactly_and_by_linkage(sizes):
    z, groups = planted(sizes)
    assert group_tasks(z, len(sizes)) == groups


def test_few_tasks_are_grouped_exactly_and_many_by_linkage(monkeypatch):
    """Where the two differ: merging the closest two first is not always best."""
    z = np.random.default_rng(1).normal(size=(8, 8))
    exact = group_tasks(z, 3)
    monkeypatch.setattr(module, "EXACT", 7)
    linked = group_tasks(z, 3)
    assert len(linked) == 3
    assert grouping_value(z, exact) > grouping_value(z, linked) + 0.1


def test_linkage_gives_as_many_groups_as_asked_for_even_with_ties():
    for groups in (1, 5, 12):
        assert len(group_tasks(np.zeros((12, 12)), groups)) == groups


def test_tasks_that_hurt_each_other_are_kept_apart_unless_signs_are_left_out():
    z = np.zeros((4, 4))
    z[0, 1] = z[1, 0] = -0.9
    z[2, 3] = z[3, 2] = 0.5
    assert group_tasks(np.abs(z), 2) == ((0, 1), (2, 3))
    assert not any({0, 1} <= set(group) for group in group_tasks(z, 2))


@pytest.mark.parametrize(
    ("affinity", "groups", "message"),
    [
        (np.zeros((2, 3)), 1, r"affinities must be a square matrix of finite numbers, got \[2, 3\]"),
        (np.full((2, 2), np.nan), 1, "with some that are not finite"),
        (np.zeros((3, 3)), 0, "groups must be a whole number from 1 to 3, the number of tasks, got 0"),
        (np.zeros((3, 3)), 1.5, "groups must be a whole number from 1 to 3, the number of tasks, got 1.5"),
        (np.zeros((3, 3)), 4, "groups must be a whole number from 1 to 3, the number of tasks, got 4"),
    ],
)
def test_bad_input_is_refused(affinity, groups, message):
    with pytest.raises(ValueError, match=message) as caught:
        group_tasks(affinity, groups)
    assert "\n" not in str(caught.value)


def colors(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def test_colors_are_red_above_0_and_blue_below(tmp_path):
    shares = {}
    for sign in (1, -1):
        path = draw_heatmap(sign * (1 - np.eye(50)), [str(i) for i in range(50)], tmp_path / f"{sign}.png", limit=2.0)
        pixels = colors(path)
        middle = pixels[: pixels.shape[0], : pixels.shape[1] // 2]
        shares[sign] = [np.mean(middle[..., a] > middle[..., b] + 40) for a, b in ((0, 2), (2, 0))]
    red, blue = shares[1], shares[-1]
    assert red[0] > 0.5 and red[1] < 0.01
    assert blue[1] > 0.5 and blue[0] < 0.01


@pytest.mark.parametrize("tasks", [1, 20, 60])
def test_heat_maps_of_few_and_many_tasks(tmp_path, tasks):
    matrix = np.random.default_rng(0).normal(size=(tasks, tasks))
    groups = [range(0, math.ceil(tasks / 2)), range(math.ceil(tasks / 2), tasks)] if tasks > 1 else None
    path = draw_heatmap(
        matrix, [f"a task called {i}" for i in range(tasks)], tmp_path / "map.png",
        title="title", label="label", rows="rows", columns="columns", groups=groups,
    )  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["map.png"]
    assert len(np.unique(colors(path).reshape(-1, 3), axis=0)) > 3


def test_groups_decide_the_order(tmp_path):
    """Drawn in the order of the groups, a matrix with mixed rows is the block matrix that it was."""
    blocks = np.kron(np.eye(2), np.ones((2, 2)))
    order = [0, 2, 1, 3]
    drawn = [
        draw_heatmap(matrix, list("abcd"), tmp_path / f"{i}.png", groups=groups)
        for i, (matrix, groups) in enumerate(
            [(blocks, [(0, 1), (2, 3)]), (blocks[np.ix_(order, order)], [(0, 2), (1, 3)])]
        )
    ]
    first, second = map(colors, drawn)
    wrong = np.any(first != second, axis=2)
    assert first.shape == second.shape and wrong.mean() < 0.01  # only the names differ


def test_a_heat_map_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    path = tmp_path / "map.png"
    path.write_bytes(b"kept")

    def fail(self, file, **options):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="No space left"):
        draw_heatmap(np.eye(2), ["a", "b"], path)
    assert path.read_bytes() == b"kept"
    assert [p.name for p in tmp_path.iterdir()] == ["map.png"]


@pytest.mark.parametrize(
    ("matrix", "groups", "message"),
    [
        (np.zeros((2, 3)), None, r"the matrix must be of finite numbers, 2 by 2 as names, got \[2, 3\]"),
        (np.full((2, 2), np.inf), None, "the matrix must be of finite numbers"),
        (np.eye(2), [(0,)], "groups must have each of the 2 tasks once"),
    ],
)
def test_bad_pictures_are_refused(tmp_path, matrix, groups, message):
    with pytest.raises(ValueError, match=message):
        draw_heatmap(matrix, ["a", "b"], tmp_path / "map.png", groups=groups)
    assert list(tmp_path.iterdir()) == []
