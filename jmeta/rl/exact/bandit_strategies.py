"""Strategies for Bernoulli arms, what they get, and an index of each arm (Bradt, Johnson and Karlin 1956)."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.tree_util import Partial

from jmeta.checks import check_above_zero
from jmeta.rl.checks import check_counts, check_probability
from jmeta.rl.envs.bandits import bernoulli_reward
from jmeta.rl.exact.bayes import BanditSolution, optimal_arm
from jmeta.rl.exact.simulation import Estimate, estimate, gamma

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
    """Any arm with probability `epsilon`, else the greedy one; a `ValueError` if it is not a probability."""
    check_probability("epsilon", epsilon)

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
    act = lambda index, key, counts, time: _largest(index[len(index) - time - 1, counts[:, 0], counts[:, 1]])
    return Partial(act, index)


def gittins_like_index(pulls: int, *, levels: int = 200) -> Array:
    """What a known arm would have to pay for either to be as good, with m pulls left.

        W(s, f, m; c)  = max(c m, p (1 + W(s + 1, f, m - 1; c)) + (1 - p) W(s, f + 1, m - 1; c)),  W(., ., 0) = 0
        index(s, f, m) = the c at which both sides are equal,    p = (s + 1) / (s + f + 2)

    It is at `[m - 1, s, f]` of what is returned, float32 `[pulls, pulls, pulls]`, where s + f + m <= pulls; elsewhere
    that has no meaning. The arm with the largest index is best where all others are known; of several unknown arms, it
    is not always, but nearly so. (With a discount in place of the horizon it always is, and is Gittins's.)

    Args:
        pulls: the horizon, 1 or more; memory grows with its third power, 4 MB for 100.
        levels: known arms that are tried, evenly spaced over 0 to 1, 2 or more; the index is interpolated linearly.

    Raises:
        ValueError: if a number is too small.

    Example:
        One pull is worth its mean, and more of them more.

        >>> gittins_like_index(3)[:, 0, 0].round(3).tolist() == jnp.array([0.5, 0.556, 0.591]).round(3).tolist()
        True

    Source: Bradt, Johnson and Karlin 1956, On Sequential Designs for Maximizing the Sum of n Observations.
    https://doi.org/10.1214/aoms/1177728073
    """
    check_counts(pulls=pulls)
    check_counts(2, levels=levels)
    return _index(pulls, levels)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _index(pulls: int, levels: int) -> Array:
    s, f = jnp.arange(pulls, dtype=jnp.float32)[:, None], jnp.arange(pulls, dtype=jnp.float32)[None]
    mean = (s + 1) / (s + f + 2)

    def gains(known: Array) -> Array:
        """`[pulls, pulls, pulls]`, how much better a pull is than the known arm, at `[m - 1, s, f]`."""

        def body(gain: Array, _: None) -> tuple[Array, Array]:
            # The value over that of the known arm for ever; of the edges, nothing that counts is reached.
            won, lost = jnp.roll(gain, -1, axis=0), jnp.roll(gain, -1, axis=1)
            pull = mean * won + (1 - mean) * lost + (mean - known)
            return jnp.maximum(pull, 0), pull

        return lax.scan(body, jnp.zeros((pulls, pulls), jnp.float32), length=pulls)[1]

    def body(level: Array, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        index, before = carry
        gain = gains(level.astype(jnp.float32) / levels)
        # The gain falls with what is known: its sign changes once.
        share = before / jnp.where(before > gain, before - gain, 1)
        root = (level.astype(jnp.float32) - 1 + share) / levels
        return jnp.where((before > 0) & (gain <= 0), root, index), gain

    start = jnp.zeros((pulls,) * 3, jnp.float32), gains(jnp.float32(0))
    return lax.fori_loop(1, levels + 1, body, start)[0]


def optimal_strategy(solution: BanditSolution) -> Strategy:
    """The Bayes-optimal arm, of `bayes_optimal_bandit` for the same number of arms and pulls."""
    act = lambda solution, key, counts, time: optimal_arm(solution, counts)
    return Partial(act, jax.tree.map(jnp.asarray, solution._replace(value=0)))


def simulate_bandit(
    strategy: Strategy, key: Array, sample_task: Callable[[Array], Array], *, pulls: int, tasks: int
) -> Estimate:
    """The mean return of a strategy, over many bandits at a time, float32 `[]`. A pull counts as the arm's probability,
    which has the mean of its rewards and a narrower interval; the strategy sees rewards.

    Args:
        strategy: any `Strategy`.
        key: for all that is random.
        sample_task: `key -> probabilities [arms]`, such as that of `bernoulli_bandit`.
        pulls: the length of an episode, 1 or more.
        tasks: how many bandits, 2 or more.

    Raises:
        ValueError: if a number is too small.
    """
    check_counts(pulls=pulls)
    check_counts(2, tasks=tasks)
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
