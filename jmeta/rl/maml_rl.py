"""MAML for reinforcement learning: parameters that a few policy-gradient steps adapt to a task (Finn et al. 2017)."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta.experiment import TrainState
from jmeta.rl.advantages import normalized
from jmeta.rl.agent import Agent, RLMetrics, first_state, update_keys
from jmeta.rl.baselines import Baseline, linear_baseline
from jmeta.rl.checks import check_counts
from jmeta.rl.distributions import distribution_of, each_step
from jmeta.rl.inner import Inner, Sample, Scale, adapt, decisions, inner_loop
from jmeta.rl.outer import Outer, Readapted
from jmeta.rl.policies.policy import Decision, Policy
from jmeta.rl.rollout import Trajectory, total_reward
from jmeta.rl.surrogates import Objective, Surrogate, lvc
from jmeta.rl.types import Env, Task
from jmeta.types import Params


def maml_rl(
    env: Env,
    policy: Policy,
    *,
    outer: Outer,
    inner_lr: float | optax.Schedule,
    inner_steps: int = 1,
    surrogate: Surrogate | None = None,
    baseline: Baseline | None = None,
    inner_scale: Scale = normalized,
    outer_scale: Scale = normalized,
    episodes: int = 20,
    tasks: int = 40,
    discount: float = 0.99,
    gae_lambda: float = 1.0,
    credit: bool = False,
    test_steps: int = 3,
    test_lr: float | optax.Schedule | None = None,
    test_episodes: int | None = None,
    spread: Callable[[Any], Any] = lambda tree: tree,
) -> Agent:
    """MAML: the parameters of a policy that does well in a new task after a few steps of the policy gradient there.

        theta_0 = theta,   theta_{k+1} = theta_k + inner_lr d surrogate(tau_k; theta_k),   tau_k ~ pi(theta_k)
        maximize   E_task E R(tau_K),   tau_K ~ pi(theta_K)

    New trajectories come after each inner step. An update samples all of them with the parameters that are there, and
    hands them to `outer`, which adapts anew, from the trajectories before adaptation, the parameters that it tries. The
    test of the `Agent` gives the mean total reward of an episode after 0, 1, ..., `test_steps` steps.

    `lvc` and `dice` differentiate an inner step as a step on the expected return, which many trajectories are an
    estimate of. `reinforce` with `credit` holds the trajectories before adaptation, and credits their actions with the
    return after it (E-MAML): exact for few trajectories too, and of far more spread. `credit` with another surrogate
    counts the same effect twice.

    Args:
        env: the environment.
        policy: with or without memory, of the environment's observations.
        outer: the rule of the outer loop, such as `promp(optax.adam(1e-3))` or `trpo()`.
        inner_lr: rate of the inner steps, a number or a schedule over them, for advantages as `inner_scale` leaves them
            and the mean over all steps.
        inner_steps: of training, 0 or more; 0 is joint training without adaptation.
        surrogate: what an inner step climbs; `lvc()` by default.
        baseline: what the advantages leave out; `linear_baseline()` by default.
        inner_scale: of the advantages of a task in inner steps.
        outer_scale: of its advantages after adaptation; with `normalized`, all tasks count alike.
        episodes: trajectories for each step in a task, 1 or more.
        tasks: new ones in each update, 1 or more; 2 or more with `credit`.
        discount: of rewards; `gae_lambda` is the lambda of the advantages.
        credit: credit the trajectories before adaptation with the return after it, less that of the other tasks.
        test_steps: inner steps of the test, 0 or more.
        test_lr: their rate, in the same form; `inner_lr` by default.
        test_episodes: trajectories for each of them; `episodes` by default.
        spread: lays arrays with a leading axis of tasks over devices.

    Raises:
        ValueError: if a number is too small.

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, algorithm 3, https://arxiv.org/abs/1703.03400; for the
    credit, Stadie et al. 2018, Some Considerations on Learning to Explore via Meta-Reinforcement Learning, section 3.
    https://arxiv.org/abs/1803.01118
    """
    tested = episodes if test_episodes is None else test_episodes
    check_counts(0, inner_steps=inner_steps, test_steps=test_steps)
    check_counts(episodes=episodes, test_episodes=tested)
    check_counts(2 if credit else 1, tasks=tasks)
    rates, test_rates = _rates(inner_lr, inner_steps), _rates(inner_lr if test_lr is None else test_lr, test_steps)
    loop = partial(
        inner_loop,
        env,
        policy,
        surrogate=lvc() if surrogate is None else surrogate,
        baseline=linear_baseline() if baseline is None else baseline,
        discount=discount,
        gae_lambda=gae_lambda,
    )
    inner, last = loop(scale=inner_scale), loop(scale=outer_scale)
    readapted = _readapted(env, policy, inner, rates, credit)

    def collect(params: Params, key: Array, task: Task) -> tuple[Sample, Sample]:
        """The samples of a task: before each inner step, with a leading axis of them, and after the last."""
        last_key, key = jax.random.split(key)
        params, before = adapt(inner, params, jax.random.split(key, inner_steps), task, rates, episodes)
        return before, last.sample(params, last_key, task, episodes)

    def update(state: TrainState) -> tuple[TrainState, RLMetrics]:
        task_key, act_key = update_keys(state, 2)
        task_keys, act_keys = (spread(jax.random.split(key, tasks)) for key in (task_key, act_key))
        drawn = jax.vmap(env.sample_task)(task_keys)
        before, after = jax.vmap(collect, in_axes=(None, 0, 0))(state.params, act_keys, drawn)
        earned = _earnings(after) if credit else jnp.zeros((tasks,), jnp.float32)

        def readapt(params: Params, objective: Objective) -> Readapted:
            each = jax.vmap(lambda *of_task: readapted(params, objective, *of_task))(before, after, earned)
            return jax.tree.map(lambda a: jnp.mean(a, axis=0), each)

        params, opt_state, loss, kl = outer.update(readapt, state.params, state.opt_state)
        entropy = jax.vmap(each_step(distribution_of(env.action).entropy))(after.trajectory.decision.action)
        metrics = RLMetrics(
            returns=jnp.mean(each_step(total_reward)(after.trajectory)),
            loss=loss,
            entropy=jnp.mean(jnp.sum(after.weight * entropy, axis=(1, 2))),
            kl=kl,
        )
        return TrainState(params, opt_state, state.key, state.step + 1), metrics

    def learn(params: Params, key: Array, task: Task) -> Trajectory:
        """The trajectories of all rounds, `[test_steps + 1, test_episodes, steps]`."""
        keys = jax.random.split(key, test_steps + 1)
        params, earlier = adapt(inner, params, keys[:-1], task, test_rates, tested)
        last = inner.sample(params, keys[-1], task, tested).trajectory
        return jax.tree.map(lambda a, b: jnp.concatenate([a, b[None]]), earlier.trajectory, last)

    def test(params: Params, key: Array, task: Task) -> Array:
        return jnp.mean(each_step(total_reward)(learn(params, key, task)), axis=1)

    def show(params: Params, key: Array, task: Task) -> Trajectory:
        return jax.tree.map(lambda a: a[:, 0], learn(params, key, task))

    return Agent(partial(first_state, policy.init, outer.init), update, test, show)


def _rates(lr: float | optax.Schedule, steps: int) -> Array:
    each = [lr(jnp.int32(step)) if callable(lr) else lr for step in range(steps)]
    return jnp.stack([jnp.asarray(rate, jnp.float32) for rate in each]) if each else jnp.zeros((0,), jnp.float32)


def _readapted(env: Env, policy: Policy, inner: Inner, rates: Array, credit: bool) -> Callable[..., Readapted]:
    """`(params, objective, before, after, earned []) -> Readapted`, of the samples of one task."""
    distribution = distribution_of(env.action)

    def compared(decision: Decision, sample: Sample, objective: Objective, gain: Array) -> tuple[Array, Array]:
        """The mean of an objective over a sample, and the mean KL from the policy that acted."""
        old = sample.trajectory
        log_prob = each_step(distribution.log_prob)(decision.action, old.action)
        kl = each_step(distribution.kl)(old.decision.action, decision.action)
        return jnp.sum(sample.weight * objective(log_prob, old.log_prob, gain)), jnp.sum(sample.weight * kl)

    def readapted(params: Params, objective: Objective, before: Sample, after: Sample, earned: Array) -> Readapted:
        def step(params: Params, now: tuple[Sample, Array]) -> tuple[Params, tuple[Array, Array]]:
            sample, lr = now
            params, decision = inner.ascend(params, sample, lr)
            # Credit is for a sum over all steps.
            steps = jnp.sum(sample.trajectory.weight)
            return params, compared(decision, sample, objective, jnp.broadcast_to(earned * steps, sample.weight.shape))

        params, (credited, kls) = lax.scan(step, params, (before, rates))
        decision = decisions(policy, params, after)
        gain, kl = compared(decision, after, objective, after.advantage)
        error = jnp.sum(after.weight * jnp.square(decision.value - after.target))
        return Readapted(gain + jnp.sum(credited) if credit else gain, jnp.append(kls, kl), error)

    return readapted


def _earnings(after: Sample) -> Array:
    """What the trajectories of each task before adaptation are credited with, `[tasks]`, for each log-probability.

    Returns of a step, as the gain is a mean over steps, on the scale that its advantages were brought to.
    """
    reached = jnp.mean(after.target[:, :, 0], axis=1)
    others = (jnp.sum(reached) - reached) / (len(reached) - 1)
    length = jnp.mean(jnp.sum(after.trajectory.weight, axis=2), axis=1)
    return after.stretch * (reached - others) / length
