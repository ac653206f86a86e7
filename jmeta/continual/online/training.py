"""A sequence of tasks as one compiled program: learned one after another, each judged after each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.checks import check_sizes
from jmeta.continual.online.types import Online
from jmeta.losses import accuracy
from jmeta.types import Batch, Metrics


class Learned(NamedTuple):
    """What came of a sequence of T tasks.

    Attributes:
        state: at the end.
        accuracy: `[T, T]`, the matrix R: after task i, on the test examples of task j.
        before: `[T]`, on the test examples before any task.
        metrics: of each step, leaves `[T, steps]`.
    """

    state: Any
    accuracy: Array
    before: Array
    metrics: Metrics


def learn_sequence(
    learner: Online,
    key: Array,
    train: Batch,
    test: Batch,
    *,
    steps: int,
    batch_size: int,
    finish_size: int = 200,
    mixed: bool = False,
) -> Learned:
    """Learn tasks one after another, in batches drawn with replacement from the task that is there; pure.

    Args:
        learner: any `Online`.
        key: decides where it starts and what is drawn.
        train, test: leaves `[T, N, ...]`, as `jmeta.tasks.sequences` makes them, with weights of 0 for padding.
        steps: of each task.
        batch_size: examples of each step.
        finish_size: examples of the task that its end is told with, for learners that make something of it.
        mixed: draw from all tasks at once from the first step on, for the row "joint".

    Returns:
        `Learned`. Under `vmap` over keys, and data of each if they have an axis for it, runs are one program.

    Raises:
        ValueError: if a number is below 1.
    """
    check_sizes(steps=steps, batch_size=batch_size, finish_size=finish_size)
    tasks = len(train.y)
    start_key, draw_key = jax.random.split(key)
    rows = lambda batch, task: jax.tree.map(lambda a: a[task], batch)
    pool = jax.tree.map(lambda a: a.reshape(1, -1, *a.shape[2:]), train) if mixed else train
    state = learner.init(start_key, *(jax.tree.map(lambda a: a[0, :batch_size], part) for part in (train.x, train.y)))

    def judge(state: Any) -> Array:
        def on_task(task: Batch) -> Array:
            return accuracy(learner.predict(state, task.x), task)

        return jax.lax.map(on_task, test)

    def on_task(state: Any, task: Array) -> tuple[Any, tuple[Array, Metrics]]:
        now, key = rows(pool, 0 if mixed else task), jax.random.fold_in(draw_key, task)

        def step(state: Any, number: Array) -> tuple[Any, Metrics]:
            return learner.step(state, drawn(now, jax.random.fold_in(key, number), batch_size))

        state, metrics = jax.lax.scan(step, state, jnp.arange(steps))
        state = learner.finish(state, drawn(now, jax.random.fold_in(key, steps), finish_size))
        return state, (judge(state), metrics)

    before = judge(state)
    state, (after, metrics) = jax.lax.scan(on_task, state, jnp.arange(tasks))
    return Learned(state, after, before, metrics)


def drawn(task: Batch, key: Array, number: int) -> Batch:
    """Examples of a task, with replacement; none that are padding."""
    if task.weight is None:
        index = jax.random.randint(key, (number,), 0, len(task.y))
    else:
        index = jax.random.categorical(key, jnp.where(task.weight != 0, 0.0, -jnp.inf), shape=(number,))
    return jax.tree.map(lambda a: a[index], Batch(task.x, task.y))
