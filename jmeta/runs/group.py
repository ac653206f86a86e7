"""Many runs in one program: every seed and every swept rate, each in a run folder of its own."""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.sharding import Mesh

from jmeta import sharding, training
from jmeta.runs import build, checkpoints, devices, folder, learners, record, rounds, seeds
from jmeta.runs.checkpoints import Checkpoints
from jmeta.runs.config import TrainConfig, check, default_run_dir, is_group, members, normalise, swept
from jmeta.errors import RunError
from jmeta.runs.problems import load_problem
from jmeta.runs.progress import Report, silent
from jmeta.runs.signals import Stop
from jmeta.training import TrainState

Diverged = Mapping[str, int]
"""The step at which a member's loss or parameters were no longer finite, by its name."""


class GroupResult(NamedTuple):
    """What training a group of runs ended with.

    Attributes:
        config: the settings, with everything filled in.
        run_dir: the folder that has the members' run folders in it.
        step: the last step.
        stopped_by: the signal that stopped it, or None if it is finished.
        summary: what `summary.json` holds; empty before the first validation.
    """

    config: TrainConfig
    run_dir: Path
    step: int
    stopped_by: int | None
    summary: dict[str, Any]


class _Member(NamedTuple):
    """One of the runs, and what it keeps."""

    name: str
    config: TrainConfig
    metrics: Path
    checkpoints: Checkpoints
    validate: Callable[[Any], dict[str, float]]


class _Group(NamedTuple):
    """The compiled parts and the files of all runs; states have a leading axis of members."""

    config: TrainConfig
    run_dir: Path
    members: list[_Member]
    mesh: Mesh | None
    advance: Callable[[TrainState, int], tuple[TrainState, Any]]
    report: Report
    stop: Stop


def train_group(config: TrainConfig, *, report: Report = silent, stop: Stop = lambda: None) -> GroupResult:
    """Train, or go on training, all seeds and swept rates of the settings, as one program.

    Each has a run folder in the run folder, as its single run would have. One that diverges keeps its last checkpoint
    and is left out of the means; the others go on. All are saved at the same steps.

    Args:
        config: the settings, with `seeds` or `sweep`.
        report: told of every piece and every row, of means over the members.
        stop: asked after each piece; a signal's number makes it save and return.

    Returns:
        How it ended.

    Raises:
        RunError: for settings that make no sense, several processes, a folder that belongs to others, a damaged
            checkpoint, or if all have diverged.
        DataError: for data that are missing or damaged.
        OSError: if a run folder can't be written to.
    """
    config = normalise(config)
    check(config)
    if not is_group(config):
        raise RunError("neither seeds nor sweep is set: train a single run by jmeta.runs.train.")
    if jax.process_count() > 1:
        raise RunError("--seeds and --sweep are for a single process: start one alone, by --num-processes 1.")
    config = record.settle(config, build.chunk_size)
    problem = load_problem(config)
    sample, validation = rounds.samplers(config, problem)
    run_dir = Path(config.run_dir or default_run_dir(config))
    each = {
        name: dataclasses.replace(own, run_dir=str(run_dir / name), resume=config.resume)
        for name, own in members(config).items()
    }
    rates = {name: jnp.array([getattr(own, name) for own in each.values()], jnp.float32) for name in swept(config)}
    sample_x = build.sample_input(config, problem.input_shape)

    def parts(rates: Mapping[str, Any]) -> tuple[Any, optax.GradientTransformation]:
        own = dataclasses.replace(config, **rates)
        return learners.training_learner(own, problem.train_classes), build.outer_optimizer(own)

    def start(key: Array, rates: Mapping[str, Any]) -> TrainState:
        return training.init_state(*parts(rates), key, sample_x)

    keys = jnp.stack([jax.random.key(own.seed) for own in each.values()])
    starts = functools.partial(jax.jit(training.one_by_one(start)), keys, rates)
    size = build.parameter_count(jax.eval_shape(lambda: jax.tree.map(lambda a: a[0], starts())).params)
    validators = {
        rate: rounds.validator(own, validation) for rate, own in {c.inner_lr: c for c in each.values()}.items()
    }
    record.open_group(run_dir, config)
    with ExitStack() as stack:
        found = []
        for name, own in each.items():
            record.open_folder(run_dir / name, own, problem, size)
            kept = stack.enter_context(checkpoints.opened(run_dir / name / folder.CHECKPOINTS, newest_kept=2))
            found.append(_Member(name, own, run_dir / name / folder.METRICS, kept, validators[own.inner_lr]))
        mesh = devices.mesh_of(config)
        run = training.make_runs(
            parts,
            sample,
            meta_batch_size=config.meta_batch_size,
            chunk_size=devices.tasks_at_once(config),
            mesh=mesh,
            over=build.over_runs(),
        )
        group = _Group(config, run_dir, found, mesh, lambda states, n: run(states, rates, n), report, stop)
        diverged = _known_to_diverge(group)
        step, stopped_by = _loop(group, _first_states(group, starts, diverged), diverged)
    return GroupResult(config, run_dir, step, stopped_by, _summary(group))


