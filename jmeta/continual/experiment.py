"""Continual learning as an experiment: a learner of streams, meta-trained on streams of background classes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import augment, datasets, training
from jmeta.continual import encoders
from jmeta.continual.algorithms.catalog import LEARNERS, made
from jmeta.continual.algorithms.oml import OMLParams, for_streams
from jmeta.continual.settings import Settings, Streams
from jmeta.episodes import Sampler
from jmeta.errors import RunError
from jmeta.evaluation import accuracy
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.ragged import Ragged
from jmeta.tasks.streams import stream_sampler
from jmeta.types import Learner, Params

VALIDATION_SEED = 0x5EED
BACKGROUND = 512
_AUGMENTS = {"none": None, "affine": augment.random_affine()}


class Data(NamedTuple):
    """Examples of the three parts of a split, samplers of streams of the first two, examples of training whose
    statistics a frozen encoder keeps, how many classes training has, and what is known of the data. Without validation
    classes, streams of validation are of those to train on, by other keys."""

    train: Ragged
    val: Ragged
    test: Ragged
    training: Partial
    validation: Partial
    background: np.ndarray
    way: int
    facts: dict[str, Any]


def builder() -> Build:
    """`build(settings)`, which loads the data of its streams once, however often it is called."""
    load = functools.cache(load_data)
    return lambda settings: experiment(settings, load(settings.streams))


def load_data(streams: Streams) -> Data:
    """Load the data of streams; a RunError says that there are too few classes or examples."""
    data = datasets.load(streams.dataset, streams.data_dir)
    part = data.split(datasets.whole_groups(data, streams.split))
    train, val, test = (data.examples[own] for own in (part.train, part.val, part.test))
    held_out = len(val) >= 2
    turned = streams.rotations and data.look is not None
    judged = val if held_out else train
    there = len(judged) * (4 if turned else 1)
    try:
        sample = stream_sampler(
            train, classes=streams.classes, shot=streams.shot, query_shot=streams.query_shot,
            remember=streams.remember, augment=_AUGMENTS[streams.augment], rotations=turned,
        )  # fmt: skip
        validation = stream_sampler(
            judged, classes=min(streams.val_classes, there), shot=streams.val_shot, query_shot=streams.query_shot,
            rotations=turned,
        )  # fmt: skip
    except ValueError as error:
        raise RunError(f"{error}, or take another --dataset.") from error
    way = len(train) * (4 if turned else 1) if streams.remember else streams.classes
    facts = {
        "protocol": part.protocol, "split_hash": part.hash, "checksum": data.checksum,
        "validation": "val" if held_out else "train",
    }  # fmt: skip
    return Data(train, val, test, sample, validation, background_of(train, rotations=turned), way, facts)


def background_of(train: Ragged, *, rotations: bool) -> np.ndarray:
    """`BACKGROUND` examples of training classes, the same ones each time, some of each turn where they are turned."""
    rng = np.random.default_rng(0)
    rows = np.asarray(train.rows)[rng.permutation(len(train.rows))[:BACKGROUND]]
    return np.concatenate([np.rot90(rows[k::4], k, axes=(1, 2)) for k in range(4)]) if rotations else rows


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains; swept settings may be traced numbers."""
    outer = settings.outer
    learner = made(settings.algorithm, settings.learner, settings.network, data.way, training=True)
    optimizer = optax.adam(optax.cosine_decay_schedule(outer.outer_lr, outer.outer_steps))
    step = training.drawing(learner, optimizer, meta_batch_size=outer.meta_batch_size)
    x = jax.eval_shape(data.training, jax.random.key(0)).support.x

    def init(key: Array) -> TrainState:
        return training.init_state(learner, optimizer, key, jnp.zeros(x.shape, x.dtype))

    def validate(sample: Sampler, background: Array, params: Params) -> dict[str, Array]:
        way = jax.eval_shape(sample, jax.random.key(0)).query.y.shape[1]
        judged, params = trained(settings, params, background, way)

        def one(key: Array) -> Array:
            episode = sample(key)
            return accuracy(judged.predict(judged.adapt(params, episode.support), episode.query.x), episode.query)

        keys = jax.random.split(jax.random.key(VALIDATION_SEED), settings.streams.val_streams)
        return {"accuracy": jax.lax.map(one, keys)}

    return Experiment(
        init=init,
        update=Partial(step, data.training),
        validate=Partial(validate, data.validation, jnp.asarray(data.background)),
        score=Score("accuracy"),
        steps=outer.outer_steps,
        tasks=outer.meta_batch_size,
        light=False,
        counts={"streams": outer.meta_batch_size},
        smaller="give fewer --classes, or smaller --features",
        facts=data.facts,
    )


def trained(settings: Settings, params: Params, background: Any, way: int) -> tuple[Learner, Params]:
    """The learner once it is trained, for streams of so many classes, and its parameters, with a frozen encoder."""
    network = encoders.frozen(settings.network)
    learner = made(settings.algorithm, settings.learner, network, way, training=False)
    params = encoders.replaced(params, encoder_with(settings, params, background)[1])
    return learner, for_streams(params, way) if isinstance(params, OMLParams) else params


def encoder_with(settings: Settings, params: Params, background: Any) -> tuple[Any, Params]:
    """The frozen encoder of a learner's parameters, and its own among these, with what it keeps of the background."""
    encoder = LEARNERS.get(settings.algorithm).encoder(encoders.frozen(settings.network))
    return encoder, encoders.conditioned(encoder, encoders.of(params), encoders.read(background))
