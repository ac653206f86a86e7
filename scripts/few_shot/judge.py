"""A trained learner measured for a comparison: how often and how surely it is right, and what that takes."""

import statistics
import time
from typing import NamedTuple

import jax
import numpy as np
from jax.tree_util import Partial

from jmeta import evaluation, uncertainty
from jmeta.episodes import Sampler
from jmeta.loop import as_partial
from jmeta.runs.few_shot.experiment import eval_chunk_size, eval_steps
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.trained import Trained
from jmeta.types import Episode, Learner, Params

TIMED = 30
_PLAN_ALONE: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}
"""Memory is planned before machine code is made, which is most of the time of compiling and needs no care here."""


class Judged(NamedTuple):
    """What was measured.

    Attributes:
        accuracy: `[episodes]`.
        log_likelihood: mean over episodes, in nats.
        calibration: `[bins, 3]`, see `jmeta.uncertainty.calibration`, of all predictions.
        foreign_auroc: mean over episodes; None where the test has not twice as many classes.
        adapt_milliseconds: median time of adapting to one episode's support set.
        train_mebibytes: temporary memory of the compiled meta-gradient of one episode, as the compiler plans it.
    """

    accuracy: np.ndarray
    log_likelihood: float
    calibration: np.ndarray
    foreign_auroc: float | None
    adapt_milliseconds: float
    train_mebibytes: float


def judge(
    trained: Trained,
    sample: Sampler,
    way: int,
    *,
    foreign: Sampler | None,
    seed: int,
    episodes: int,
    train_mebibytes: float,
) -> Judged:
    """Measure a learner on episodes that the seed alone decides, the same for all learners.

    Args:
        trained: the learner.
        sample: `key -> Episode`.
        way: its classes.
        foreign: like `sample`, of twice as many classes, half of which are foreign to the learner; None for none.
        seed: of the episodes.
        episodes: how many.
        train_mebibytes: of `memory_of_training`.
    """
    learner = trained.learner_of(eval_steps(trained.settings.learner), way)
    params = at_way(trained.params, trained.settings.tasks.way, way)
    metrics = {
        "accuracy": evaluation.accuracy, "calibration": uncertainty.calibration,
        "log_likelihood": uncertainty.log_likelihood,
    }  # fmt: skip
    size, key = eval_chunk_size(trained.settings.tasks), jax.random.key(seed)
    found = evaluation.measure(learner, params, sample, key, episodes=episodes, metrics=metrics, chunk_size=size)
    auroc = None
    if foreign is not None:
        told = Partial(uncertainty.foreign_auroc, jax.tree.map(as_partial, learner, is_leaf=callable), params)
        auroc = float(evaluation.of_each(told, foreign, key, episodes=episodes, chunk_size=size).mean())
    milliseconds = adapt_milliseconds(learner, params, sample(key))
    likelihood, counts = float(found["log_likelihood"].mean()), found["calibration"].sum(axis=0)
    return Judged(found["accuracy"], likelihood, counts, auroc, milliseconds, train_mebibytes)


def adapt_milliseconds(learner: Learner, params: Params, episode: Episode) -> float:
    """Median time of `adapt`, compiled, on one support set."""
    adapt = jax.jit(learner.adapt)
    jax.block_until_ready(adapt(params, episode.support))
    seconds = []
    for _ in range(TIMED):
        start = time.perf_counter()
        jax.block_until_ready(adapt(params, episode.support))
        seconds.append(time.perf_counter() - start)
    return 1e3 * statistics.median(seconds)


def memory_of_training(learner: Learner, params: Params, episode: Episode) -> float:
    """Mebibytes of temporary memory for the meta-gradient of one episode; NaN where the compiler does not tell.

    Args:
        learner: as it is trained.
        params: meta-parameters, or their shapes.
        episode: of training, or its shapes.
    """
    gradient = jax.jit(jax.grad(learner.loss, has_aux=True))
    planned = gradient.lower(params, episode).compile(_PLAN_ALONE).memory_analysis()
    return planned.temp_size_in_bytes / 2**20 if planned is not None else float("nan")