def _summary(group: _Group) -> dict[str, Any]:
    path = group.run_dir / folder.SUMMARY
    return folder.read_json(path) if path.exists() else {}


def _known_to_diverge(group: _Group) -> Diverged:
    known = _summary(group).get("members", {})
    return {name: own["diverged_at"] for name, own in known.items() if "diverged_at" in own}


def _alive(group: _Group, diverged: Diverged) -> list[tuple[int, _Member]]:
    return [(i, member) for i, member in enumerate(group.members) if member.name not in diverged]


def _first_states(group: _Group, starts: Callable[[], TrainState], diverged: Diverged) -> TrainState:
    """The states of the newest step that all members have a checkpoint of, or the initial ones."""
    states = starts()
    alive = _alive(group, diverged)
    step = _common_step(group, alive)
    for _, member in alive:
        checkpoints.remove_after(member.checkpoints, step)
        checkpoints.prune(member.checkpoints)
        folder.cut_rows(member.metrics, step)
    if step:
        group.report.note(
            f"step {step} of {group.config.outer_steps}: "
            + ("nothing is left to do." if step >= group.config.outer_steps else "going on from its checkpoints.")
        )
        each = [jax.tree.map(lambda a, i=i: a[i], states) for i in range(len(group.members))]
        for i, member in alive:
            each[i] = checkpoints.restore(member.checkpoints, step, each[i])
        states = jax.tree.map(lambda *a: jnp.stack(a), *each)
    return states if group.mesh is None else sharding.replicate(states, group.mesh)


def _common_step(group: _Group, alive: list[tuple[int, _Member]]) -> int:
    """The newest step that all have a checkpoint of; 0 where a kill came before all had their first.

    Raises:
        RunError: if there is none.
    """
    steps = {member.name: checkpoints.steps(member.checkpoints) for _, member in alive}
    common = set.intersection(*(set(own) for own in steps.values())) if steps else set()
    if common:
        return max(common)
    latest = max((max(own, default=0) for own in steps.values()), default=0)
    if latest <= group.config.save_every and not all(steps.values()):
        return 0
    where = "; ".join(f"{name}: {', '.join(map(str, own)) or 'none'}" for name, own in steps.items())
    raise RunError(
        f"the members of {group.run_dir} have no checkpoint of the same step ({where}): "
        "go on with each by itself, by --resume and its own --run-dir."
    )


def _loop(group: _Group, states: TrainState, diverged: Diverged) -> tuple[int, int | None]:
    """Rounds of `log_every` steps until the end; a round that was stopped is taken again after `--resume`."""
    step = _step_of(group, states, diverged)
    compiling = rounds.compiled(group.config, group.advance, states) if step < group.config.outer_steps else {}
    while step < group.config.outer_steps:
        began = time.perf_counter()
        after, result = _round(group, states, step)
        if after is None:
            _keep_unfinished(group, states, step, diverged)
            return step, result
        states, step = after, _step_of(group, after, diverged)
        diverged = _keep(group, states, step, (result, time.perf_counter() - began, compiling), diverged)
        compiling = {}
    return step, None


def _step_of(group: _Group, states: TrainState, diverged: Diverged) -> int:
    alive = _alive(group, diverged)
    if not alive:
        raise _all_diverged(group, diverged)
    return int(_own(group, states).step[alive[0][0]])


