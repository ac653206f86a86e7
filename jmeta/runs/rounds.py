"""What a run does between two rows of its metrics, for one run and for many side by side."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np

from jmeta import evaluation
from jmeta.runs import build, learners
from jmeta.runs.config import ORDINARY, TrainConfig
from jmeta.runs.memory import enough_memory
from jmeta.runs.problems import Problem
from jmeta.runs.signals import Stop
from jmeta.training import TrainState

VALIDATION_SEED = 0x5EED


def samplers(config: TrainConfig, problem: Problem) -> tuple[Any, Any]:
    """Of training and of validation. An ordinary batch has as many examples as an episode."""
    shot, way = config.train_shots or config.shot, config.train_way or config.way
    if config.algorithm in ORDINARY:
        assert problem.batches is not None, "config.check refuses data without classes"
        training = problem.batches(way * (shot + config.query_shot))
    else:
        training = problem.sampler("train", way, shot, config.query_shot)
    return training, problem.sampler("val", config.way, config.shot, config.query_shot)


def measured(config: TrainConfig) -> tuple[str, evaluation.Metric]:
    """What a learner is judged by: its error where targets are numbers, else its accuracy."""
    if config.dataset == "sinusoid":
        return "error", evaluation.mean_squared_error
    return "accuracy", evaluation.accuracy


def validator(config: TrainConfig, sample: Any) -> Callable[[Any], dict[str, float]]:
    """`params -> {"val_accuracy": ..., "val_ci95": ...}`, compiled once."""
    name, metric = measured(config)
    run = evaluation.make_measure(
        learners.learner_of(config, build.eval_steps(config)),
        metrics={name: metric},
        chunk_size=build.eval_chunk_size(config),
    )

    def validate(params: Any) -> dict[str, float]:
        # One key for all runs, so that all of them are judged by the same episodes.
        values = run(params, sample, jax.random.key(VALIDATION_SEED), config.val_episodes)
        result = evaluation.summarise(values[name])
        return {f"val_{name}": result.mean, "val_ci95": result.ci95}

    return validate


def score(row: Mapping[str, Any]) -> float:
    """Of a validation; larger is better."""
    return row["val_accuracy"] if "val_accuracy" in row else -row["val_error"]


def saves(config: TrainConfig, step: int) -> bool:
    """Whether a checkpoint is due."""
    return step % config.save_every == 0 or step == config.outer_steps


Advance = Callable[[TrainState, int], tuple[TrainState, Any]]
"""`(state, steps) -> (state, metrics [..., steps])`."""


def compiled(config: TrainConfig, advance: Advance, state: TrainState) -> dict[str, float]:
    """Compile before the first row is timed, by a piece of no steps; what that took, for the row."""
    began = time.perf_counter()
    with memory_of(config):
        jax.block_until_ready(advance(state, 0))
    return {"compile_seconds": round(time.perf_counter() - began, 3)}


def take(
    config: TrainConfig,
    advance: Advance,
    stop: Stop,
    look: Callable[[int, Any], None],
    state: TrainState,
    step: int,
) -> tuple[TrainState | None, Any]:
    """Steps up to the next row, in pieces.

    Args:
        config: the settings.
        advance: takes steps.
        stop: asked before each piece.
        look: `(step, metrics)`, called with each piece once it is computed.
        state: where to start.
        step: its number.

    Returns:
        The state and the metrics of all pieces, as NumPy arrays; or None and the signal that asked to stop.

    Raises:
        RunError: if the device has too little memory.
    """
    piece = build.piece_length(config)
    end = min(step + config.log_every, config.outer_steps)
    done: list[Any] = []
    while step < end:
        asked = stop()
        if asked is not None:
            return None, asked
        length = min(piece, end - step)
        with memory_of(config):
            state, metrics = advance(state, length)
            # The piece before is waited for while this one is computed, which keeps a device busy and the bar honest.
            if done:
                look(step, done[-1])
        done.append(metrics)
        step += length
    look(step, done[-1])
    return state, jax.tree.map(lambda *parts: np.concatenate([np.asarray(p) for p in parts], axis=-1), *done)


def memory_of(config: TrainConfig) -> AbstractContextManager[None]:
    """`enough_memory` for the tasks of a step."""
    return enough_memory(
        f"{config.chunk_size} episodes at once don't fit into the device's memory: give a smaller --chunk-size."
    )


def row(config: TrainConfig, step: int, metrics: Any, seconds: float) -> dict[str, Any]:
    """A row of `metrics.jsonl`, of metrics `[steps]` that took so many seconds."""
    values: dict[str, Any] = {"step": step, "loss": float(np.mean(metrics.loss, dtype=np.float64))}
    if metrics.accuracy is not None:
        values["accuracy"] = float(np.mean(metrics.accuracy, dtype=np.float64))
    tasks = len(metrics.loss) * config.meta_batch_size
    return {**values, "seconds": round(seconds, 3), "tasks_per_second": round(tasks / seconds, 1)}
