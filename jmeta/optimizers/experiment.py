"""A learned rule as an experiment: trained by an estimate of its meta-gradient, on problems drawn anew each time."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.sharding import Mesh
from jax.tree_util import Partial

from jmeta import sharding
from jmeta.errors import RunError, sentence
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.optimizers import catalog, training
from jmeta.optimizers.evaluation import as_arguments, outcome
from jmeta.optimizers.settings import Settings
from jmeta.optimizers.training import FitState
from jmeta.optimizers.types import Estimator, Problem, Rule
from jmeta.optimizers.unroll import every, last, unroll
from jmeta.types import Params

VALIDATION_SEED = 0x0971
_WEIGHTS = {"mean": every, "last": last}


class Data(NamedTuple):
    """The problem, with data as arguments of a program, and what is known of these."""

    problem: Problem
    facts: Mapping[str, Any]


class RuleMetrics(NamedTuple):
    """The mean loss over a window of all unrolls."""

    loss: Array


def builder() -> Build:
    """`build(settings)`, which makes its problem and loads its data once, however often it is called."""
    load = functools.cache(load_data)
    return lambda settings: experiment(settings, load(settings.problem, settings.problems))


def load_data(problem: str, own: Any) -> Data:
    """The problem of a name; RunError for what it can't be told."""
    made, facts = catalog.PROBLEMS.get(problem).make(own)
    return Data(as_arguments(made), facts)


def rule_of(settings: Settings) -> Rule:
    """The rule of settings; RunError for what it can't be told."""
    try:
        return catalog.RULES.get(settings.rule).make(settings.strategy)
    except ValueError as error:
        raise RunError(sentence(error)) from error


def estimator_of(settings: Settings, problem: Problem) -> Estimator:
    """The estimator of settings on a problem."""
    row, inner = catalog.ESTIMATORS.get(settings.estimator), settings.unrolled
    made = unroll(
        problem, rule_of(settings), horizon=inner.inner_steps, weight=_WEIGHTS[inner.objective],
        grad=row.grad(settings.estimation),
    )  # fmt: skip
    return row.make(made, settings.estimation)


def example_of(problem: Problem) -> Params:
    """Zeros in the form of what is optimized."""
    like = jax.eval_shape(problem.init, jax.random.key(0))[0]
    return jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), like)


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains: `opt_state` is that of Adam and all unrolls. Swept settings may be traced numbers."""
    outer, inner, rule = settings.outer, settings.unrolled, rule_of(settings)
    rate = optax.cosine_decay_schedule(outer.outer_lr, outer.outer_steps)
    optimizer = optax.chain(optax.clip_by_global_norm(settings.clip), optax.adam(rate))
    tasks, horizon = outer.meta_batch_size, inner.inner_steps

    def init(key: Array) -> TrainState:
        one, two, three = jax.random.split(key, 3)
        theta = rule.init(one, example_of(data.problem))
        begun = training.start(
            estimator_of(settings, data.problem), optimizer, theta, two, tasks=tasks, horizon=horizon
        )
        return TrainState(theta, begun._replace(theta=()), three, jnp.int32(0))

    def update(problem: Problem, state: TrainState, mesh: Mesh | None = None) -> tuple[TrainState, RuleMetrics]:
        keys = jax.random.split(jax.random.fold_in(state.key, state.step), tasks)
        now: FitState = state.opt_state._replace(theta=state.params)
        if mesh is not None:
            keys, now = sharding.spread(keys, mesh), now._replace(unrolls=sharding.spread(now.unrolls, mesh))
        after, loss = training.step(estimator_of(settings, problem), optimizer, now, keys)
        after = after if mesh is None else sharding.replicate(after, mesh)
        return TrainState(after.theta, after._replace(theta=()), state.key, state.step + 1), RuleMetrics(loss)

    def validate(problem: Problem, theta: Params) -> dict[str, Array]:
        keys = jax.random.split(jax.random.key(VALIDATION_SEED), inner.val_problems)
        end = lambda key: outcome(rule.make(theta), problem, key, steps=horizon)
        return {"final_loss": jax.lax.map(end, keys, batch_size=tasks)}

    return Experiment(
        init=init,
        update=Partial(update, data.problem),
        validate=Partial(validate, data.problem),
        score=Score("final_loss", -1.0),
        steps=outer.outer_steps,
        tasks=tasks,
        light=False,
        counts={"unrolls": tasks},
        smaller="give a smaller --truncation or --meta-batch-size, or --estimator pes",
        facts={"checksum": "", "split_hash": "", **data.facts},
    )
