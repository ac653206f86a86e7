"""Fixed rules of what to ask: `view -> scores [N]`, the largest is asked for."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.active.types import Rule, View
from jmeta.distances import squared_distances

ITERATIONS = 10


def _noise(view: View) -> Array:
    return jax.random.uniform(jax.random.fold_in(jax.random.fold_in(view.key, 0xA5C), view.step), view.known.shape)


def random(view: View) -> Array:
    """Any example."""
    return _noise(view)


def stratified(view: View) -> Array:
    """An oracle: any example of the class that has the fewest labels. It reads labels that nobody knows."""
    return _noise(view) - view.pool.y @ (view.pool.y.T @ view.known)


def entropy(view: View) -> Array:
    """The entropy of the predicted class, `-sum_k p_k log p_k`; examples that are alike are told apart at random."""
    return _entropy(jax.nn.log_softmax(view.logits)) + 1e-6 * _noise(view)


def margin(view: View) -> Array:
    """Least difference of the two largest probabilities, as a negative number."""
    top = lax.top_k(jax.nn.softmax(view.logits), 2)[0]
    return top[:, 1] - top[:, 0] + 1e-6 * _noise(view)


def bald(view: View) -> Array:
    """What the label would tell of the parameters: the entropy of the mean prediction less the mean entropy.

    Raises:
        ValueError: for a learner that predicts by no samples.

    Source: Houlsby et al. 2011, Bayesian Active Learning for Classification. https://arxiv.org/abs/1112.5745
    """
    if view.samples is None:
        raise ValueError("bald needs a learner whose predict returns samples [S, N, way]: choose entropy, or another")
    each = jax.nn.log_softmax(view.samples)
    return _entropy(jax.nn.log_softmax(view.logits)) - jnp.mean(_entropy(each), axis=0)


def k_centre(view: View) -> Array:
    """The distance to the nearest of what is known; at first, the example nearest to the middle of the pool.

    Source: Sener and Savarese 2018, Active Learning for Convolutional Neural Networks: A Core-Set Approach, greedy.
    https://arxiv.org/abs/1708.00489
    """
    return jnp.where(jnp.any(view.known > 0), nearest_known(view), -_from_middle(view))


def k_means(view: View) -> Array:
    """The example nearest to the mean of its cluster, of the largest cluster that has no label yet.

    There are as many clusters as there will be labels, found once by Lloyd's steps from centers far from each other.
    """
    middles = _clusters(view)
    to_middle = squared_distances(view.features, middles)
    member = jax.nn.one_hot(jnp.argmin(to_middle, axis=1), len(middles)) * view.there[:, None]
    size, labelled = jnp.sum(member, axis=0), member.T @ view.known
    near = jnp.sum(member * to_middle, axis=1)
    return member @ (size - len(member) * labelled) - near / (1 + jnp.max(near * view.there))


def coverage(view: View) -> Array:
    """How much nearer the pool would be to what is known: `mean_n max(d_n - d(n, i), 0)` with d_n the distance to the
    nearest known one. Where nothing is, minus the mean distance: the greedy rule of k-medoids."""
    there, d = view.there, jnp.sqrt(view.distances + 1e-12)
    now = jnp.sqrt(nearest_known(view) + 1e-12)
    gain = jnp.maximum(now[:, None] - d, 0) * there[:, None]
    first = -jnp.sum(d * there[:, None], axis=0)
    return jnp.where(jnp.any(view.known > 0), jnp.sum(gain, axis=0), first) / jnp.maximum(jnp.sum(there), 1)


def nearest_known(view: View) -> Array:
    """Squared distances `[N]` to the nearest known example; where none is known, the largest of the pool."""
    pairs = view.there[:, None] * view.there[None]
    return jnp.min(jnp.where(view.known[None] > 0, view.distances, jnp.max(view.distances * pairs)), axis=1)


def _entropy(logs: Array) -> Array:
    return -jnp.sum(jnp.where(logs > -1e8, jnp.exp(logs) * jnp.maximum(logs, -1e8), 0.0), axis=-1)


def _from_middle(view: View) -> Array:
    middle = view.there @ view.features / jnp.maximum(jnp.sum(view.there), 1)
    return squared_distances(view.features, middle[None])[:, 0]


def _clusters(view: View) -> Array:
    """Means of clusters `[labels, D]`."""
    z, there = view.features, view.there

    def farthest(near: Array, _: None) -> tuple[Array, Array]:
        i = jnp.argmax(jnp.where(there > 0, near, -1.0))
        return jnp.minimum(near, view.distances[i]), i

    first = jnp.argmin(jnp.where(there > 0, _from_middle(view), jnp.inf))
    _, rest = lax.scan(farthest, view.distances[first], None, length=view.labels - 1)
    start = z[jnp.concatenate([first[None], rest])]

    def lloyd(middles: Array, _: None) -> tuple[Array, None]:
        member = jax.nn.one_hot(jnp.argmin(squared_distances(z, middles), axis=1), len(middles)) * there[:, None]
        count = jnp.sum(member, axis=0)[:, None]
        return jnp.where(count > 0, member.T @ z / jnp.maximum(count, 1), middles), None

    return lax.scan(lloyd, start, None, length=ITERATIONS)[0]


RULES: dict[str, Rule] = {
    "random": random, "entropy": entropy, "margin": margin, "bald": bald, "k-centre": k_centre, "k-means": k_means,
    "coverage": coverage, "stratified": stratified,
}  # fmt: skip
"""All by name."""
