"""The training loop of a run folder: pieces of compiled outer steps, rows, validations, checkpoints."""

import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.sharding import Mesh

from jmeta import sharding, training
from jmeta.runs import build, checkpoints, devices, folder, learners, processes, record, rounds
from jmeta.runs.checkpoints import Checkpoints
from jmeta.runs.config import TrainConfig, check, default_run_dir, from_dict, is_group, normalise, to_dict
from jmeta.errors import DivergedError, RunError
from jmeta.runs.problems import Problem, load_problem
from jmeta.runs.progress import Report, silent
from jmeta.runs.signals import Stop
from jmeta.training import TrainState


class TrainResult(NamedTuple):
    """What a training run ended with.

    Attributes:
        config: the settings, with everything filled in.
        run_dir: the run folder.
        params: the parameters at the last step.
        step: the last step.
        stopped_by: the signal that stopped it, or None if it is finished.
        rows: the rows of `metrics.jsonl`; none in processes other than the first.
    """

    config: TrainConfig
    run_dir: Path
    params: Any
    step: int
    stopped_by: int | None
    rows: list[dict[str, Any]]


class _Run(NamedTuple):
    """The compiled parts and the files of a run; the latter are there in the first process alone."""

    config: TrainConfig
    mesh: Mesh | None
    advance: Callable[[TrainState, int], tuple[TrainState, Any]]
    validate: Callable[[Any], dict[str, float]]
    metrics: Path
    checkpoints: Checkpoints | None
    report: Report
    stop: Stop
    save_due: Callable[[], bool]


def train(
    config: TrainConfig,
    *,
    report: Report = silent,
    stop: Stop = lambda: None,
    save_seconds: float | None = None,
) -> TrainResult:
    """Train, or go on training, in a run folder.

    In several processes, started with the same settings, the first keeps the folder and reports. What fails in one of
    them fails in all, and a signal to one stops all.

    Args:
        config: the settings.
        report: told of every piece and every row.
        stop: asked after each piece; a signal's number makes it save and return.
        save_seconds: save after so many seconds too, without a validation.

    Returns:
        The parameters at the end, and how it ended.

    Raises:
        RunError: for settings that make no sense, devices or processes that can't be had, a run folder that belongs to
            another run, a damaged checkpoint, or, as DivergedError, training that has diverged.
        DataError: for data that are missing or damaged.
        OSError: if the run folder can't be written to.
    """
    processes.join(processes.check_place(config.coordinator, config.num_processes, config.process_id))
    config = processes.same_settings(normalise(config))
    check(config)
    if is_group(config):
        raise RunError("seeds and sweep are settings of several runs: train them by jmeta.runs.train_group.")
    settled = processes.on_first(lambda: to_dict(record.settle(config, build.chunk_size)))
    config = processes.own_places(from_dict(processes.said_by_first(settled)), config)
    problem = processes.together(load_problem, config)
    sample, validation = processes.together(rounds.samplers, config, problem)
    run_dir = Path(config.run_dir or default_run_dir(config))
    learner = learners.training_learner(config, problem.train_classes)
    optimizer = build.outer_optimizer(config)
    sample_x = build.sample_input(config, problem.input_shape)

    def start() -> TrainState:
        return training.init_state(learner, optimizer, jax.random.key(config.seed), sample_x)

    size = build.parameter_count(jax.eval_shape(start).params)
    with ExitStack() as stack:
        kept = processes.on_first(_opened, stack, run_dir, config, problem, size)
        mesh = devices.mesh_of(config)
        processes.meet(mesh)
        advance = training.make_run(
            learner,
            optimizer,
            sample,
            meta_batch_size=config.meta_batch_size,
            chunk_size=devices.tasks_at_once(config),
            mesh=mesh,
        )
        validate = rounds.validator(config, validation)
        report = report if processes.is_first() else silent
        metrics, stop = run_dir / folder.METRICS, processes.agreed(stop)
        run = _Run(config, mesh, advance, validate, metrics, kept, report, stop, _alarm(save_seconds))
        state, stopped_by = _loop(run, _first_state(run, start))
    state = _own(run, state)
    rows = folder.read_rows(run.metrics) if processes.is_first() else []
    return TrainResult(config, run_dir, state.params, int(state.step), stopped_by, rows)


def _opened(stack: ExitStack, run_dir: Path, config: TrainConfig, problem: Problem, parameters: int) -> Checkpoints:
    record.open_folder(run_dir, config, problem, parameters)
    return stack.enter_context(checkpoints.opened(run_dir / folder.CHECKPOINTS))


