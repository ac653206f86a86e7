"""What an acquisition sees of an optimization, and what that returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array


class View(NamedTuple):
    """An optimization at the moment of a choice.

    Attributes:
        x: candidates `[N, ...]`.
        known: `[N]`, 1 where the function has been evaluated.
        mean: `[N]`, predicted by what is known.
        variance: `[N]`, likewise.
        best: the largest value that is known `[]`.
        adapted: what the learner's `adapt` returned.
        key: PRNG key of this choice.
        step: int32 `[]`, evaluations so far.
        evaluations: how many there will be.
    """

    x: Any
    known: Array
    mean: Array
    variance: Array
    best: Array
    adapted: Any
    key: Array
    step: Array
    evaluations: int


Acquisition = Callable[[View], Array]
"""`view -> scores [N]`: the candidate with the largest is evaluated. Scores of known ones are not read."""

Sampler = Callable[[Any, Any, Array], Array]
"""`(adapted, x [N, ...], key) -> [N, 1]`: a function of a learner's posterior, at all candidates jointly."""


class Run(NamedTuple):
    """What came of an optimization.

    Attributes:
        picks: int32 `[evaluations]`, candidates in the order of evaluation.
        values: `[evaluations]`, of the function there.
        regret: `[evaluations]`, simple regret: the largest value of all candidates less the largest so far.
    """

    picks: Array
    values: Array
    regret: Array
