"""A generator as an experiment: trained on classes of drawings, after none to a few examples of each."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import augment, datasets, training
from jmeta.episodes import Sampler, few_shot_sampler
from jmeta.errors import RunError, sentence
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.generative.catalog import GENERATORS
from jmeta.generative.settings import Drawings, Settings
from jmeta.generative.types import Generator
from jmeta.nets.drawings import blocks
from jmeta.ragged import Ragged
from jmeta.types import Episode, Params

VALIDATION_SEED = 0xD2A
AT_ONCE = 8
_AUGMENTS = {"none": None, "affine": augment.random_affine()}


class Data(NamedTuple):
    """Examples of the three parts of a split, samplers of the first two, and what is known of the data. Without
    validation classes, validation is on those to train on, by other keys."""

    train: Ragged
    val: Ragged
    test: Ragged
    training: Partial
    validation: Partial
    facts: dict[str, Any]


def builder() -> Build:
    """`build(settings)`, which loads the drawings once, however often it is called."""
    load = functools.cache(load_data)
    return lambda settings: experiment(settings, load(settings.drawings))


def load_data(drawings: Drawings) -> Data:
    """Load the data of drawings; a RunError says that there are too few examples, or that they are no drawings."""
    data = datasets.load(drawings.dataset, drawings.data_dir)
    part = data.split(datasets.whole_groups(data, drawings.split))
    train, val, test = (data.examples[own] for own in (part.train, part.val, part.test))
    held_out = len(val) > 0
    turned = drawings.rotations and data.look is not None
    sizes: dict[str, Any] = {"way": 1, "shot": drawings.seen, "query_shot": drawings.query_shot}
    try:
        blocks(jnp.zeros((1, *train.shape[2:])))
        sample = few_shot_sampler(train, **sizes, rotations=turned, augment=_AUGMENTS[drawings.augment])
        validation = few_shot_sampler(val if held_out else train, **sizes)
    except ValueError as error:
        raise RunError(f"{sentence(error)} Or take another --dataset.") from error
    facts = {
        "protocol": part.protocol, "split_hash": part.hash, "checksum": data.checksum,
        "validation": "val" if held_out else "train", "input_shape": list(train.shape[2:]),
        "look": None if data.look is None else {**data.look._asdict(), "size": list(data.look.size)},
    }  # fmt: skip
    some = functools.partial(after_some, drawings.seen)
    return Data(train, val, test, Partial(some, sample), Partial(some, validation), facts)


def after_some(seen: int, sample: Sampler, key: Array) -> Episode:
    """An episode of one class of which the support set has none to `seen` examples; the others have a weight of 0."""
    one, two = jax.random.split(key)
    support, query = sample(one)
    number = jax.random.randint(two, (), 0, seen + 1)
    return Episode(support._replace(weight=(jnp.arange(seen) < number).astype(support.y.dtype)), query)


def generator_of(settings: Settings, shape: Sequence[int]) -> Generator:
    """The generator of settings, for drawings `[H, W, 1]`; RunError for what it can't be told."""
    height, width, _ = shape
    try:
        return GENERATORS.get(settings.algorithm).make(settings.generator, height * width)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def outer_optimizer(settings: Settings) -> optax.GradientTransformation:
    """Adam, whose steps fade out, of gradients that are no longer than 1."""
    rate = optax.cosine_decay_schedule(settings.outer.outer_lr, settings.outer.outer_steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))


def starting(settings: Settings, shape: Sequence[int]) -> Callable[[Array], TrainState]:
    """`key -> state`, for drawings of a shape."""
    learner, like = generator_of(settings, shape).learner, (settings.drawings.seen, *shape)
    return lambda key: training.init_state(learner, outer_optimizer(settings), key, jnp.zeros(like))


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains; swept settings may be traced numbers."""
    outer, shape = settings.outer, data.facts["input_shape"]
    learner = generator_of(settings, shape).learner
    step = training.drawing(learner, outer_optimizer(settings), meta_batch_size=outer.meta_batch_size)

    def validate(sample: Sampler, params: Params) -> dict[str, Array]:
        keys = jax.random.split(jax.random.key(VALIDATION_SEED), settings.drawings.val_classes)
        return {"nats": -jax.lax.map(lambda key: learner.loss(params, sample(key))[0], keys, batch_size=AT_ONCE)}

    return Experiment(
        init=starting(settings, shape),
        update=Partial(step, data.training),
        validate=Partial(validate, data.validation),
        score=Score("nats"),
        steps=outer.outer_steps,
        tasks=outer.meta_batch_size,
        light=False,
        counts={"drawings": outer.meta_batch_size * settings.drawings.query_shot},
        smaller="give a smaller --meta-batch-size, or fewer --features",
        facts=data.facts,
    )
