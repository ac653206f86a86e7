"""The best there is of `label_or_ask` where classes are told apart at sight, by dynamic programming over counts."""

import functools
from typing import NamedTuple

from jmeta.rl.checks import check_counts, check_probability


class AskingValue(NamedTuple):
    """What the best policy gets in a stream, on average."""

    total: float  # rewards, undiscounted
    discounted: float  # rewards, by the discount that it was solved for
    requests: float
    right: float
    first_asked: float  # requests at the first example of a class, for each class


def asking_value(
    *, classes: int = 3, length: int = 30, pool: int = 20, ask: float = -0.05, discount: float = 1.0
) -> AskingValue:
    """The exact return of the best policy of `label_or_ask` with pictures that are the same for all of a class.

    What is known is how many examples of each class there have been, n_i, and which labels were asked for. With k of
    them known, the example of an unknown class is named right with probability 1 / (classes - k), which is 1 for the
    last class, and is asked for at the price `ask`; rewards are not seen, so that naming teaches nothing.

        V(n, known)  = sum_i (pool - n_i) / (classes pool - sum n) max_a (r(i, a) + discount V(n + e_i, known'))

    Args:
        classes: 2 or more.
        length: examples of a stream, at most `classes * pool`.
        pool: examples of each class, drawn without replacement.
        ask: the reward of a request.
        discount: of rewards that the policy is best for, 0 to 1.

    Raises:
        ValueError: if a number is out of its range.

    Example:
        >>> value = asking_value()
        >>> round(value.total, 2), round(value.requests, 3), round(value.right, 3)
        (27.9, 2.0, 28.0)
    """
    check_counts(2, classes=classes)
    check_counts(length=length, pool=pool)
    check_probability("discount", discount)
    if length > classes * pool:
        raise ValueError(f"length must be at most classes * pool = {classes * pool}, got {length}")

    @functools.cache
    def best(state: tuple[tuple[int, bool], ...]) -> tuple[float, ...]:
        """`(discounted, total, requests, right, asked at first)` to come; classes are alike, so that states are sorted.

        Where all labels but one are known, so is the last.
        """
        seen, known = sum(n for n, _ in state), sum(asked for _, asked in state)
        if seen == length:
            return (0.0,) * 5
        found = [0.0] * 5
        for i, (n, asked) in enumerate(state):
            chance = (pool - n) / (classes * pool - seen)
            if not chance:
                continue
            hit = 1.0 if asked or known == classes - 1 else 1 / (classes - known)
            options = [((2 * hit - 1), 0.0, hit, 0.0, asked), (ask, 1.0, 0.0, float(n == 0), True)]
            gains = []
            for reward, request, right, first, now in options:
                after = best(tuple(sorted((*state[:i], (n + 1, now), *state[i + 1 :]))))
                told = reward + discount * after[0], reward + after[1], request + after[2], right + after[3]
                gains.append((*told, first + after[4]))
            found = [a + chance * b for a, b in zip(found, max(gains), strict=True)]
        return tuple(found)

    discounted, total, requests, right, first = best(((0, False),) * classes)
    return AskingValue(total, discounted, requests, right, first / classes)
