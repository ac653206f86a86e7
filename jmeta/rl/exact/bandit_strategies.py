"""Strategies for Bernoulli arms, and what they get: many bandits at a time, in one compiled program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial

from jmeta.checks import check_above_zero
from jmeta.rl.envs.bernoulli_bandit import bernoulli_reward
from jmeta.rl.envs.checks import check_count
from jmeta.rl.exact.bayes import BanditSolution, optimal_arm
from jmeta.rl.exact.estimate import Estimate, estimate
from jmeta.rl.exact.gamma import gamma

Strategy = Callable[[Array, Array, Array], Array]
"""`(key, counts, time) -> arm`: from successes and failures, int32 `[arms, 2]`, after `time` pulls, int32 `[]`. It is a
`Partial` where it has arrays of its own, so that these are not constants of the program."""


def random_arm() -> Strategy:
    """Any arm."""
    return lambda key, counts, time: jax.random.randint(key, (), 0, len(counts), jnp.int32)


def greedy() -> Strategy:
    """The arm with the largest posterior mean, `(s + 1) / (s + f + 2)`."""
    return lambda key, counts, time: _largest(_mean(counts))


def epsilon_greedy(epsilon: float) -> Strategy:
    """Any arm with probability `epsilon`, else the greedy one.

    Raises:
        ValueError: if `epsilon` is not a probability.
    """
    if not 0 <= epsilon <= 1:
        raise ValueError(f"epsilon must be a probability from 0 to 1, got {epsilon}")

    def act(key: Array, counts: Array, time: Array) -> Array:
        of_choice, of_arm = jax.random.split(key)
        chance = jax.random.uniform(of_choice, (), jnp.float32)
        return jnp.where(chance < epsilon, random_arm()(of_arm, counts, time), greedy()(of_arm, counts, time))

    return act


def ucb1(scale: float = 1.0) -> Strategy:
    """The arm with the largest upper confidence bound; statistics start with one success and one failure.

        mean + scale sqrt(2 log(t) / n),    n = s + f + 2,  t = 1 + the number of pulls so far

    Args:
        scale: above 0. Auer's is 1; far less, such as 0.1, gets more in few pulls.

    Raises:
        ValueError: if `scale` is not above 0.

    Source: Auer, Cesa-Bianchi and Fischer 2002, Finite-time Analysis of the Multiarmed Bandit Problem.
    https://doi.org/10.1023/A:1013689704352
    """
    check_above_zero("scale", scale)

    def act(key: Array, counts: Array, time: Array) -> Array:
        log = jnp.log(1 + time.astype(jnp.float32))
        return _largest(_mean(counts) + scale * jnp.sqrt(2 * log / (_pulled(counts) + 2)))

    return act


def thompson() -> Strategy:
    """The arm that is best in a world drawn from the posterior, `Beta(s + 1, f + 1)`.

    Source: Thompson 1933, On the Likelihood that One Unknown Probability Exceeds Another.
    https://doi.org/10.1093/biomet/25.3-4.285
    """
    return lambda key, counts, time: _largest(_draw(key, counts))


def optimistic_thompson() -> Strategy:
    """Thompson sampling in which no arm counts for less than its posterior mean.

    Source: May, Korda, Lee and Leslie 2012, Optimistic Bayesian Sampling in Contextual-Bandit Problems.
    https://jmlr.org/papers/v13/may12a.html
    """
    return lambda key, counts, time: _largest(jnp.maximum(_draw(key, counts), _mean(counts)))


def index_strategy(index: Array) -> Strategy:
    """The arm with the largest index of `gittins_like_index`, of which the horizon is taken."""

    def act(index: Array, key: Array, counts: Array, time: Array) -> Array:
        left = len(index) - time
        return _largest(index[left - 1, counts[:, 0], counts[:, 1]])

    return Partial(act, index)


def optimal_strategy(solution: BanditSolution) -> Strategy:
    """The Bayes-optimal arm, of `bayes_optimal_bandit` for the same number of arms and pulls."""

    def act(solution: BanditSolution, key: Array, counts: Array, time: Array) -> Array:
        return optimal_arm(solution, counts)

    return Partial(act, jax.tree.map(jnp.asarray, solution._replace(value=0)))


def simulate_bandit(
    strategy: Strategy, key: Array, sample_task: Callable[[Array], Array], *, pulls: int, tasks: int
) -> Estimate:
    """The mean return of a strategy. A pull counts as the arm's probability, which has the mean of its rewards and a
    narrower interval; the strategy sees rewards.

    Args:
        strategy: any `Strategy`.
        key: for all that is random.
        sample_task: `key -> probabilities [arms]`, such as that of `bernoulli_bandit`.
        pulls: the length of an episode, 1 or more.
        tasks: how many bandits, 2 or more.

    Returns:
        An `Estimate`, float32 `[]`.

    Raises:
        ValueError: if a number is too small.
    """
    check_count("pulls", pulls)
    check_count("tasks", tasks, 2)
    # A function is no pytree, but a Partial of it is; each factory's function is another, and compiled anew.
    strategy = strategy if isinstance(strategy, Partial) else Partial(strategy)
    return _simulate(strategy, key, sample_task, pulls, tasks)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _simulate(strategy: Any, key: Array, sample_task: Any, pulls: int, tasks: int) -> Estimate:
    def one(key: Array) -> Array:
        of_task, of_pulls = jax.random.split(key)
        probabilities = sample_task(of_task)

        def body(counts: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
            of_act, of_reward = jax.random.split(now[0])
            arm = strategy(of_act, counts, now[1])
            won = bernoulli_reward(of_reward, probabilities[arm]).astype(jnp.int32)
            return counts.at[arm, 1 - won].add(1), probabilities[arm]

        start = jnp.zeros((len(probabilities), 2), jnp.int32)
        now = jax.random.split(of_pulls, pulls), jnp.arange(pulls, dtype=jnp.int32)
        return jnp.sum(lax.scan(body, start, now)[1])

    return estimate(jax.vmap(one)(jax.random.split(key, tasks)))


def _pulled(counts: Array) -> Array:
    return jnp.sum(counts, axis=-1).astype(jnp.float32)


def _mean(counts: Array) -> Array:
    return (counts[:, 0].astype(jnp.float32) + 1) / (_pulled(counts) + 2)


def _draw(key: Array, counts: Array) -> Array:
    weight = gamma(key, 1 + counts.astype(jnp.float32))
    return weight[:, 0] / jnp.sum(weight, axis=-1)


def _largest(values: Array) -> Array:
    return jnp.argmax(values).astype(jnp.int32)
