"""Learners of streams on features of a frozen encoder, and what they can be told there."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from jmeta import loop
from jmeta.continual.algorithms.catalog import LEARNERS, on_features
from jmeta.continual.algorithms.gemcl import GeMCLParams, Prior
from jmeta.continual.algorithms.oml import OMLParams, for_streams
from jmeta.episodes import Sampler
from jmeta.evaluation import accuracy
from jmeta.ragged import Ragged
from jmeta.types import Batch, Learner, Params

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
SHAPES = (16.0, 64.0, 256.0, 1024.0)
PENALTIES = (1.0, 10.0, 100.0, 1000.0)


class Candidate(NamedTuple):
    """A way to learn streams: what it is told, and parameters that were learned, `{}` for the encoder's."""

    name: str
    told: dict[str, float]
    own: Any
    params: Params


def candidates(name: str, known: Ragged, own: Any = None, params: Params = None) -> list[Candidate]:
    """What a learner can be told, to be chosen among on validation classes.

    A learner of gradient steps has several rates. One that was trained in closed form has its own parameters alone, and
    on another's features (`params` None) has the pooled variance of training classes for a prior, or a penalty in
    proportion to the features' size.

    Args:
        name: of the learner.
        known: features of training classes.
        own: settings of the learner, as it was trained.
        params: its parameters without the encoder's.
    """
    row = LEARNERS.get(name)
    rows = np.asarray(known.rows, np.float32)
    own = own or row.settings()
    if row.ordered:
        size = rows.shape[1:]
        none = {"params": {"head": {"kernel": jnp.zeros((*size, 1)), "bias": jnp.zeros(1)}}}
        trained = OMLParams({}, none, none) if params is None else params
        told: list[dict[str, float]] = [{"stream_lr": rate} for rate in RATES]
        return [Candidate(name, each, dataclasses.replace(own, **each), trained) for each in told]
    if params or name not in ("gemcl", "ridge"):
        return [Candidate(name, {}, own, params or {})]
    if name == "ridge":
        size = float(np.mean(np.square(rows)) * rows.shape[1])
        told = [{"l2": share * size} for share in PENALTIES]
        made = [dataclasses.replace(own, **each) for each in told]
        return [
            Candidate(name, each, one, on_features(name, one, 2).init(jax.random.key(0), jnp.asarray(rows[:2])))
            for each, one in zip(told, made, strict=True)
        ]
    return [Candidate(name, {"shape": a, "even": even}, own, _prior(known, a, even)) for a in SHAPES for even in (0, 1)]


def _prior(known: Ragged, shape: float, even: float) -> GeMCLParams:
    """A prior whose mean variance is the pooled one of training classes, in each dimension, or `even` over all."""
    rows = np.asarray(known.rows, np.float32)
    means = np.add.reduceat(rows, known.starts) / known.counts[:, None]
    variance = np.square(rows - means[known.labels]).sum(0) / max(len(rows) - len(means), 1)
    variance = np.where(even, variance.mean(), np.maximum(variance, 1e-3 * variance.mean()))
    log = lambda value: jnp.log(jnp.asarray(value, jnp.float32))
    return GeMCLParams({}, Prior(log(shape), log(shape * variance), log(0.01), jnp.asarray(means.mean(0))))


def learner_of(candidate: Candidate, way: int) -> tuple[Learner, Params]:
    """The learner on features for streams of so many classes, and its parameters."""
    made, params = on_features(candidate.name, candidate.own, way), candidate.params
    return made, for_streams(params, way) if isinstance(params, OMLParams) else params


def accuracies(learner: Learner, params: Params, sample: Sampler, keys: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of each stream, on its queries and on the examples that it had itself, `[streams]` each.

    Of the latter as many a class are asked for as of queries, if there are so many: the first ones.
    """
    parts = jax.tree.map(loop.as_partial, learner, is_leaf=callable)
    found = loop.mapped(Partial(_accuracies, parts, params, sample), keys)
    return np.asarray(found[0]), np.asarray(found[1])


def _accuracies(learner: Learner, params: Params, sample: Sampler, key: Any) -> tuple[Any, Any]:
    support, query = sample(key)
    adapted, way = learner.adapt(params, support), query.y.shape[1]
    asked = min(len(query.x), len(support.x)) // way
    first = lambda a: a.reshape(way, -1, *a.shape[1:])[:, :asked].reshape(way * asked, *a.shape[1:])
    seen = Batch(first(support.x), first(support.y))
    on = lambda batch: accuracy(learner.predict(adapted, batch.x), batch)
    return on(query), on(seen)
