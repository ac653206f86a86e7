"""What rewards are told in: less their mean, and in a unit, so that neither offset nor unit of them matters."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.rl.advantages import returns
from jmeta.rl.rollout import Trajectory
from jmeta.rl.types import Env


class Mean(NamedTuple):
    """A running mean over batches, over about the last hundred once there are more."""

    value: Array  # `[]`, a guess while there are none
    batches: Array  # `[]`, how many it is of


class Paid(NamedTuple):
    """What is known of the rewards."""

    mean: Mean  # of the rewards
    unit: Mean  # how far two that differ are apart; 0 while nothing is known, when rewards are not shown
    worth: Mean  # the same, where steps after the end of a trial pay 0: the unit of returns


def said(env: Env) -> Paid:
    """What the environment says of its rewards before any is seen."""
    low, high = env.reward_range
    known = math.isfinite(low) and math.isfinite(high)
    guess = lambda value: Mean(jnp.float32(value if known else 0), jnp.float32(0))
    return Paid(guess((low + high) / 2), guess(high - low), guess(high - low))


def with_rewards(before: Paid, trial: Trajectory) -> Paid:
    """What is known after another batch of trials; a unit stays as it is where none of them differ."""
    there = trial.weight > 0
    count = jnp.sum(there.astype(jnp.float32))
    mean = jnp.sum(jnp.where(there, trial.reward, 0)) / jnp.maximum(count, 1)
    return Paid(
        _with(before.mean, mean, count > 0),
        _with(before.unit, *_apart(trial.reward, there)),
        _with(before.worth, *_apart(jnp.where(there, trial.reward, 0), jnp.ones_like(there))),
    )


def told(paid: Paid, reward: Array) -> Array:
    """A reward as a policy is shown it; 0 while the unit is not known."""
    unit = paid.unit.value
    return jnp.where(unit > 0, (reward - paid.mean.value) / jnp.where(unit > 0, unit, 1), 0)


def centered_rewards(paid: Paid, trial: Trajectory, discount: Any) -> tuple[Array, Array]:
    """Rewards `[trials, steps]` in their unit and less their mean m, whose advantages are those of the rewards; and the
    worth of m at every step to come, the most that a return is less by.

    Where no limit of time cuts a trial, it is all the steps that a trial may have, those after its end too: they pay
    `-m`. Where one does, what comes after a cut goes on for ever, so that an end is worth `-m / (1 - discount)`, and
    with a discount of 1, which knows no such worth, the mean stays in.
    """
    if trial.cut is None:
        mean, steps = paid.mean.value, returns(jnp.ones_like(trial.reward[0]), discount=discount)[None]
        left = jnp.pad(steps[:, 1:], [(0, 0), (0, 1)])
        cut = jnp.zeros_like(trial.weight)
    else:
        mean = jnp.where(discount < 1, paid.mean.value, 0)
        left = steps = jnp.full_like(trial.reward[:1], 1 / jnp.where(discount < 1, 1 - discount, 1))
        cut = trial.cut.at
    ended = trial.weight - jnp.pad(trial.weight[:, 1:], [(0, 0), (0, 1)]) - cut
    reward = trial.weight * (trial.reward - mean) - discount * mean * left * ended
    unit = jnp.where(paid.worth.value > 0, paid.worth.value, 1)
    return reward / unit, jnp.abs(mean) * steps[0, 0] / unit


def _with(before: Mean, value: Array, tells: Array) -> Mean:
    more = tells.astype(jnp.float32)
    batches = before.batches + more
    return Mean(before.value + more / jnp.clip(batches, 1, 100) * (value - before.value), batches)


def _apart(values: Array, there: Array) -> tuple[Array, Array]:
    """How far values `[trials, steps]` that are there are from those of the trial before, of a lone trial from those of
    the step before: the mean `[]` of pairs that differ; and whether any do."""
    axis = 0 if len(values) > 1 else 1
    other, both = jnp.roll(values, 1, axis), there & jnp.roll(there, 1, axis)
    differ = both & (values != other)
    count = jnp.sum(differ.astype(jnp.float32))
    return jnp.sum(jnp.where(differ, jnp.abs(values - other), 0)) / jnp.maximum(count, 1), count > 0
