"""Groups of tasks to train together, from their affinities (Fifty et al. 2021)."""

import functools
from collections.abc import Iterator, Sequence

import numpy as np
from jax.typing import ArrayLike
from scipy.cluster.hierarchy import cut_tree, linkage
from scipy.spatial.distance import squareform

EXACT = 10
"""So many tasks are grouped exactly; there are 115,975 partitions of them, and 190,899,322 of 14."""


def group_tasks(affinity: ArrayLike, groups: int) -> tuple[tuple[int, ...], ...]:
    """The partition of tasks in which they help each other most.

        value = sum_j mean of Z_ij over the group mates i of j;    0 for a task on its own

    Up to `EXACT` tasks the partition of the greatest value is found, by trying every group of every set of tasks that
    is left, each once. Above that, groups are merged by average linkage: starting from single tasks, the two with the
    greatest mean affinity between them (of both directions) are merged until `groups` are left, which may not be best.

    Affinities are signed: tasks that hurt each other are kept apart, even if they are closely related, as tasks with
    opposite weights are under a model that they share all of. For groups of related tasks of whatever sign, give the
    absolute values, as of `correlations`.

    Args:
        affinity: `[T, T]`, what a step on the row's task does for the column's, such as of `task_affinity`, or a
            symmetric likeness. The diagonal counts for nothing.
        groups: how many, 1 to T; none is empty.

    Returns:
        The groups, each in rising order, by their first tasks.

    Raises:
        ValueError: if the affinities are not a square matrix of finite numbers, or there can't be so many groups.

    Example:
        >>> group_tasks([[0, -1, 3, 0], [-1, 0, 0, 2], [3, 0, 0, -1], [0, 2, -1, 0]], 2)
        ((0, 2), (1, 3))

    Differs from the paper: groups have no task in common, where its may overlap and each task is served by one of them.

    Source: Fifty et al. 2021, Efficiently Identifying Task Groupings for Multi-Task Learning, section 3.
    https://arxiv.org/abs/2109.04617
    """
    z = np.array(affinity, np.float64)
    if z.ndim != 2 or z.shape[0] != z.shape[1] or not np.isfinite(z).all():
        raise ValueError(
            f"affinities must be a square matrix of finite numbers, got {list(z.shape)}"
            + (", with some that are not finite" if not np.isfinite(z).all() else "")
        )
    tasks = len(z)
    if not (hasattr(groups, "__index__") and 1 <= groups <= tasks):
        raise ValueError(f"groups must be a whole number from 1 to {tasks}, the number of tasks, got {groups}")
    np.fill_diagonal(z, 0)
    found = _best(z, groups) if tasks <= EXACT else _linked(z, groups)
    return tuple(sorted(tuple(sorted(int(task) for task in group)) for group in found))


def grouping_value(affinity: ArrayLike, partition: Sequence[Sequence[int]]) -> float:
    """What `group_tasks` maximizes, of one partition.

    Example:
        >>> grouping_value([[0, 1, 4], [3, 0, 0], [0, 0, 0]], [(0, 1), (2,)])
        4.0
    """
    z = np.array(affinity, np.float64)
    np.fill_diagonal(z, 0)
    return sum(_value(z, tuple(group)) for group in partition)


def _value(z: np.ndarray, group: tuple[int, ...]) -> float:
    return float(z[np.ix_(group, group)].sum() / max(len(group) - 1, 1))


def _best(z: np.ndarray, groups: int) -> tuple[tuple[int, ...], ...]:
    """The best partition, for each set of tasks that is left worked out once."""
    value = functools.cache(lambda members: _value(z, members))

    @functools.cache
    def best(left: tuple[int, ...], groups: int) -> tuple[float, tuple[tuple[int, ...], ...]]:
        if groups == 1:
            return value(left), (left,)
        options = []
        for group in _with_first(left, len(left) - groups + 1):
            rest, others = best(tuple(task for task in left if task not in group), groups - 1)
            options.append((value(group) + rest, (group, *others)))
        return max(options, key=lambda option: option[0])

    return best(tuple(range(len(z))), groups)[1]


def _with_first(tasks: tuple[int, ...], largest: int) -> Iterator[tuple[int, ...]]:
    """Every group of up to so many of the tasks that the first is in."""
    others = tasks[1:]
    for chosen in range(2 ** len(others)):
        if chosen.bit_count() < largest:
            yield (tasks[0], *(task for i, task in enumerate(others) if chosen >> i & 1))


def _linked(z: np.ndarray, groups: int) -> list[np.ndarray]:
    distances = -(z + z.T) / 2
    distances -= distances.min()
    np.fill_diagonal(distances, 0)
    labels = cut_tree(linkage(squareform(distances, checks=False), "average"), n_clusters=groups)[:, 0]
    return [np.flatnonzero(labels == label) for label in range(groups)]
