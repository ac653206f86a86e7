"""Adapting to a task by policy gradients: sampling in it, and a step on the sample."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.rl.advantages import alike, generalized_advantages, normalized, returns
from jmeta.rl.baselines import Baseline, values_at_cuts
from jmeta.rl.distributions import distribution_of, each_step
from jmeta.rl.policies.policy import Decision, Policy, unroll
from jmeta.rl.rollout import Trajectory, rollout
from jmeta.rl.surrogates import Surrogate
from jmeta.rl.types import Env, Task
from jmeta.types import Params

Scale = Callable[[Array, Array], Array]
"""`(advantage [n, steps], weight [n, steps]) -> [n, steps]`, shifted and stretched, such as `normalized`."""


class Sample(NamedTuple):
    """Trajectories of one policy in one task, each an episode from its start; all but `stretch []` are `[n, steps]`."""

    trajectory: Trajectory
    advantage: Array  # scaled
    target: Array  # discounted returns, with what comes after a limit of time
    weight: Array  # of sum 1; 0 for steps after an episode's end
    stretch: Array  # what scaling has made of a difference of 1 between advantages; 1 where there is none


class Inner(NamedTuple):
    """The inner loop of one task, as functions.

    Attributes:
        sample: `(params, key, task, n) -> Sample` of n trajectories.
        ascend: `(params, sample, lr) -> (params, Decision)`, an inner step, and what the policy before it made of the
            sample's inputs; differentiable.
    """

    sample: Callable[[Params, Array, Task, int], Sample]
    ascend: Callable[[Params, Sample, float | Array], tuple[Params, Decision]]


def inner_loop(
    env: Env,
    policy: Policy,
    *,
    surrogate: Surrogate,
    baseline: Baseline,
    scale: Scale = normalized,
    discount: float = 0.99,
    gae_lambda: float = 1.0,
) -> Inner:
    """What `maml_rl` does in a task.

        params <- params + lr d surrogate(log pi, A, weight),   weight = 1 / steps of all trajectories

    `scale` is of the advantages; other arguments are those of `maml_rl`.
    """
    distribution = distribution_of(env.action)
    advantages = partial(generalized_advantages, discount=discount, gae_lambda=gae_lambda)

    def sample(params: Params, key: Array, task: Task, n: int) -> Sample:
        keys = jax.random.split(key, n)
        trajectory = lax.stop_gradient(jax.vmap(lambda key: rollout(env, policy, params, key, task))(keys))
        reward = trajectory.reward * trajectory.weight
        if trajectory.cut is not None:  # what comes after a limit of time is added to the last reward
            beyond = values_at_cuts(trajectory, trajectory.cut, reward, discount)
            reward = reward + discount * trajectory.cut.at * beyond[:, None]
        target = jax.vmap(partial(returns, discount=discount))(reward)
        value = baseline(trajectory, target) * trajectory.weight
        advantage = jax.vmap(advantages)(reward, value)
        weight = trajectory.weight / jnp.sum(trajectory.weight)
        advantage = jnp.where(alike(advantage, weight, target), jnp.sum(weight * advantage), advantage)
        scaled = scale(advantage, trajectory.weight)
        apart = weight * (advantage - jnp.sum(weight * advantage))
        spread = jnp.sum(apart * advantage)
        stretch = jnp.where(spread > 0, jnp.sum(apart * scaled) / jnp.where(spread > 0, spread, 1), 1)
        return Sample(trajectory, scaled, target, weight, stretch)

    def ascend(params: Params, sample: Sample, lr: float | Array) -> tuple[Params, Decision]:
        def climbed(params: Params) -> tuple[Array, Decision]:
            decision = decisions(policy, params, sample)
            log_prob = each_step(distribution.log_prob)(decision.action, sample.trajectory.action)
            return surrogate(log_prob, sample.advantage, sample.weight), decision

        grads, decision = jax.grad(climbed, has_aux=True)(params)
        return jax.tree.map(lambda p, g: p + lr * g, params, grads), decision

    return Inner(sample, ascend)


def adapt(inner: Inner, params: Params, keys: Array, task: Task, rates: Array, n: int) -> tuple[Params, Sample]:
    """Inner steps of these rates, each on a sample of its own: adapted parameters, and samples `[steps, ...]`."""

    def step(params: Params, now: tuple[Array, Array]) -> tuple[Params, Sample]:
        key, lr = now
        sample = inner.sample(params, key, task, n)
        return inner.ascend(params, sample, lr)[0], sample

    return lax.scan(step, params, (keys, rates))


def decisions(policy: Policy, params: Params, sample: Sample) -> Decision:
    """What parameters make of the inputs of a sample, with leading axes `[n, steps]`."""
    return jax.vmap(lambda inputs: unroll(policy, params, inputs))(sample.trajectory.inputs)
