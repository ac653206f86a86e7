"""RL^2: a recurrent policy that learns new tasks in its memory (Duan et al. 2016, Wang et al. 2016)."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta.experiment import TrainState
from jmeta.rl.advantages import alike, discounted_steps, generalized_advantages, normalized
from jmeta.rl.agent import Agent, RLMetrics, first_state, update_keys
from jmeta.rl.checks import check_counts
from jmeta.rl.distributions import distribution_of, each_step
from jmeta.rl.paid import Paid, centered_rewards, said, told, with_rewards
from jmeta.rl.policies.policy import Policy, unroll
from jmeta.rl.rollout import Trajectory, rollout, see_all, total_reward
from jmeta.rl.surrogates import Objective, ppo_clip
from jmeta.rl.types import Env, Task
from jmeta.types import Params


class Learned(NamedTuple):
    """What RL^2 learns, and what it knows of the rewards that it has learned it by."""

    policy: Params
    paid: Paid


def rl2(
    env: Env,
    policy: Policy,
    *,
    optimizer: optax.GradientTransformation,
    episodes: int = 1,
    trials: int = 256,
    objective: Objective | None = None,
    epochs: int = 4,
    minibatches: int = 4,
    discount: float = 0.99,
    gae_lambda: float = 0.95,
    entropy_coef: float | optax.Schedule = 0.01,
    value_coef: float = 0.5,
    spread: Callable[[Any], Any] = lambda tree: tree,
) -> Agent:
    """RL^2: a trial is some episodes of a new task; the policy remembers from one to the next, and is trained to get
    the most out of whole trials.

        inputs_t = (observation_t, action_{t-1}, (reward_{t-1} - m) / u, done_{t-1})       all but the first 0 at first
        loss     = -mean objective(log pi now, log pi then, A) + value_coef mean ((V - R) / (s u))^2
                   - entropy_coef mean H(pi)
        s        = sum_t discount^t over the steps of a trial,   V = m h_t + s u times the policy's value
        m        = mean reward of the rewards seen,   h_t = sum_k discount^k over the steps that are left
        u        = mean |reward - reward'| of pairs of trials, where they differ

    Advantages A and targets R = A + V go on across the episodes of a trial, whose end is the end of all; only where a
    limit of time cuts its last episode, V of the last state comes after it. Each update draws new tasks, a trial of
    each, and goes over them `epochs` times in `minibatches`, through the memory of whole trials. Values are told in
    units of s u: in those of the reward their error grows with the square of a trial's length, and drowns the gain in
    the layers that both share. What is learned depends neither on the unit of the rewards nor, where trials are as long
    whatever is done, on a number that is added to all of them: m and u are means over updates, over about the last
    hundred once there are more, and a part of the parameters, which are `Learned`. Where a trial may end early, such a
    number is what to live on pays, and changes the task; steps that are missing count as rewards of 0 in the u of V.
    Where limits of time cut trials, those that are not go on for ever, h = 1 / (1 - discount), and is 0 for a discount
    of 1, as time without end has no worth that could be left out. The `Agent`'s test gives the total reward of each
    episode.

    Args:
        env: the environment.
        policy: with memory, of inputs of the size that `inputs_size(env, see_all)` tells.
        optimizer: any Optax rule.
        episodes: of a trial, 1 or more.
        trials: of each update, each of its own task; a multiple of `minibatches`.
        objective: `ppo_clip()` by default; `actor_critic()` with 1 epoch and 1 minibatch is A2C.
        epochs: passes over the trials of an update, 1 or more.
        minibatches: of a pass, 1 or more.
        discount: of rewards; `gae_lambda` is the lambda of the advantages.
        entropy_coef: a number or a schedule over updates.
        value_coef: weight of the error of the value.
        spread: lays arrays with a leading axis of trials over devices, those of an update and those of a minibatch.

    Raises:
        ValueError: if a number is below 1, or `minibatches` does not divide `trials`.

    Differs from the paper: PPO or A2C, where it has TRPO.

    Source: Duan et al. 2016, RL^2: Fast Reinforcement Learning via Slow Reinforcement Learning.
    https://arxiv.org/abs/1611.02779; Wang et al. 2016, Learning to reinforcement learn. https://arxiv.org/abs/1611.05763
    """
    check_counts(episodes=episodes, trials=trials, epochs=epochs, minibatches=minibatches)
    if trials % minibatches:
        raise ValueError(f"minibatches must divide the {trials} trials of an update, got {minibatches}")
    scale = discounted_steps(episodes * env.horizon, discount)
    advantages = jax.vmap(partial(generalized_advantages, discount=discount, gae_lambda=gae_lambda))
    loss = _loss(env, policy, ppo_clip() if objective is None else objective, scale, value_coef)

    def init(key: Array) -> Learned:
        return Learned(policy.init(key), said(env))

    def act(params: Learned, key: Array, task: Task) -> Trajectory:
        tell = partial(told, params.paid)
        return rollout(env, policy, params.policy, key, task, episodes=episodes, see=see_all, tell=tell)

    def update(state: TrainState) -> tuple[TrainState, RLMetrics]:
        task_key, act_key, order_key = update_keys(state, 3)
        task_keys, act_keys = (spread(jax.random.split(key, trials)) for key in (task_key, act_key))
        tasks = jax.vmap(env.sample_task)(task_keys)
        trial = jax.vmap(act, in_axes=(None, 0, 0))(state.params, act_keys, tasks)
        paid = with_rewards(state.params.paid, trial)
        reward, left_out = centered_rewards(paid, trial, discount)
        value = scale * trial.decision.value * trial.weight
        if trial.cut is not None:
            reward = reward + discount * scale * trial.cut.at * trial.cut.value[:, None]
        advantage = advantages(reward, value)
        target = advantage + value
        nothing = alike(advantage, trial.weight, jnp.abs(target) + left_out)
        batch = trial, jnp.where(nothing, 0, normalized(advantage, trial.weight)), target
        bonus = jnp.asarray(entropy_coef(state.step) if callable(entropy_coef) else entropy_coef, jnp.float32)

        def minibatch(carry: tuple[Params, Any], rows: Array) -> tuple[tuple[Params, Any], Any]:
            params, opt_state = carry
            grads, seen = jax.grad(loss, has_aux=True)(params, spread(jax.tree.map(lambda a: a[rows], batch)), bonus)
            updates, opt_state = optimizer.update(grads, opt_state, params)
            return (optax.apply_updates(params, updates), opt_state), seen

        def epoch(carry: tuple[Params, Any], key: Array) -> tuple[tuple[Params, Any], Any]:
            return lax.scan(minibatch, carry, jax.random.permutation(key, trials).reshape(minibatches, -1))

        start = state.params.policy, state.opt_state
        (params, opt_state), seen = lax.scan(epoch, start, jax.random.split(order_key, epochs))
        metrics = RLMetrics(jnp.mean(jax.vmap(total_reward)(trial)), *(a[-1, -1] for a in seen))
        return TrainState(Learned(params, paid), opt_state, state.key, state.step + 1), metrics

    def test(params: Params, key: Array, task: Task) -> Array:
        trial = act(params, key, task)
        episode = jnp.cumsum(trial.done, axis=0) - trial.done
        rows = jnp.minimum(episode.astype(jnp.int32), episodes - 1)
        return jax.ops.segment_sum(trial.reward * trial.weight, rows, episodes)

    def show(params: Params, key: Array, task: Task) -> Trajectory:
        return jax.tree.map(lambda a: a[None], act(params, key, task))

    return Agent(partial(first_state, init, lambda params: optimizer.init(params.policy)), update, test, show)


def _loss(
    env: Env, policy: Policy, objective: Objective, scale: float | Array, value_coef: float
) -> Callable[..., tuple[Array, Any]]:
    """`(policy's params, (trials, advantage, target), entropy_coef) -> (loss, (loss, entropy, KL))`, all `[]`."""
    distribution = distribution_of(env.action)

    def loss(params: Params, batch: tuple[Trajectory, Array, Array], bonus: Array) -> tuple[Array, Any]:
        trial, advantage, target = batch
        decision = jax.vmap(partial(unroll, policy, params))(trial.inputs)
        log_prob = each_step(distribution.log_prob)(decision.action, trial.action)
        entropies = each_step(distribution.entropy)(decision.action)
        kl = each_step(distribution.kl)(trial.decision.action, decision.action)
        weight = trial.weight / jnp.maximum(jnp.sum(trial.weight), 1)
        gain = jnp.sum(weight * objective(log_prob, trial.log_prob, advantage))
        error = jnp.sum(weight * jnp.square(decision.value - target / scale))
        entropy = jnp.sum(weight * entropies)
        value = -gain + value_coef * error - bonus * entropy
        return value, (value, entropy, jnp.sum(weight * kl))

    return loss
