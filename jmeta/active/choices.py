"""How an example is chosen by scores, and how what scores are made by is trained through the choice."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.active.types import Choice, Choose
from jmeta.checks import check_above_zero, check_sizes

Play = Callable[[Choose, Array], tuple[Array, Array]]
"""`(choose, key) -> (losses [labels], log_probs [labels])`: one run through a pool."""

Estimator = Callable[[Play, Array], tuple[Array, Array]]
"""`(play, key) -> (surrogate [], losses [labels])`: the gradient of the first is that of the expected mean loss."""


def best(scores: Array, key: Array) -> Choice:
    """The largest score, the first of several."""
    del key
    return _chosen(scores, jnp.argmax(scores))


def sampled(scores: Array, key: Array) -> Choice:
    """Drawn by the softmax of the scores: the largest of scores with Gumbel noise."""
    return _chosen(scores, jnp.argmax(scores + jax.random.gumbel(key, scores.shape)))


def _chosen(scores: Array, index: Array) -> Choice:
    return Choice(jax.nn.one_hot(index, len(scores)), _log_probs(scores)[index])


def _log_probs(scores: Array) -> Array:
    """Of what can't be chosen 0, so that nothing has an infinite derivative; all 0 where nothing can."""
    free = scores > -jnp.inf
    some = jnp.any(free)
    logs = jax.nn.log_softmax(jnp.where(free | ~some, scores, -1e30).clip(-1e30))
    return jnp.where(free, logs, 0.0)


def straight_through(temperature: float = 1.0) -> Choose:
    """Drawn with Gumbel noise; the derivative of the one-hot choice is taken to be that of a softmax.

        hard = one_hot(argmax(scores + g)),   weight = hard + soft - stop(soft),   soft = softmax((scores + g) / t)

    For learners whose result has a derivative in weights that are 0, as `jmeta.active.exact` has: others leave rows of
    weight 0 out, so that theirs says nothing of an example. Source: Jang et al. 2017. https://arxiv.org/abs/1611.01144
    """
    check_above_zero("temperature", temperature)

    def choose(scores: Array, key: Array) -> Choice:
        noisy = scores + jax.random.gumbel(key, scores.shape)
        soft = jnp.where(scores > -jnp.inf, jax.nn.softmax(jnp.maximum(noisy, -1e30) / temperature), 0.0)
        hard = _chosen(scores, jnp.argmax(noisy))
        return hard._replace(weight=hard.weight + soft - lax.stop_gradient(soft))

    return choose


def pathwise(temperature: float = 1.0, rollouts: int = 8) -> Estimator:
    """Train by `straight_through`, as the mean of several runs: low variance and a bias."""
    check_sizes(rollouts=rollouts)
    choose = straight_through(temperature)

    def estimate(play: Play, key: Array) -> tuple[Array, Array]:
        losses, _ = jax.vmap(lambda key: play(choose, key))(jax.random.split(key, rollouts))
        return jnp.mean(losses), jnp.mean(losses, axis=0)

    return estimate


def policy_gradient(rollouts: int = 8, entropy: float = 0.0) -> Estimator:
    """Train by the score function, without bias for any learner, each run beside the mean of the others.

        G_t = sum_{s >= t} loss_s / labels
        gradient = mean over runs of sum_t grad log p(pick_t) (G_t - mean of the others' G_t) + grad mean loss

    Args:
        rollouts: runs of one pool, 2 or more.
        entropy: what is added for staying undecided, times `log p (log p)`'s estimate.

    Source: Williams 1992; the baseline of Kool et al. 2019. https://openreview.net/forum?id=r1lgTGL5DE
    """
    if rollouts < 2:
        raise ValueError(f"rollouts must be 2 or more, one is judged beside the others, got {rollouts}")

    def estimate(play: Play, key: Array) -> tuple[Array, Array]:
        losses, logs = jax.vmap(lambda key: play(sampled, key))(jax.random.split(key, rollouts))
        after = jnp.cumsum(losses[:, ::-1], axis=1)[:, ::-1] / losses.shape[1]
        after = after + entropy * lax.stop_gradient(jnp.cumsum(logs[:, ::-1], axis=1)[:, ::-1])
        better = lax.stop_gradient(after - (jnp.sum(after, axis=0)[None] - after) / (rollouts - 1))
        score = jnp.mean(jnp.sum(logs * better, axis=1))
        return jnp.mean(losses) + score - lax.stop_gradient(score), jnp.mean(losses, axis=0)

    return estimate
