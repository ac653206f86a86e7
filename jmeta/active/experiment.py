"""A learned rule as an experiment: trained through pools whose labels it asks for."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh
from jax.tree_util import Partial

from jmeta import datasets, loop, sharding
from jmeta.active import learned
from jmeta.active.choices import policy_gradient
from jmeta.active.learned import Acquisition
from jmeta.active.pool import area, ask
from jmeta.active.rules import RULES
from jmeta.active.settings import Pools, Settings
from jmeta.active.types import Rule
from jmeta.algorithms.catalog import LEARNERS
from jmeta.algorithms.row import Wanted
from jmeta.algorithms.settings import inner_steps
from jmeta.episodes import few_shot_sampler
from jmeta.errors import RunError
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.types import Episode, Learner, Params

VALIDATION_SEED = 0xA5
ENCODED_AT_ONCE = 250
COMPARED = ("random", "entropy", "margin", "k-centre", "k-means", "coverage", "stratified")
"""The fixed rules that a learned one is put beside."""

Encode = Callable[[str, np.ndarray], np.ndarray]
"""`(run folder, pictures [N, ...]) -> features [N, D]`."""


class Data(NamedTuple):
    """Samplers of pools; those for validation are of classes of their own where there are some."""

    training: Partial
    validation: Partial
    test: Partial
    facts: dict[str, Any]


class AskingMetrics(NamedTuple):
    """The mean share of queries that is missed, over all labels, and after the last."""

    loss: Array
    last: Array


def no_encoder(run_dir: str, pictures: np.ndarray) -> np.ndarray:
    """Where nothing reads run folders."""
    raise RunError(f"--encoder {run_dir} is read by jmeta active train alone: leave it out.")


def builder(encode: Encode = no_encoder) -> Build:
    """`build(settings)`, which loads and encodes its data once, however often it is called."""
    load = functools.cache(functools.partial(load_data, encode=encode))
    return lambda settings: experiment(settings, load(settings.pools))


def test_key() -> Array:
    """Decides the test pools: the same for all that are compared."""
    return jax.random.key(30_000)


def load_data(pools: Pools, encode: Encode = no_encoder) -> Data:
    """Load the data of pools, as features where an encoder is named; RunError for too few classes or examples."""
    data = datasets.load(pools.dataset, pools.data_dir)
    part = data.split(pools.split)
    count = pools.pool_shot + pools.query_shot

    def sampler(classes: np.ndarray) -> Partial:
        examples: Any = data.examples[classes]
        counts = None
        if pools.encoder is not None:
            rows = np.asarray(examples.rows)
            found = encode(pools.encoder, rows)
            most = int(examples.counts.max())
            places = np.minimum(examples.starts[:, None] + np.arange(most), len(rows) - 1)
            examples, counts = found[places], examples.counts
        try:
            return few_shot_sampler(
                examples, way=pools.way, shot=pools.pool_shot, query_shot=pools.query_shot, counts=counts
            )
        except ValueError as error:
            raise RunError(f"{error}, --pool-shot and --query-shot are {count} together.") from error

    facts = {"protocol": part.protocol, "split_hash": part.hash, "checksum": data.checksum}
    train, test = sampler(part.train), sampler(part.test)
    if len(part.val) < pools.way:
        return Data(train, train, test, {**facts, "validation": "train"})
    return Data(train, sampler(part.val), test, {**facts, "validation": "val"})


def learner_of(settings: Settings, *, training: bool = False) -> Learner:
    """The learner that is told the labels."""
    steps = inner_steps(settings.learner, training=training)
    made = LEARNERS.get(settings.algorithm).make(settings.learner, Wanted(settings.network, settings.pools.way, steps))
    if not isinstance(made, Learner):
        raise RunError(f"{settings.algorithm} changes in the course of its training: choose another --algorithm.")
    return made


def acquisition_of(settings: Settings) -> Acquisition:
    """The rule with parameters."""
    asking = settings.asking
    return learned.acquisition(units=asking.units, base=RULES.get(asking.begin))


def rules_of(settings: Settings, params: Params) -> dict[str, Rule]:
    """All rules that are compared, the learned one last."""
    return {name: RULES[name] for name in COMPARED} | {"learned": acquisition_of(settings).rule(params["rule"])}


def curves(settings: Settings, rule: str, params: Params, sample: Partial, key: Array, pools: int) -> np.ndarray:
    """Accuracy `[pools, labels + 1]` of a rule, by its name, on pools that are the same for every rule."""
    one = Partial(functools.partial(_curve, settings, rule), params, sample)
    return np.asarray(loop.mapped(one, jax.random.split(key, pools), chunk_size=8))


def _curve(settings: Settings, rule: str, params: Params, sample: Partial, key: Array) -> Array:
    run = ask(learner_of(settings), rules_of(settings, params)[rule], labels=settings.pools.labels)
    return run(params["learner"], sample(key), jax.random.fold_in(key, 1)).curve


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains; swept settings may be traced numbers."""
    outer, asking, labels = settings.outer, settings.asking, settings.pools.labels
    learner, acquire = learner_of(settings, training=True), acquisition_of(settings)
    optimizer = optax.adam(optax.cosine_decay_schedule(outer.outer_lr, outer.outer_steps))
    x = jax.eval_shape(data.training, jax.random.key(0)).support.x
    loss = learned.acquisition_loss(learner, acquire.rule, policy_gradient(asking.rollouts), labels=labels)

    def init(key: Array) -> TrainState:
        one, two, three = jax.random.split(key, 3)
        params = {"learner": learner.init(one, jnp.zeros(x.shape, x.dtype)), "rule": acquire.init(two)}
        return TrainState(params, optimizer.init(params), three, jnp.zeros((), jnp.int32))

    def pool_loss(params: Params, episode: Episode, key: Array) -> tuple[Array, Array]:
        own = params["learner"] if asking.joint else jax.lax.stop_gradient(params["learner"])
        return loss(own, params["rule"], episode, key)

    def update(sample: Partial, state: TrainState, mesh: Mesh | None = None) -> tuple[TrainState, AskingMetrics]:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), outer.meta_batch_size)
        episodes = jax.vmap(sample)(keys) if mesh is None else sharding.draw(sample, keys, mesh)

        def mean(params: Params) -> tuple[Array, Array]:
            values, measures = jax.vmap(pool_loss, (None, 0, 0))(params, episodes, keys)
            return jnp.mean(values), jnp.mean(measures, axis=0)

        (value, measures), grads = jax.value_and_grad(mean, has_aux=True)(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.key, state.step + 1), AskingMetrics(value, measures[-1])

    def validate(sample: Partial, params: Params) -> dict[str, Array]:
        keys = jax.random.split(jax.random.key(VALIDATION_SEED), settings.pools.val_pools)
        return {"accuracy": area(jax.lax.map(lambda key: _curve(settings, "learned", params, sample, key), keys))}

    return Experiment(
        init=init,
        update=Partial(update, data.training),
        validate=Partial(validate, data.validation),
        score=Score("accuracy"),
        steps=outer.outer_steps,
        tasks=outer.meta_batch_size,
        light=False,
        counts={"pools": outer.meta_batch_size},
        smaller="give fewer --labels or --rollouts",
        facts=data.facts,
    )
