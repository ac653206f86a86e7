"""Tabular MDPs with a finite horizon: solved exactly where they are known (Bellman 1957), and strategies where not."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_above_zero
from jmeta.rl.checks import check_counts, check_probability
from jmeta.rl.envs.tabular_mdp import MDP, draw
from jmeta.rl.exact.simulation import Estimate, estimate, gamma


def value_iteration(reward: Array, transition: Array, horizon: int) -> tuple[Array, Array]:
    """The largest mean return from each state, V `[horizon + 1, states]`, and Q `[horizon, states, actions]`, whose
    largest is the best action.

        Q_h(s, a) = r(s, a) + sum_s' P(s' | s, a) V_{h+1}(s'),   V_h(s) = max_a Q_h(s, a),   V_horizon = 0

    Args:
        reward: mean of r, `[states, actions]`, or `[horizon, states, actions]` where it depends on the time.
        transition: `[states, actions, states]`.
        horizon: steps, 1 or more.

    Raises:
        ValueError: if the shapes do not fit, or `horizon` is below 1.

    Example:
        Stay for 1, or move on once to a state that pays 5.

        >>> reward = jnp.array([[1.0, 0.0], [5.0, 5.0]])
        >>> transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> value_iteration(reward, transition, 3)[0][0].tolist()
        [10.0, 15.0]
    """
    states, actions = transition.shape[:2]
    if transition.shape != (states, actions, states) or reward.shape[-2:] != (states, actions):
        raise ValueError(
            f"reward must be [states, actions] and transition [states, actions, states], got {list(reward.shape)} "
            f"and {list(transition.shape)}"
        )
    check_counts(horizon=horizon)

    def backup(value: Array, reward: Array) -> tuple[Array, tuple[Array, Array]]:
        q = reward + jnp.sum(transition * value[None, None], axis=-1)
        value = jnp.max(q, axis=-1)
        return value, (value, q)

    rewards = jnp.broadcast_to(reward, (horizon, states, actions))
    last = jnp.zeros((states,), rewards.dtype)
    _, (values, q) = lax.scan(backup, last, rewards, reverse=True)
    return jnp.concatenate([values, last[None]]), q


class Experience(NamedTuple):
    """What has been seen of one MDP, float32."""

    visits: Array  # how often each next state came, `[states, actions, states]`
    reward: Array  # sum of rewards, `[states, actions]`

    @property
    def taken(self) -> Array:
        """How often each action was taken, `[states, actions]`."""
        return jnp.sum(self.visits, axis=-1)


MDPStrategy = Callable[[Array, Experience, Array, int], Array]
"""`(key, experience, time, horizon) -> Q [horizon, states, actions]`: a plan for the next episode, after `time` steps,
float32 `[]`. In each state the action with the largest Q is taken."""


def posterior_mean(seen: Experience) -> MDP:
    """The mean MDP under the priors of `tabular_mdp`: N(1, 1) with rewards of variance 1, and Dirichlets of ones.

    r(s, a) = (1 + sum of rewards) / (1 + n),   P(s' | s, a) = (1 + n_s') / (states + n)
    """
    weight = 1 + seen.visits
    return MDP((1 + seen.reward) / (1 + seen.taken), weight / jnp.sum(weight, axis=-1, keepdims=True))


def posterior_sample(key: Array, seen: Experience) -> MDP:
    """An MDP from the posterior: N(mean, 1 / (1 + n)) and Dirichlet(1 + n_s')."""
    of_reward, of_transition = jax.random.split(key)
    noise = jnp.reshape(jax.random.normal(of_reward, (seen.reward.size,), jnp.float32), seen.reward.shape)
    weight = gamma(of_transition, 1 + seen.visits)
    transition = weight / jnp.sum(weight, axis=-1, keepdims=True)
    return MDP(posterior_mean(seen).reward + noise / jnp.sqrt(1 + seen.taken), transition)


def random_plan() -> MDPStrategy:
    """Any action, each time."""

    def plan(key: Array, seen: Experience, time: Array, horizon: int) -> Array:
        numbers = jax.random.uniform(key, (horizon * seen.reward.size,), jnp.float32)
        return jnp.reshape(numbers, (horizon, *seen.reward.shape))

    return plan


def greedy_plan() -> MDPStrategy:
    """The best there is in the posterior mean."""
    return lambda key, seen, time, horizon: value_iteration(*posterior_mean(seen), horizon)[1]


def epsilon_greedy_plan(epsilon: float) -> MDPStrategy:
    """Any action with probability `epsilon`, else the greedy one; a `ValueError` if it is not a probability."""
    check_probability("epsilon", epsilon)

    def plan(key: Array, seen: Experience, time: Array, horizon: int) -> Array:
        of_choice, of_action = jax.random.split(key)
        # Each time of an episode comes once, so that choices for all of its states are as good as one.
        chance = jax.random.uniform(of_choice, (horizon * len(seen.reward),), jnp.float32)
        chance = jnp.reshape(chance, (horizon, len(seen.reward), 1))
        anything = random_plan()(of_action, seen, time, horizon)
        return jnp.where(chance < epsilon, anything, greedy_plan()(key, seen, time, horizon))

    return plan


def psrl() -> MDPStrategy:
    """Posterior sampling: the best there is in one MDP from the posterior, for an episode.

    Source: Osband, Russo and Van Roy 2013, (More) Efficient Reinforcement Learning via Posterior Sampling.
    https://arxiv.org/abs/1306.0940
    """
    return opsrl(samples=1)


def opsrl(*, samples: int = 10) -> MDPStrategy:
    """Optimistic posterior sampling: the largest Q of `samples` MDPs from the posterior, each planned for by itself.

    Raises:
        ValueError: if `samples` is below 1.

    Source: Osband and Van Roy 2017, Why is Posterior Sampling Better than Optimism for Reinforcement Learning?,
    and the authors' code. https://arxiv.org/abs/1607.00215
    """
    check_counts(samples=samples)

    def plan(key: Array, seen: Experience, time: Array, horizon: int) -> Array:
        one = lambda key: value_iteration(*posterior_sample(key, seen), horizon)[1]
        return jnp.max(jax.vmap(one)(jax.random.split(key, samples)), axis=0)

    return plan


def bonus_plan(scale: float = 1.0) -> MDPStrategy:
    """Bayesian exploration bonus: greed for `r(s, a) + scale / (1 + n(s, a))`, more for what was done less.

    Raises:
        ValueError: if `scale` is not above 0.

    Source: Kolter and Ng 2009, Near-Bayesian Exploration in Polynomial Time. https://doi.org/10.1145/1553374.1553441
    """
    check_above_zero("scale", scale)

    def plan(key: Array, seen: Experience, time: Array, horizon: int) -> Array:
        mean = posterior_mean(seen)
        return value_iteration(mean.reward + scale / (1 + seen.taken), mean.transition, horizon)[1]

    return plan


def ucrl2(scale: float = 1.0) -> MDPStrategy:
    """Optimism: the best there is in the best MDP that is likely enough, by extended value iteration.

        |r - mean|   <= scale sqrt(7 log(2 S A t) / (2 n)),      n = max(1, times taken)
        |P - mean|_1 <= scale sqrt(14 S log(2 A t) / n),         t = 1 + the number of steps so far

    Args:
        scale: above 0. 1 is the paper's, at a confidence of 1; far less gets more in few episodes.

    Raises:
        ValueError: if `scale` is not above 0.

    Differs from the paper: the horizon is finite, the means are the posterior's, and plans are made for each episode.

    Source: Jaksch, Ortner and Auer 2010, Near-optimal Regret Bounds for Reinforcement Learning, figures 1 and 2.
    https://jmlr.org/papers/v11/jaksch10a.html
    """
    check_above_zero("scale", scale)

    def plan(key: Array, seen: Experience, time: Array, horizon: int) -> Array:
        states, actions = seen.reward.shape
        mean, taken = posterior_mean(seen), jnp.maximum(seen.taken, 1)
        reward = mean.reward + scale * jnp.sqrt(7 * jnp.log(2 * states * actions * (1 + time)) / (2 * taken))
        radius = scale * jnp.sqrt(14 * states * jnp.log(2 * actions * (1 + time)) / taken)

        def backup(value: Array, _: None) -> tuple[Array, Array]:
            q = reward + optimistic_value(mean.transition, radius, value)
            return jnp.max(q, axis=-1), q

        return lax.scan(backup, jnp.zeros((states,), jnp.float32), length=horizon, reverse=True)[1]

    return plan


def optimistic_value(transition: Array, radius: Array, value: Array) -> Array:
    """The most that the next state can be worth, on average, `[...]`.

        max_P  sum_s P(s) value(s),    |P - transition|_1 <= radius

    The best state gains half of the radius `[...]`, or as much as there is, and the worst ones lose it. Transitions are
    `[..., states]` and values `[states]`.
    """
    order = jnp.argsort(value)
    likely = transition[..., order]
    gain = jnp.minimum(radius / 2, 1 - likely[..., -1])
    kept = jnp.clip(jnp.cumsum(likely, axis=-1) - gain[..., None], 0, likely)
    moved = kept.at[..., -1].set(likely[..., -1] + gain)
    return moved @ value[order]


def simulate_mdp(
    strategy: MDPStrategy, key: Array, sample_task: Callable[[Array], MDP], *, horizon: int, episodes: int, tasks: int
) -> Estimate:
    """The mean return of a strategy over the episodes so far, float32 `[episodes]`, all started in state 0. A step
    counts as the mean reward, which has the mean of the rewards and a narrower interval; the strategy sees rewards of
    variance 1.

    Args:
        strategy: any `MDPStrategy`.
        key: for all that is random.
        sample_task: `key -> MDP`, such as that of `tabular_mdp`.
        horizon: steps of an episode, 1 or more.
        episodes: 1 or more.
        tasks: how many MDPs, 2 or more.

    Raises:
        ValueError: if a number is too small.
    """
    check_counts(horizon=horizon, episodes=episodes)
    check_counts(2, tasks=tasks)
    return _simulate(strategy, key, sample_task, horizon, episodes, tasks)


@functools.partial(jax.jit, static_argnums=(0, 2, 3, 4, 5))
def _simulate(strategy: Any, key: Array, sample_task: Any, horizon: int, episodes: int, tasks: int) -> Estimate:
    def one(key: Array) -> Array:
        of_task, of_episodes = jax.random.split(key)
        mdp = sample_task(of_task)

        def episode(seen: Experience, now: tuple[Array, Array]) -> tuple[Experience, Array]:
            of_plan, of_steps = jax.random.split(now[0])
            best = jnp.argmax(strategy(of_plan, seen, now[1] * horizon, horizon), axis=-1)

            def step(carry: tuple[Array, Experience], now: tuple[Array, Array]) -> tuple[Any, Array]:
                state, seen = carry
                of_reward, of_state = jax.random.split(now[0])
                action = now[1][state]
                mean = mdp.reward[state, action]
                reward = mean + jax.random.normal(of_reward, (), jnp.float32)
                after = draw(of_state, mdp.transition[state, action])
                visits = seen.visits.at[state, action, after].add(1)
                return (after, Experience(visits, seen.reward.at[state, action].add(reward))), mean

            start = jnp.int32(0), seen
            (_, seen), means = lax.scan(step, start, (jax.random.split(of_steps, horizon), best))
            return seen, jnp.sum(means)

        nothing = Experience(*(jnp.zeros(a.shape, jnp.float32) for a in (mdp.transition, mdp.reward)))
        now = jax.random.split(of_episodes, episodes), jnp.arange(episodes, dtype=jnp.float32)
        return jnp.cumsum(lax.scan(episode, nothing, now)[1])

    return estimate(jax.vmap(one)(jax.random.split(key, tasks)))
