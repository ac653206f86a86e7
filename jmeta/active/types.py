"""What a rule sees of a pool, and what asking returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax import Array

from jmeta.types import Batch, Params


class View(NamedTuple):
    """A pool at the moment of a question.

    Attributes:
        pool: the examples `[N]`; a weight of 0 is padding. Its labels are for oracles alone.
        known: `[N]`, 1 where an example has been asked for or was known from the start.
        logits: predictions `[N, way]` of the learner that is adapted to what is known.
        samples: the same `[S, N, way]` of a learner that predicts by several samples; None of others.
        features: `[N, D]`.
        distances: squared Euclidean distances of features `[N, N]`.
        adapted: what the learner's `adapt` returned.
        step: int32 `[]`, questions asked so far.
        labels: how many there will be.
        key: of the episode, the same at every step.
    """

    pool: Batch
    known: Array
    logits: Array
    samples: Array | None
    features: Array
    distances: Array
    adapted: Any
    step: Array
    labels: int
    key: Array

    @property
    def there(self) -> Array:
        """`[N]`, 1 for examples and 0 for padding."""
        weight = self.pool.weight
        return (self.known >= 0 if weight is None else weight != 0).astype(self.known.dtype)

    @property
    def free(self) -> Array:
        """`[N]`, whether an example may be asked for."""
        return (self.there > 0) & (self.known == 0)


Rule = Callable[[View], Array]
"""`view -> scores [N]`: the example with the largest is asked for. Scores of what can't be asked for are not read."""


class Choice(NamedTuple):
    """Which example: its weight `[N]`, 1 and zeros, and the logarithm `[]` of how likely it was."""

    weight: Array
    log_prob: Array


Choose = Callable[[Array, Array], Choice]
"""`(scores [N], key) -> Choice`; scores are -inf where nothing can be chosen, and finite elsewhere."""


class Asked(NamedTuple):
    """What came of asking.

    Attributes:
        picks: int32 `[labels]`, rows of the pool in order; -1 where none was left.
        curve: the measure of the queries `[labels + 1]`, before the first label and after each.
        log_probs: `[labels]`, of the picks.
        known: `[N]`, 1 where a label is known in the end.
    """

    picks: Array
    curve: Array
    log_probs: Array
    known: Array


Acquire = Callable[[Params], Rule]
"""A rule that is learned: parameters to a rule."""
