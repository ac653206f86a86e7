"""Pool-based active learning: the pool is a `Batch` whose weight says what is labelled, so any learner is active."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.active.choices import best
from jmeta.active.types import Asked, Choose, Rule, View
from jmeta.distances import squared_distances
from jmeta.losses import accuracy
from jmeta.types import Batch, Episode, Learner, Params, examples

Measure = Callable[[Array, Batch], Array]
"""`(prediction, query) -> []`, such as `jmeta.evaluation.accuracy`."""

Ask = Callable[..., Asked]
"""`(params, episode, key, known=None) -> Asked`."""

LOW = -1e30
"""The score of what a rule can't tell, such as NaN."""


def flat(x: Any) -> Array:
    """Inputs as features `[N, D]`: all numbers of an example beside each other."""
    return jnp.concatenate([jnp.reshape(a, (len(a), -1)).astype(float) for a in jax.tree.leaves(x)], axis=1)


def ask(
    learner: Learner,
    rule: Rule,
    *,
    labels: int,
    features: Callable[[Params, Any], Array] | None = None,
    measure: Measure = accuracy,
    choose: Choose = best,
    reveal: bool = True,
) -> Ask:
    """Ask for the labels of a pool, one after another, in one `lax.scan`.

        repeat: adapted = adapt(params, pool with weight = known)
                i = choose(rule(view)) among what is there and not known
                known_i = 1

    Args:
        learner: any; its `predict` may return several samples `[S, N, way]`, whose mean probability is judged.
        rule: `view -> scores [N]`, such as `jmeta.active.rules.entropy`.
        labels: how many, 1 or more.
        features: `(params, x) -> [N, D]`, what rules measure distances in; None for the inputs as they are.
        measure: of the queries.
        choose: by scores: `choices.best`, or one that explores.
        reveal: whether a label is known once it is asked for; False where a batch of questions is asked at once, so
            that the learner stays as it is and the rule alone sees what has been chosen.

    Returns:
        `(params, episode, key, known=None) -> Asked`, pure, for `jit` and `vmap`. The support set of the episode is the
        pool, whose weight of 0 is padding, which is never asked for; `known` `[N]` are labels that are known already.
        A pool that has fewer examples than labels is asked to its end, and -1 fills the rest of the picks.

    Raises:
        ValueError: if `labels` is below 1, or above the rows of the pool, or the pool has none.

    Example:
        Two classes on a line, and the examples farthest from what is known.

        >>> from jmeta import nets
        >>> from jmeta.active import rules
        >>> from jmeta.algorithms import prototypical
        >>> pool = Batch(jnp.array([[0.0], [1.0], [5.0]]), jnp.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        >>> run = ask(prototypical(nets.MLPEncoder(())), rules.k_centre, labels=1)
        >>> asked = run({}, Episode(pool, pool), jax.random.key(0), jnp.array([1.0, 0.0, 0.0]))
        >>> asked.picks.tolist(), [round(v, 2) for v in asked.curve.tolist()]
        ([2], [0.67, 1.0])
    """
    if labels < 1:
        raise ValueError(f"labels must be 1 or more, got {labels}")

    def run(params: Params, episode: Episode, key: Array, known: Array | None = None) -> Asked:
        pool, query = examples(episode.support), episode.query
        rows = len(pool.y)
        if rows < labels:
            raise ValueError(f"a pool of {rows} examples can't give {labels} labels: ask for fewer, or give more")
        there = jnp.ones(rows) if pool.weight is None else (pool.weight != 0).astype(float)
        start = jnp.zeros(rows) if known is None else jnp.asarray(known, float) * there
        z = flat(pool.x) if features is None else features(params, pool.x)
        distances = squared_distances(z, z)

        def adapted_to(weight: Array) -> Any:
            return learner.adapt(params, pool._replace(weight=weight))

        def judged(adapted: Any) -> Array:
            words = () if query.weight is None else (query.weight,)
            return measure(mean_logits(learner.predict(adapted, query.x, *words)), query)

        def step(carry: tuple[Array, Any], number: Array) -> tuple[tuple[Array, Any], tuple[Array, ...]]:
            weight, adapted = carry
            found = learner.predict(adapted, pool.x, *(() if pool.weight is None else (there,)))
            view = View(
                pool._replace(weight=there), lax.stop_gradient(weight), mean_logits(found),
                found if found.ndim == 3 else None, z, distances, adapted, number, labels, key,
            )  # fmt: skip
            free = (there > 0) & (lax.stop_gradient(weight) < 0.5)
            scores = jnp.clip(jnp.nan_to_num(rule(view), nan=LOW), LOW, -LOW)
            picked = choose(jnp.where(free, scores, -jnp.inf), jax.random.fold_in(key, number))
            some = jnp.any(free)
            chosen = jnp.where(free & some, picked.weight, 0.0)
            weight = weight + chosen
            pick = jnp.where(some, jnp.argmax(chosen), -1).astype(jnp.int32)
            adapted = adapted_to(weight) if reveal else adapted
            return (weight, adapted), (pick, judged(adapted), jnp.where(some, picked.log_prob, 0.0))

        first = adapted_to(start)
        numbers = jnp.arange(labels, dtype=jnp.int32)
        (weight, _), (picks, curve, log_probs) = lax.scan(step, (start, first), numbers)
        return Asked(picks, jnp.concatenate([judged(first)[None], curve]), log_probs, weight)

    return run


def mean_logits(prediction: Array) -> Array:
    """Logits `[N, way]` as they are; of samples `[S, N, way]`, the logarithm of their mean probability."""
    if prediction.ndim < 3:
        return prediction
    return jax.nn.logsumexp(jax.nn.log_softmax(prediction), axis=0) - jnp.log(prediction.shape[0])


def area(curve: Array) -> Array:
    """The area under curves `[..., labels + 1]`: the mean after each label, without what was before the first."""
    return jnp.mean(curve[..., 1:], axis=-1)
