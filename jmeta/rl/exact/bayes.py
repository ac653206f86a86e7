"""The best there is on independent Bernoulli arms: dynamic programming over counts (Bellman 1956)."""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta.rl.checks import check_counts

MOST_STATES = 20_000_000  # that are solved; each takes some 30 bytes and a microsecond or two
MOST_KEYS = 2**28  # each of which takes five bytes; many are of no state


class BanditSolution(NamedTuple):
    """What is best in each state.

    The kind of an arm with s successes in m pulls is the number m (m + 1) / 2 + s. A state is the kinds of all arms,
    the largest first, so that states that differ in the order of arms are one. Its key is these numbers in one.
    """

    value: np.ndarray  # the return from the start, float64 `[]`
    keys: np.ndarray  # the states of all times, in ascending order, int32 `[states]`
    best: np.ndarray  # the kind of an arm that is best to pull, int32 `[states]`
    radix: np.ndarray  # of the numbers in a key, int32 `[min(arms, pulls)]`


def bayes_optimal_bandit(arms: int, pulls: int) -> BanditSolution:
    """The largest mean return of some pulls of Bernoulli arms with uniform priors, and what to pull for it.

        m_i   = (s_i + 1) / (s_i + f_i + 2)                      after s_i successes and f_i failures
        V(c)  = max_i  m_i (1 + V(c + success of i)) + (1 - m_i) V(c + failure of i),   V = 0 after the last pull

    Arms beyond the number of pulls add nothing, since they are never reached. 2 arms and 100 pulls, or 5 and 10, take
    seconds, and 3 arms and 50 pulls some 10.

    The solution is for `optimal_arm`.

    Raises:
        ValueError: if a number is below 1, or there are more than `MOST_STATES` states or `MOST_KEYS` keys.

    Example:
        >>> bayes_optimal_bandit(2, 10).value.round(4).item()
        6.0218

    Source: Bellman 1956, A Problem in the Sequential Design of Experiments. https://www.jstor.org/stable/25048278
    """
    check_counts(arms=arms, pulls=pulls)
    slots = min(arms, pulls)
    # The j-th most pulled arm has pulls / j at most, and so fewer kinds.
    radix = np.array([_kinds(pulls // (j + 1)) for j in range(slots)])
    number = count_states(arms, pulls)
    size = math.prod(radix.tolist())
    if number > MOST_STATES or size > MOST_KEYS:
        raise ValueError(
            f"{arms} arms and {pulls} pulls are too many, with {number:,} states (at most {MOST_STATES:,}) among "
            f"{size:,} keys (at most {MOST_KEYS:,}): use fewer of either"
        )

    of_kind = np.repeat(np.arange(pulls + 1, dtype=np.int32), np.arange(pulls + 1) + 1)
    successes = np.concatenate([np.arange(m + 1, dtype=np.int32) for m in range(pulls + 1)])
    mean = (successes + 1) / (of_kind + 2)

    levels = [np.zeros(1, np.int32)]
    seen = np.zeros(size, bool)
    for time in range(1, pulls):
        kinds = _decode(levels[-1], radix)
        for slot in range(slots):
            for outcome in (0, 1):
                seen[_after(kinds, slot, outcome, of_kind, radix)] = True
        # No larger key can come so early.
        levels.append(np.flatnonzero(seen[: _kinds(time) * (size // radix[0])]).astype(np.int32))
        seen[levels[-1]] = False

    value, best = np.zeros(0), []
    place = np.zeros(size, np.int32)
    for time in reversed(range(pulls)):
        kinds = _decode(levels[time], radix)
        q = mean[kinds]
        if time < pulls - 1:
            place[levels[time + 1]] = np.arange(len(levels[time + 1]), dtype=np.int32)
            for slot in range(slots):
                later = [_after(kinds, slot, outcome, of_kind, radix) for outcome in (0, 1)]
                lost, won = (value[place[key]] for key in later)
                q[slot] = q[slot] * (1 + won) + (1 - q[slot]) * lost
        value = q.max(axis=0)
        best.append(kinds[q.argmax(axis=0), np.arange(len(value))])
    keys, best = np.concatenate(levels), np.concatenate(best[::-1])
    order = np.argsort(keys)
    return BanditSolution(value[0], keys[order], best[order], radix.astype(np.int32))


def optimal_arm(solution: BanditSolution, counts: Array) -> Array:
    """The number of an arm that is best to pull, int32 `[]`; for one bandit, under `jit` or not.

    Args:
        solution: of `bayes_optimal_bandit`, for the same number of arms and a time before its last pull.
        counts: successes and failures so far, int32 `[arms, 2]`.

    Example:
        Two pulls are left: an arm that failed once is worth less than one that is new.

        >>> optimal_arm(bayes_optimal_bandit(2, 3), jnp.array([[0, 1], [0, 0]])).item()
        1
    """
    counts = counts.astype(jnp.int32)
    pulled = jnp.sum(counts, axis=-1)
    kinds = pulled * (pulled + 1) // 2 + counts[:, 0]
    key = jnp.int32(0)
    for kind, radix in zip(-jnp.sort(-kinds)[: len(solution.radix)], jnp.asarray(solution.radix), strict=True):
        key = key * radix + kind
    best = jnp.asarray(solution.best)[jnp.searchsorted(jnp.asarray(solution.keys), key)]
    return jnp.argmax(kinds == best).astype(jnp.int32)


def count_states(arms: int, pulls: int) -> int:
    """How many states there are before the last pull: multisets of arms, each of m + 1 kinds after m pulls."""
    slots = min(arms, pulls)
    ways = np.zeros((slots + 1, pulls), object)
    ways[0, 0] = 1
    for m in range(1, pulls):
        for _ in range(m + 1):
            for used in range(1, slots + 1):
                ways[used, m:] += ways[used - 1, : pulls - m]
    return int(ways.sum())


def _kinds(pulls: int) -> int:
    return (pulls + 1) * (pulls + 2) // 2


def _decode(keys: np.ndarray, radix: np.ndarray) -> np.ndarray:
    """The kinds `[slots, N]` of states."""
    kinds = np.empty((len(radix), len(keys)), np.int32)
    for slot in reversed(range(len(radix))):
        keys, kinds[slot] = np.divmod(keys, np.int32(radix[slot]))
    return kinds


def _after(kinds: np.ndarray, slot: int, outcome: int, of_kind: np.ndarray, radix: np.ndarray) -> np.ndarray:
    """The keys `[N]` of the states after a pull of the arm in a slot."""
    columns, moved = list(kinds), kinds[slot] + of_kind[kinds[slot]] + np.int32(1 + outcome)
    # Kinds grow with pulls, so the arm can only move forward.
    for ahead in reversed(range(slot)):
        columns[ahead + 1] = np.minimum(columns[ahead], moved)
        moved = np.maximum(columns[ahead], moved)
    key = moved
    for column, base in zip(columns[1:], radix[1:], strict=True):
        key = key * np.int32(base) + column
    return key
