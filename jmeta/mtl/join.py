"""The join of meta-learning and multi-task learning: a learner on problems of several tasks, trained on jointly."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta.episodes import Sampler, few_shot_sampler
from jmeta.evaluation import Evaluation, accuracy, summarize
from jmeta.inner import check_steps, descend
from jmeta.loop import as_partial, mapped
from jmeta.losses import weighted_mean
from jmeta.training import init_state, make_run
from jmeta.types import Batch, Episode, Learner, Metrics, Params

Split = Callable[[Batch], Episode]
"""`support -> episodes`, with a leading axis: what a task's few examples are made into to learn from, where they have
to serve as queries too."""


def all_as_queries(support: Batch) -> Episode:
    """One episode, whose queries are the support set: for a learner that does not simply recall it, such as MAML."""
    return jax.tree.map(lambda a: a[None], Episode(support, support))


def halves(support: Batch) -> Episode:
    """Two episodes: each half of the examples is learned from and asked for the other.

    Rows must be ordered by example first, as the samplers do, with an even shot, so that each half has all classes.

    Raises:
        ValueError: if there is an odd number of examples.
    """
    n = support.x.shape[0]
    if n % 2:
        raise ValueError(f"halves need an even number of examples, got {n}: choose an even shot, or all_as_queries")

    def both(a: Array | None, turn: bool) -> Array | None:
        parts = None if a is None else a.reshape(2, n // 2, *a.shape[1:])
        return parts if parts is None or not turn else parts[::-1]

    def batch(turn: bool) -> Batch:
        classes = None if support.classes is None else jnp.broadcast_to(support.classes, (2, *support.classes.shape))
        return Batch(*(both(a, turn) for a in support[:3]), classes)  # type: ignore[arg-type]

    return Episode(batch(False), batch(True))


def joined(
    learner: Learner,
    *,
    optimizer: optax.GradientTransformation,
    steps: int,
    split: Split = halves,
    first_order: bool = False,
) -> Learner:
    """Any learner, on problems of several tasks that are trained on jointly before each is adapted to.

        shared(theta) = descend(gradient of mean_t l(., split(support_t)), theta, optimizer, steps)      jointly
        head_t        = adapt(shared, support_t)                                                          each task
        loss(theta)   = mean_t l(shared(theta), (support_t, query_t))

    with `l` the learner's own loss, of queries after adaptation. What the tasks share is the learner's parameters, such
    as the encoder of `prototypical` and of `ridge`, or the encoder and the start of the head of `anil`; what is new for
    each task is what `adapt` makes of its few examples. The gradient of the loss goes through the joint steps, as that
    of MAML does, so that what is learned is a start from which a few joint steps on a new problem serve all of its
    tasks. With 0 steps it is the learner, task by task. A mean is over the episodes that have rows to learn from and
    rows to be asked for, of a weight that is not 0: a task without rows has no part in it.

    Args:
        learner: any algorithm of the library.
        optimizer: the Optax rule of the joint steps.
        steps: of joint training, 0 or more.
        split: how the few examples of a task are made into an episode; `halves`, or `all_as_queries`.
        first_order: leave the derivative of the joint steps out of the gradient.

    Returns:
        A `Learner` on problems: support and query of an `Episode` have a leading axis of T tasks, `adapt` returns what
        the learner's `adapt` returns with that axis, and `predict` takes `x [T, N, ...]` to `[T, N, way]`.

    Raises:
        ValueError: if `steps` is negative.
    """
    check_steps(steps)

    def init(key: Array, x: Array) -> Params:
        return learner.init(key, x[0])

    def jointly(params: Params, support: Batch) -> Params:
        episodes = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), jax.vmap(split)(support))

        def mean_loss(params: Params) -> Array:
            return _mean(jax.vmap(learner.loss, in_axes=(None, 0))(params, episodes)[0], episodes)

        truncation = 0 if first_order else None
        return descend(jax.grad(mean_loss), params, optimizer, steps, truncation=truncation, value_fn=mean_loss)

    def adapt(params: Params, support: Batch) -> Any:
        return jax.vmap(learner.adapt, in_axes=(None, 0))(jointly(params, support), support)

    def predict(adapted: Any, x: Array, *weight: Array) -> Array:
        return jax.vmap(learner.predict)(adapted, x, *weight)

    def loss(params: Params, problem: Episode) -> tuple[Array, Metrics]:
        values, metrics = jax.vmap(learner.loss, in_axes=(None, 0))(jointly(params, problem.support), problem)
        return _mean(values, problem), jax.tree.map(lambda values: _mean(values, problem), metrics)

    return Learner(init, adapt, predict, loss)


class Joined(NamedTuple):
    """What became of a problem.

    Attributes:
        params: the meta-parameters, which serve any problem of the kind.
        adapted: of each task, with a leading axis; `learner.predict` under `vmap` takes it.
        metrics: of meta-training, `[outer_steps]`.
    """

    params: Params
    adapted: Any
    metrics: Metrics


def learn(
    learner: Learner,
    sample: Sampler,
    support: Batch,
    key: Array,
    *,
    outer_optimizer: optax.GradientTransformation,
    outer_steps: int,
    meta_batch_size: int = 4,
    optimizer: optax.GradientTransformation,
    steps: int,
    train_on_steps: int | None = None,
    split: Split = halves,
) -> Joined:
    """The join in one call: meta-train over many problems, adapt to a new one, train on jointly.

    `learner`, `optimizer` of the joint steps and `split` are as in `joined`.

    Args:
        sample: `key -> problem`, an `Episode` with a leading axis of tasks, such as `pairs_sampler` draws.
        support: the few examples of the new problem's tasks, with a leading axis of tasks.
        key: of the run.
        outer_optimizer: the rule of meta-training.
        outer_steps: of meta-training.
        meta_batch_size: problems of each outer step.
        steps: joint steps on each problem of meta-training.
        train_on_steps: joint steps on the new problem; None for `steps`, which meta-training prepares for.
    """
    whole = joined(learner, optimizer=optimizer, steps=steps, split=split)
    state = init_state(whole, outer_optimizer, key, sample(key).support.x)
    run = make_run(whole, outer_optimizer, sample, meta_batch_size=meta_batch_size, chunk_size=1)
    state, metrics = run(state, outer_steps)
    last = steps if train_on_steps is None else train_on_steps
    adapt = jax.jit(joined(learner, optimizer=optimizer, steps=last, split=split).adapt)
    return Joined(state.params, adapt(state.params, support), metrics)


def pairs_sampler(
    images: Any, groups: Any, *, tasks: int, shot: int, query_shot: int, rotations: bool = False, augment: Any = None
) -> Partial:
    """Sampler of problems of several binary tasks within a group: which of two classes is it?

    `2 * tasks` different classes of one group, such as characters of an alphabet, in pairs.

    Args:
        images: `[classes, examples, H, W, C]`, as in `jmeta.few_shot_sampler`.
        groups: `[classes]`, the group that each class is of; one of fewer than `2 * tasks` classes is left out.
        tasks: T, binary tasks of a problem.
        shot, query_shot: support and query examples of each class.
        rotations: turn all of a problem by the same multiple of 90 degrees, which makes four groups of one.
        augment: as in `jmeta.few_shot_sampler`.

    Returns:
        `sample(key) -> Episode`, with x `[T, 2 * shot, ...]` and one-hot y `[T, 2 * shot, 2]`.

    Raises:
        ValueError: as `jmeta.few_shot_sampler`; if no group is large enough, or a size is below 1.

    Example:
        >>> images = jnp.zeros((30, 20, 8, 8, 1), jnp.uint8)
        >>> sample = pairs_sampler(images, ["a"] * 12 + ["b"] * 18, tasks=5, shot=2, query_shot=3)
        >>> problem = sample(jax.random.key(0))
        >>> problem.support.x.shape, problem.query.y.shape
        ((5, 4, 8, 8, 1), (5, 6, 2))
    """
    if tasks < 1:
        raise ValueError(f"a problem must have 1 task or more, got {tasks}")
    sample = few_shot_sampler(
        images, way=2 * tasks, shot=shot, query_shot=query_shot, rotations=rotations, groups=groups, augment=augment
    )

    def pairs(batch: Batch) -> Batch:
        n, pair = batch.x.shape[0] // (2 * tasks), batch.x.reshape(-1, tasks, 2, *batch.x.shape[1:])
        x = jnp.swapaxes(pair, 0, 1).reshape(tasks, 2 * n, *batch.x.shape[1:])
        y = jnp.tile(jnp.eye(2, dtype=batch.y.dtype), (n, 1))
        return Batch(x, jnp.broadcast_to(y[None], (tasks, *y.shape)))

    def draw(sample: Partial, key: Array) -> Episode:
        episode = sample(key)
        return Episode(pairs(episode.support), pairs(episode.query))

    return Partial(draw, sample)


def evaluate_problems(
    predict: Callable[[Episode], Array], sample: Sampler, key: Array, *, problems: int = 300, chunk_size: int = 1
) -> Evaluation:
    """Mean accuracy over the tasks of each of many problems, without those that have no rows.

    Args:
        predict: `problem -> logits [T, N, way]` of its queries; a `jax.tree_util.Partial` carries its parameters as
            arguments of the program.
        sample: `key -> problem`.
        key: decides the problems: the same for all that are compared, and the first of more are the same as of fewer.
        problems: how many.
        chunk_size: problems computed at once.
    """
    keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(problems, dtype=jnp.int32))
    judge = Partial(_mean_accuracy, as_partial(predict), as_partial(sample))
    return summarize(jax.device_get(mapped(judge, keys, chunk_size=chunk_size)))


def accuracy_on(learner: Learner, params: Params, problem: Episode) -> Array:
    """Mean accuracy of a joined learner over the tasks of one problem, `[]`."""
    return _accuracy(learner.predict(learner.adapt(params, problem.support), problem.query.x), problem)


def _mean_accuracy(predict: Callable[[Episode], Array], sample: Sampler, key: Array) -> Array:
    problem = sample(key)
    return _accuracy(predict(problem), problem)


def _accuracy(logits: Array, problem: Episode) -> Array:
    return _mean(jax.vmap(accuracy)(logits, problem.query), problem)


def _mean(values: Array, episodes: Episode) -> Array:
    """The mean of `values [E]` over the episodes that have rows both to learn from and to be asked for; 0 of none."""
    there = [jnp.any(batch.weight != 0, axis=-1) for batch in episodes if batch.weight is not None]
    return weighted_mean(values, functools.reduce(jnp.logical_and, there).astype(values.dtype) if there else None)
