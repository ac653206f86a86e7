"""A trained learner measured for a comparison: how often and how surely it is right, and what that takes."""

import statistics
import time
from typing import NamedTuple

import jax
import numpy as np

from jmeta import evaluation
from jmeta.episodes import Sampler
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
        calibration_error: expected, over all predictions.
        adapt_milliseconds: median time of adapting to one episode's support set.
        train_mebibytes: temporary memory of the compiled meta-gradient of one episode, as the compiler plans it.
    """

    accuracy: np.ndarray
    calibration_error: float
    adapt_milliseconds: float
    train_mebibytes: float


def judge(trained: Trained, sample: Sampler, way: int, *, seed: int, episodes: int, train_mebibytes: float) -> Judged:
    """Measure a learner on episodes that the seed alone decides, the same for all learners.

    Args:
        trained: the learner.
        sample: `key -> Episode`.
        way: its classes.
        seed: of the episodes.
        episodes: how many.
        train_mebibytes: of `memory_of_training`.
    """
    learner = trained.learner_of(eval_steps(trained.settings.learner), way)
    params = at_way(trained.params, trained.settings.tasks.way, way)
    metrics = {"accuracy": evaluation.accuracy, "calibration": evaluation.calibration}
    chunk_size = eval_chunk_size(trained.settings.tasks)
    found = evaluation.measure(
        learner, params, sample, jax.random.key(seed), episodes=episodes, metrics=metrics, chunk_size=chunk_size
    )
    milliseconds = adapt_milliseconds(learner, params, sample(jax.random.key(seed)))
    error = evaluation.calibration_error(found["calibration"])
    return Judged(found["accuracy"], error, milliseconds, train_mebibytes)


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