def _round(group: _Group, states: TrainState, step: int) -> tuple[TrainState | None, Any]:
    def look(end: int, metrics: Any) -> None:
        last = np.asarray(metrics.loss)[:, -1]
        group.report.piece(end, float(np.mean(last[np.isfinite(last)])) if np.isfinite(last).any() else math.nan)

    return rounds.take(group.config, group.advance, group.stop, look, states, step)


def _own(group: _Group, states: TrainState) -> TrainState:
    """The states on one device, for all that isn't training."""
    return states if group.mesh is None else sharding.local(states)


def _keep_unfinished(group: _Group, states: TrainState, step: int, diverged: Diverged) -> None:
    alive = _alive(group, diverged)
    own = _own(group, states)
    for i, member in alive:
        if step and step not in checkpoints.steps(member.checkpoints):
            checkpoints.save(member.checkpoints, jax.tree.map(lambda a, i=i: a[i], own), None)
    for _, member in alive:
        checkpoints.prune(member.checkpoints)


def _keep(
    group: _Group,
    states: TrainState,
    step: int,
    measured: tuple[Any, float, dict[str, float]],
    diverged: Diverged,
) -> dict[str, int]:
    """Write the rows of a round and, where they are due, validate and save; returns who has diverged by now.

    What was measured are metrics, seconds, and what compiling took before.

    Who has is written first: without a checkpoint of this step, a member must be known to be out of it.
    """
    (metrics, seconds, compiling), own, found, rows = measured, _own(group, states), dict(diverged), {}
    saves = rounds.saves(group.config, step)
    for i, member in _alive(group, diverged):
        of_member = jax.tree.map(lambda a, i=i: a[i], metrics)
        bad = np.flatnonzero(~np.isfinite(of_member.loss))
        if len(bad):
            found[member.name] = step - len(of_member.loss) + int(bad[0]) + 1
            continue
        row = rounds.row(member.config, step, of_member, seconds) | compiling
        if saves:
            params = jax.tree.map(lambda a, i=i: a[i], own.params)
            if not math.isfinite(float(optax.tree.norm(params))):
                found[member.name] = step
                continue
            row |= member.validate(params)
        rows[member.name] = row
    for name in found.keys() - diverged.keys():
        group.report.note(f"{name} has diverged at step {found[name]}: it keeps its last checkpoint, the others go on.")
    if saves or found.keys() != diverged.keys():
        _write_summary(group, step, rows, found)
    if not rows:
        raise _all_diverged(group, found)
    _write(group, own, rows, _alive(group, found), saves)
    group.report.row(_mean_row(list(rows.values())))
    return found


def _write(
    group: _Group, own: TrainState, rows: Mapping[str, Any], alive: list[tuple[int, _Member]], saves: bool
) -> None:
    for _, member in alive:
        folder.append_row(member.metrics, rows[member.name])
    if saves:
        for i, member in alive:
            state = jax.tree.map(lambda a, i=i: a[i], own)
            checkpoints.save(member.checkpoints, state, rounds.score(rows[member.name]))
        # Not before all are saved: a kill in between then leaves a step that all have.
        for _, member in alive:
            checkpoints.prune(member.checkpoints)


def _write_summary(group: _Group, step: int, rows: Mapping[str, Any], diverged: Diverged) -> None:
    name = f"val_{rounds.measured(group.config)[0]}"
    before = _summary(group)
    validated = {member: row for member, row in rows.items() if name in row}
    latest = validated or {member: own for member, own in before.get("members", {}).items() if name in own}
    found: dict[str, Any] = {m: {name: own[name], "val_ci95": own["val_ci95"]} for m, own in latest.items()}
    found |= {member: {"diverged_at": at} for member, at in diverged.items()}
    at = {"step": step if validated else before.get("step", 0)}
    folder.write_json(group.run_dir / folder.SUMMARY, {**at, **seeds.summary(group.config, name, found)})


def _mean_row(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What is shown of all members: their means, and the tasks of all."""
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return {**means, "step": rows[0]["step"], "tasks_per_second": sum(row["tasks_per_second"] for row in rows)}


def _all_diverged(group: _Group, diverged: Diverged) -> RunError:
    return RunError(
        f"training has diverged in all {len(group.members)} runs, by step {max(diverged.values())}: "
        "try smaller rates in another --run-dir."
    )
