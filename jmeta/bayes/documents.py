"""The best answer for documents whose class has word frequencies of its own, of a known Dirichlet prior."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.distances import members
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Params, episodic


class Counted(NamedTuple):
    """How often each class has each token `[way, tokens]`, none of them padding."""

    counts: Array


def documents(prior: Array, *, loss_fn: LossFn = cross_entropy) -> Learner:
    """Dirichlet-multinomial classes of documents: words are drawn by frequencies of the class, which are summed out.

        logit_k(x) = log p(x | support of k)
                   = sum_l log(a_w + n_kw + r_l) - log(A + n_k + l)      w = x_l, l from 0 on, without padding

    with the counts n_kw of the support set, n_k their sum, r_l how often w is before l in x, a the pseudo-counts of the
    prior and A their sum. This is Bayes' answer where each class has drawn its frequencies from Dirichlet(a), and all
    classes are as likely. Nothing is learned, and there may be any number of classes.

    Args:
        prior: pseudo-counts `[tokens]`, above 0 but for that of token 0, which is padding and counts nowhere.
        loss_fn: `(prediction, y) -> [N]`, for the query.

    Example:
        >>> learner = documents(jnp.array([0.0, 1.0, 1.0]))
        >>> adapted = learner.adapt({}, Batch(jnp.array([[1, 1], [2, 2]]), jnp.eye(2)))
        >>> jnp.exp(learner.predict(adapted, jnp.array([[1, 0]]))).round(2).tolist()  # (1 + 2) / 4, 1 / 4
        [[0.75, 0.25]]

    Source: Madsen et al. 2005, Modeling Word Burstiness Using the Dirichlet Distribution,
    https://doi.org/10.1145/1102351.1102420
    """

    def adapt(params: Params, support: Batch) -> Counted:
        there = (support.x > 0).astype(support.y.dtype)
        share = members(support).T[:, :, None] * there[None]
        empty = jnp.zeros((support.y.shape[1], len(prior)), support.y.dtype)
        return Counted(empty.at[:, support.x].add(share))

    def predict(adapted: Counted, x: Array, weight: Array | None = None) -> Array:
        kind = adapted.counts.dtype
        a = prior.astype(kind)
        there = (x > 0).astype(kind)
        before = jnp.cumsum(there, axis=1) - there
        same = (x[:, :, None] == x[:, None, :]).astype(kind) * jnp.tri(x.shape[1], k=-1, dtype=kind)[None]
        seen = (a[x] + jnp.sum(same, axis=2))[None] + adapted.counts[:, x]
        whole = jnp.sum(a) + jnp.sum(adapted.counts, axis=1)[:, None, None] + before[None]
        return jnp.sum(there[None] * jnp.log(jnp.where(there[None] > 0, seen / whole, 1)), axis=2).T

    return episodic(lambda key, x: {}, adapt, predict, judge(loss_fn))
