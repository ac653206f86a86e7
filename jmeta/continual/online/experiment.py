"""A sequence of tasks as an experiment: the engine's steps go through it once, task by task."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from jax.tree_util import Partial

from jmeta import datasets
from jmeta.continual.online.catalog import ONLINE
from jmeta.continual.online.settings import Settings, Tasks
from jmeta.continual.online.training import drawn
from jmeta.continual.online.types import Online
from jmeta.errors import RunError, sentence
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.losses import accuracy
from jmeta.nets import catalog
from jmeta.tasks.sequences import masked, permutations, permuted_tasks, rotated_tasks, split_tasks
from jmeta.types import Batch, Metrics, Params


class Data(NamedTuple):
    """The same tasks, leaves `[T, N, ...]`, of examples to learn from, to validate on and to test on."""

    train: Batch
    validation: Batch
    test: Batch
    facts: dict[str, Any]


class Alone(NamedTuple):
    """Parameters as a state, of which predictions are made."""

    params: Params


def whole(state: TrainState) -> Any:
    """The state of the learner."""
    return state.opt_state._replace(params=state.params)


def builder() -> Build:
    """`build(settings)`, which loads the data of a sequence once, however often it is called."""
    load = functools.cache(load_data)
    return lambda settings: experiment(settings, load(settings.sequence))


def load_data(tasks: Tasks) -> Data:
    """The tasks of a data set; a RunError says what there is too little of."""
    data = datasets.load(tasks.dataset, tasks.data_dir)
    number = int(data.counts.min())
    held = max(int(number * tasks.held_out), 1)
    if number < 3 * held:
        raise RunError(f"{tasks.dataset} has a class of {number} examples, too few for three parts: take another.")
    order = np.random.default_rng(0).permutation(number)
    images = np.stack([np.asarray(data.examples[c])[order] for c in range(len(data.counts))])
    parts = np.split(images, [number - 2 * held, number - held], axis=1)
    try:
        return Data(*(sequence(tasks, part) for part in parts), facts={"checksum": data.checksum, "split_hash": ""})
    except ValueError as error:
        raise RunError(sentence(error)) from error


def sequence(tasks: Tasks, images: np.ndarray) -> Batch:
    """Pictures `[classes, examples, ...]` as the tasks that are asked for, always the same."""
    if tasks.sequence == "split":
        whole = len(images) // tasks.way
        return split_tasks(images, np.arange(whole * tasks.way).reshape(whole, tasks.way), scenario=tasks.scenario)
    if tasks.sequence == "rotated":
        angles = 180 * np.arange(tasks.tasks) / tasks.tasks
        return rotated_tasks(images, angles, scenario=tasks.scenario)
    orders = permutations(jax.random.key(0), tasks.tasks, int(np.prod(images.shape[2:])))
    return permuted_tasks(images, orders, scenario=tasks.scenario)


def learner_of(settings: Settings, way: int) -> Online:
    """The online learner of settings, for so many classes; a RunError for what it can't be told."""
    model: Any = catalog.network(settings.network, way)
    row, told = ONLINE.get(settings.algorithm), dataclasses.asdict(settings.learner)
    rule = {"optimizer": optax.adam(settings.steps.adam_lr)} if row.optimizer else {}
    try:
        return row.make(masked(model) if settings.sequence.scenario == "task" else model, **rule, **told)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains: its `opt_state` is all else of the learner's state, memory and all, and step n is one on
    task n // task_steps. With several seeds in one program a learner that is told of ends computes one at each step,
    and uses that of the last."""
    steps, tasks = settings.steps, len(data.train.y)
    learner, ends = learner_of(settings, data.train.y.shape[-1]), ONLINE.get(settings.algorithm).ends
    x, y = jax.eval_shape(lambda train: drawn(_task(train, 0), jax.random.key(0), steps.batch_size)[:2], data.train)

    def init(key: Array) -> TrainState:
        start_key, key = jax.random.split(key)
        state = learner.init(start_key, *jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), (x, y)))
        return TrainState(state.params, state._replace(params=()), key, jnp.int32(0))

    def update(train: Batch, state: TrainState, mesh: Mesh | None = None) -> tuple[TrainState, Metrics]:
        now = _task(train, jnp.minimum(state.step // steps.task_steps, tasks - 1))
        key, end_key = jax.random.split(jax.random.fold_in(state.key, state.step))
        own, metrics = learner.step(whole(state), drawn(now, key, steps.batch_size))
        if ends:
            finish = lambda own: learner.finish(own, drawn(now, end_key, steps.finish_size))
            own = jax.lax.cond((state.step + 1) % steps.task_steps == 0, finish, lambda own: own, own)
        return TrainState(own.params, own._replace(params=()), state.key, state.step + 1), metrics

    return Experiment(
        init=init,
        update=Partial(update, data.train),
        validate=judge(settings, data.validation),
        score=Score("accuracy"),
        steps=tasks * steps.task_steps,
        tasks=1,
        light=True,
        counts={"examples": steps.batch_size},
        smaller="give a smaller --batch-size, or smaller --features",
        facts=data.facts,
    )


def judge(settings: Settings, tasks: Batch) -> Partial:
    """`params -> {"accuracy": [T]}`, on examples of each task."""
    learner = learner_of(settings, tasks.y.shape[-1])

    def on_each(tasks: Batch, params: Params) -> dict[str, Array]:
        return {"accuracy": jax.lax.map(lambda task: accuracy(learner.predict(Alone(params), task.x), task), tasks)}

    return Partial(on_each, tasks)


def _task(tasks: Batch, number: Any) -> Batch:
    return jax.tree.map(lambda a: a[number], tasks)
