"""The likelihood of all queries of a task jointly, which predictions of each by itself do not say."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

from jmeta.types import Episode, Learner, Params, examples, together

Evidence = Callable[[Any], Array]
"""`adapted -> [targets]`, the logarithm of the density, in nats, of all examples that were adapted to, jointly."""


def joint_log_likelihood(learner: Learner, evidence: Evidence, params: Params, episode: Episode) -> Array:
    """The logarithm of the density of an episode's queries jointly, given its support set, in nats a target, `[]`.

        (log p(support, queries) - log p(support)) / targets of the queries

    Queries tell of each other, so that it is not the mean of `distributions.log_density`, which is of each by itself:
    compare it with joint ones alone. It is 0 where no query is there.

    Args:
        learner: a process, such as `deep_kernel`.
        evidence: what its examples are worth, such as that of `bayes.catalog.EVIDENCE`.
        params: of the learner.
        episode: a task.
    """
    support, query = map(examples, episode)
    gained = evidence(learner.adapt(params, together(support, query))) - evidence(learner.adapt(params, support))
    real = jnp.ones_like(gained) if query.classes is None else (query.classes > 0).astype(gained.dtype)
    rows = jnp.asarray(len(query.y), gained.dtype)
    rows = rows if query.weight is None else jnp.sum((query.weight > 0).astype(gained.dtype))
    return jnp.sum(gained * real) / jnp.maximum(rows * jnp.sum(real), 1)