def _alarm(seconds: float | None) -> Callable[[], bool]:
    """Whether so many seconds are over since it last said so; never for None."""
    last = time.monotonic()

    def due() -> bool:
        nonlocal last
        if seconds is None or time.monotonic() - last < seconds:
            return False
        last = time.monotonic()
        return True

    return due


def _own(run: _Run, state: TrainState) -> TrainState:
    """The state on one device of this process, for all that isn't training."""
    return state if run.mesh is None else sharding.local(state)


def _first_state(run: _Run, start: Callable[[], TrainState]) -> TrainState:
    like = jax.eval_shape(start)
    found = processes.on_first(_restored, run, like)
    # Sent, as the folder need not be on a file system that all processes see.
    fresh = processes.said_by_first(found is None)
    state = jax.jit(start)() if fresh else processes.from_first(found, like)
    return state if run.mesh is None else sharding.replicate(state, run.mesh)


def _restored(run: _Run, like: TrainState) -> TrainState | None:
    """The state of the newest checkpoint, if there is one."""
    kept = _files_of(run)
    step = checkpoints.newest(kept)
    folder.cut_rows(run.metrics, step or 0)
    if step is None:
        return None
    state = checkpoints.restore(kept, step, like)
    run.report.note(
        f"step {step} of {run.config.outer_steps}: "
        + ("nothing is left to do." if step >= run.config.outer_steps else "going on from its checkpoint.")
    )
    return state


def _files_of(run: _Run) -> Checkpoints:
    assert run.checkpoints is not None, "only the first process has checkpoints"
    return run.checkpoints


def _loop(run: _Run, state: TrainState) -> tuple[TrainState, int | None]:
    """Rounds of `log_every` steps until the end; a round that was stopped is taken again after `--resume`."""
    step = int(_own(run, state).step)
    compiling = rounds.compiled(run.config, run.advance, state) if step < run.config.outer_steps else {}
    while step < run.config.outer_steps:
        began = time.perf_counter()
        after, result = _round(run, state, step)
        if after is None:
            processes.on_first(_keep_unfinished, run, state)
            return state, result
        state, step = after, int(_own(run, after).step)
        processes.on_first(_keep, run, state, result, time.perf_counter() - began, compiling)
        compiling = {}
    return state, None


def _keep_unfinished(run: _Run, state: TrainState) -> None:
    own, kept = _own(run, state), _files_of(run)
    if int(own.step) and int(own.step) != checkpoints.newest(kept):
        checkpoints.save(kept, own, None)


def _keep(run: _Run, state: TrainState, metrics: Any, seconds: float, compiling: dict[str, float]) -> None:
    """Write the row of a round and, where one is due, validate and save a checkpoint."""
    own = _own(run, state)
    step = int(own.step)
    row = rounds.row(run.config, step, metrics, seconds) | compiling
    validates = rounds.saves(run.config, step)
    saves = run.save_due() or validates
    if saves:
        _refuse_nan(run, step, optax.tree.norm(own.params))
    if validates:
        row |= run.validate(own.params)
    folder.append_row(run.metrics, row)
    if saves:
        checkpoints.save(_files_of(run), own, rounds.score(row) if validates else None)
    run.report.row(row)


def _round(run: _Run, state: TrainState, step: int) -> tuple[TrainState | None, Any]:
    """`rounds.take`, which stops at once where the loss is no longer finite."""
    return rounds.take(
        run.config, run.advance, run.stop, lambda end, metrics: _check_piece(run, end, metrics), state, step
    )


def _check_piece(run: _Run, end: int, metrics: Any) -> None:
    loss = np.asarray(metrics.loss)
    bad = np.flatnonzero(~np.isfinite(loss))
    if len(bad):
        _diverged(run, end - len(loss) + int(bad[0]) + 1)
    run.report.piece(end, float(loss[-1]))


def _refuse_nan(run: _Run, step: int, norm: Any) -> None:
    if not math.isfinite(float(norm)):
        _diverged(run, step)


def _diverged(run: _Run, step: int) -> None:
    last = None if run.checkpoints is None else checkpoints.newest(run.checkpoints)
    kept = "there is no checkpoint yet" if last is None else f"the checkpoint of step {last} is kept"
    raise DivergedError(
        f"training has diverged: the loss or the parameters are no longer finite at step {step}; {kept}: "
        "try a smaller --inner-lr or --outer-lr in another --run-dir."
    )
