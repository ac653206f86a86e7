"""The smallest experiment: a line through points that are drawn anew each step."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta.experiment import Experiment, Score, TrainState
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Rule:
    """How it learns.

    Attributes:
        outer_lr: of gradient descent.
    """

    outer_lr: float = setting(0.1, above=0, swept=True)


@dataclasses.dataclass(frozen=True)
class Settings:
    """All settings.

    Attributes:
        meta_batch_size: points of a step.
        outer_steps: of the run.
    """

    rule: Rule = Rule()
    meta_batch_size: int = setting(4, least=1)
    outer_steps: int = setting(40, least=1)


class Metrics(NamedTuple):
    loss: Array
    accuracy: None = None


def build(settings: Settings) -> Experiment:
    """Fit y = 2 x + 1 by points of a table."""
    x = jnp.linspace(-1.0, 1.0, 64)
    optimizer = optax.sgd(settings.rule.outer_lr)

    def error(params, x):
        return jnp.square(params["a"] * x + params["b"] - (2.0 * x + 1.0))

    def init(key):
        params = {"a": jax.random.normal(key, ()), "b": jnp.float32(0)}
        return TrainState(params, optimizer.init(params), key, jnp.int32(0))

    def update(table, state, mesh=None):
        rows = jax.random.randint(jax.random.fold_in(state.key, state.step), (settings.meta_batch_size,), 0, 64)
        loss, grads = jax.value_and_grad(lambda params: jnp.mean(error(params, table[rows])))(state.params)
        updates, opt_state = optimizer.update(grads, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        return TrainState(params, opt_state, state.key, state.step + 1), Metrics(loss)

    def validate(table, params):
        return {"error": error(params, table)}

    return Experiment(
        init=init,
        update=Partial(update, x),
        validate=Partial(validate, x),
        score=Score("error", -1.0),
        steps=settings.outer_steps,
        tasks=settings.meta_batch_size,
        light=True,
        counts={"tasks": settings.meta_batch_size},
        smaller="give a smaller --meta-batch-size",
        facts={"checksum": "a line", "split_hash": "a line"},
    )
