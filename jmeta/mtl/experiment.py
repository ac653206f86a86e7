"""The join as an experiment: a learner that is meta-trained through joint steps on problems of several tasks."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import datasets, training
from jmeta.algorithms.catalog import LEARNERS
from jmeta.algorithms.row import Made, Wanted
from jmeta.algorithms.settings import inner_steps
from jmeta.datasets import catalog
from jmeta.episodes import Sampler
from jmeta.errors import RunError
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.mtl import join
from jmeta.mtl.settings import Joint, Problems, Settings
from jmeta.types import Learner, Params

VALIDATION_SEED = 0x5EED


class Data(NamedTuple):
    """Samplers of problems, and what is known of the data. Those for validation are of groups of their own where the
    split has some that are large enough, else of those to train on, by other keys; those of the test of new groups."""

    training: Partial
    validation: Partial
    test: Partial
    facts: dict[str, Any]


def builder() -> Build:
    """`build(settings)`, which loads the data of its problems once, however often it is called."""
    load = functools.cache(load_data)
    return lambda settings: experiment(settings, load(settings.problems))


def test_key() -> Array:
    """Decides the test problems: the same for all that are compared."""
    return jax.random.key(20_000)


def load_data(problems: Problems) -> Data:
    """Load the data of problems; a RunError says that no group has classes for so many tasks."""
    data = datasets.load(problems.dataset, problems.data_dir)
    part, groups = data.split(datasets.whole_groups(data, problems.split)), np.asarray(data.groups)

    def sampler(classes: np.ndarray) -> Partial:
        return join.pairs_sampler(
            data.examples[classes],
            groups[classes],
            tasks=problems.tasks,
            shot=problems.shot,
            query_shot=problems.query_shot,
            rotations=catalog.row(problems.dataset).turned,
        )

    try:
        train, test = sampler(part.train), sampler(part.test)
    except ValueError as error:
        raise RunError(f"{error}: choose fewer --tasks, or another --dataset or --split.") from error
    facts = {"protocol": part.protocol, "split_hash": part.hash, "checksum": data.checksum}
    try:
        return Data(train, sampler(part.val), test, {**facts, "validation": "val"})
    except ValueError:
        return Data(train, train, test, {**facts, "validation": "train"})


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains; swept settings may be traced numbers."""
    outer = settings.outer
    learner = training_learner(settings)
    optimizer = optax.adam(optax.cosine_decay_schedule(outer.outer_lr, outer.outer_steps))
    step = training.drawing(learner, optimizer, meta_batch_size=outer.meta_batch_size)
    x = jax.eval_shape(data.training, jax.random.key(0)).support.x

    def init(key: Array) -> TrainState:
        return training.init_state(learner, optimizer, key, jnp.zeros(x.shape, x.dtype))

    def validate(sample: Sampler, params: Params) -> dict[str, Array]:
        judged = trained_learner(settings)
        key = jax.random.key(VALIDATION_SEED)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(settings.problems.val_problems))
        return {"accuracy": jax.lax.map(lambda key: join.accuracy_on(judged, params, sample(key)), keys)}

    return Experiment(
        init=init,
        update=Partial(step, data.training),
        validate=Partial(validate, data.validation),
        score=Score("accuracy"),
        steps=outer.outer_steps,
        tasks=outer.meta_batch_size,
        light=False,
        counts={"problems": outer.meta_batch_size},
        smaller="give fewer --tasks, or smaller --features",
        facts=data.facts,
    )


def training_learner(settings: Settings) -> Made:
    """The joined learner, to be trained."""
    steps = inner_steps(settings.learner, training=True)
    wanted = Wanted(settings.network, 2, steps, outer_steps=settings.outer.outer_steps)
    made = LEARNERS.get(settings.algorithm).make(settings.learner, wanted)
    if isinstance(made, Learner):
        return _joined(made, settings.joint)
    return lambda step: _joined(made(step), settings.joint)


def trained_learner(settings: Settings) -> Learner:
    """The joined learner, once it is trained."""
    steps = inner_steps(settings.learner, training=False)
    made = LEARNERS.get(settings.algorithm).make(settings.learner, Wanted(settings.network, 2, steps))
    assert isinstance(made, Learner), f"{settings.algorithm} must not change with the step outside training"
    return _joined(made, settings.joint)


def _joined(learner: Learner, joint: Joint) -> Learner:
    return join.joined(learner, optimizer=optax.sgd(joint.joint_lr), steps=joint.joint_steps)
