"""Which examples of a pool to label next, on plain NumPy arrays, as users of scikit-learn have them."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jmeta.active.pool import ask
from jmeta.active.rules import RULES
from jmeta.active.types import Rule
from jmeta.algorithms.prototypical import prototypical
from jmeta.nets import MLPEncoder
from jmeta.types import Batch, Episode, Learner

BLIND = ("random", "k-centre", "k-means", "coverage")
"""Rules that need no predictions."""


def query(
    X: Any,
    y: Sequence[Any] | np.ndarray,
    pool: Any,
    *,
    labels: int = 1,
    rule: str | Rule = "k-centre",
    probabilities: Any = None,
    seed: int = 0,
) -> np.ndarray:
    """Indices `[labels]` of the examples of a pool whose labels to ask for next, the first first.

    Predictions are those of a classifier of your own, `probabilities`, or else of the nearest class mean of `X`. All
    questions are asked at once: rules that measure distances count what was chosen as known.

    Args:
        X: labelled examples `[n, ...]`; features should be of like scale, as a StandardScaler makes them.
        y: their labels `[n]`, of any kind.
        pool: examples without labels `[N, ...]`.
        labels: how many to choose.
        rule: random, entropy, margin, k-centre, k-means or coverage; or a function from a `View` to scores.
        probabilities: `[N, classes]` of the pool, as `predict_proba` returns them.
        seed: of what is drawn.

    Raises:
        ValueError: for an empty pool, more labels than it has, an unknown rule, NaN, arrays that do not fit, or fewer
            than two classes where a rule is by predictions.

    Example:
        >>> query([[0.0], [1.0]], ["a", "b"], [[0.1], [0.6], [3.0]], rule="margin").tolist()
        [1]
        >>> query([[0.0], [1.0]], ["a", "b"], [[0.1], [0.6], [3.0]], labels=2).tolist()
        [2, 1]
    """
    known, rows, names = _array("X", X), _array("pool", pool), np.asarray(y)
    if not len(rows):
        raise ValueError("the pool is empty: give examples to choose from")
    if len(known) and known.shape[1:] != rows.shape[1:]:
        raise ValueError(f"X {list(known.shape)} and pool {list(rows.shape)} must have the same features")
    if names.shape != known.shape[:1]:
        raise ValueError(f"y must have a label for each of {len(known)} rows of X, got {list(names.shape)}")
    found = chosen(rule)
    check_labels(labels, len(rows))
    classes, numbers = np.unique(names, return_inverse=True)
    given = None if probabilities is None else _probabilities(probabilities, len(rows))
    by_predictions = not (isinstance(rule, str) and rule in BLIND)
    if by_predictions and given is None and len(classes) < 2:
        raise ValueError(f"{rule} tells classes apart, and y has {len(classes)}: label two or more, or choose k-centre")
    way = max(len(classes), 2)
    targets = np.concatenate([np.eye(way)[numbers.astype(int)], np.zeros((len(rows), way))])
    # The labelled examples stand first in the pool, known from the start.
    everything = np.concatenate([known.reshape(len(known), *rows.shape[1:]), rows])
    batch = Batch(jnp.asarray(everything, jnp.float32), jnp.asarray(targets, jnp.float32))
    start = (jnp.arange(len(everything)) < len(known)).astype(float)
    learner = prototypical(MLPEncoder(())) if given is None else _told(jnp.asarray(given), len(known))
    run = ask(learner, found, labels=labels, reveal=False, measure=lambda prediction, query: jnp.zeros(()))
    asked = jax.jit(run)({}, Episode(batch, batch), jax.random.key(seed), start)
    return np.asarray(asked.picks) - len(known)


def chosen(rule: str | Rule) -> Rule:
    """A rule by its name; ValueError for one that there is not, or that reads labels or samples."""
    usable = [name for name in RULES if name not in ("stratified", "bald")]
    if not isinstance(rule, str):
        return rule
    if rule not in usable:
        raise ValueError(f"there is no rule {rule!r} here: choose one of {', '.join(usable)}")
    return RULES[rule]


def check_labels(labels: int, rows: int) -> None:
    """ValueError for fewer labels than 1, or more than there are rows."""
    if not hasattr(labels, "__index__") or labels < 1:
        raise ValueError(f"labels must be a whole number of 1 or more, got {labels!r}")
    if labels > rows:
        raise ValueError(f"{labels} labels were asked for of a pool of {rows}: ask for fewer, or give more examples")


def _array(name: str, values: Any) -> np.ndarray:
    try:
        array = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} must be an array of numbers [N, ...]: make its rows of one shape") from error
    if array.ndim < 2 and len(array):
        raise ValueError(f"{name} must be [N, features], got {list(array.shape)}: give reshape(-1, 1) for one feature")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} has values that are NaN or infinite: fill them, or leave these rows out")
    return array


def _probabilities(values: Any, rows: int) -> np.ndarray:
    array = _array("probabilities", values)
    if array.ndim != 2 or len(array) != rows or array.shape[1] < 2 or (array < 0).any():
        raise ValueError(f"probabilities must be [{rows}, classes] of 0 or more, got {list(array.shape)}")
    return array


def _told(probabilities: Any, known: int) -> Learner:
    """A learner that predicts what it is told of the pool, whatever it is shown."""
    logits = jnp.log(jnp.maximum(probabilities, 1e-30)).astype(jnp.float32)
    logits = jnp.concatenate([jnp.zeros((known, logits.shape[1])), logits])
    nothing: Any = lambda params, episode: None
    return Learner(lambda key, x: {}, lambda params, support: {}, lambda adapted, x, weight=None: logits, nothing)
