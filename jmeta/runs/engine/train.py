"""Training of any experiment in a run folder: one run, or every seed and swept value of a group, in one program."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jmeta import sharding
from jmeta.errors import DivergedError, RunError, kind_and_line
from jmeta.experiment import Build, Experiment
from jmeta.runs.engine import checkpoints, devices, events, folder, keeping, members, processes, programs, record
from jmeta.runs.engine.checkpoints import Checkpoints
from jmeta.runs.engine.devices import check_memory, enough_memory
from jmeta.runs.engine.options import Options
from jmeta.runs.engine.progress import Report, silent
from jmeta.runs.engine.run import Diverged, Run, alarm, alive, first_states, member_of, own_copy, shared, take
from jmeta.runs.engine.signals import Stop
from jmeta.settings import check, flag, names, replaced, to_dict


class Result(NamedTuple):
    """What training ended with.

    Attributes:
        run_dir: the run folder, or that of a group with the members' run folders in it.
        step: the last one.
        stopped_by: the signal that stopped it, or None if it is finished.
        states: the last state of each member, by its name; of a single run under the name "".
        rows: the rows of `metrics.jsonl` of a single run, in the first process.
        summary: what `summary.json` of a group holds; empty before the first validation.
    """

    run_dir: Path
    step: int
    stopped_by: int | None
    states: dict[str, Any]
    rows: list[dict[str, Any]]
    summary: dict[str, Any]

    @property
    def params(self) -> Any:
        """Of a single run, the parameters at the last step."""
        return self.states[""].params


def train(
    build: Build,
    settings: Any,
    options: Options,
    *,
    kind: str,
    report: Report = silent,
    stop: Stop = lambda: None,
    save_seconds: float | None = None,
) -> Result:
    """Train, or go on training, in a run folder.

    With `seeds` or `sweep`, all runs of the group are one program. Each has a run folder in the run folder, as its
    single run would have. One that diverges keeps its last checkpoint and is left out of the means; the others go on.

    In several processes, started with the same settings, the first keeps the folder and reports. What fails in one of
    them fails in all, and a signal to one stops all.

    Args:
        build: `settings -> Experiment`.
        settings: nested dataclasses, see `jmeta.settings`.
        options: with a run folder.
        kind: the name of what `build` builds, for the record.
        report: told of every piece and every row; of a group, of means over the members.
        stop: asked after each piece; a signal's number makes it save and return.
        save_seconds: save after so many seconds too, without a validation.

    Raises:
        RunError: for settings that make no sense, devices or processes that can't be had, a run folder that belongs to
            another run, a damaged checkpoint, data that are missing, or, as DivergedError, training that has diverged.
        OSError: if the run folder can't be written to.
    """
    for part in (settings, options):
        check(part)
    members.check(settings, options)
    if options.tensorboard:
        events.check()
    if options.run_dir is None:
        raise RunError("training needs a run folder: give --run-dir.")
    checkpoints.check_path(Path(options.run_dir))
    processes.join(processes.check_place(options.meeting))
    settings, options = processes.same_settings(settings, options)
    if members.is_group(options) and jax.process_count() > 1:
        raise RunError("--seeds and --sweep are for a single process: start one alone, by --num-processes 1.")
    each, run_dir = members.members(settings, options), Path(str(options.run_dir))
    for own in each.values():
        check(own.settings)
    with fitting_settings():
        experiment = processes.together(build, next(iter(each.values())).settings)
    number = processes.said_by_first(processes.on_first(_devices, options, settings, experiment))
    options = replaced(options, {"devices": number})
    each = {
        name: own._replace(options=replaced(own.options, {"devices": number, "run_dir": str(run_dir / name)}))
        for name, own in each.items()
    }
    mesh = devices.mesh_of(number)
    processes.meet(mesh)
    compiled = programs.compiled(build, settings, experiment, list(each.values()), mesh)
    # What does not fit together, or into the memory, shows here, before there is a folder.
    with fitting_settings(), ThreadPoolExecutor(1) as beside:
        states = jax.eval_shape(compiled.start)
        beside.submit(compiled.early())
        held = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(states))
        check_memory(
            held, "the parameters and what the outer rule remembers", "ask for a smaller network, or fewer runs."
        )
        everywhere = states if mesh is None else sharding.replicated(states, mesh)
        processes.together(jax.eval_shape, compiled.advance, everywhere, 0)
        if (validate := compiled.validate) is not None:
            one = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape[1:], a.dtype), states.params)
            processes.together(jax.eval_shape, lambda params: validate(params, 0), one)
    told = report if processes.is_first() else silent
    run = Run(run_dir, options, experiment, each, mesh, compiled, told, processes.agreed(stop))
    before = record.going_on(options) if processes.is_first() else None
    if before is not None and (more := record.grown(settings, before.values)):
        said = " and ".join(f"{flag(name)} {before.values[name]} to {value}" for name, value in more.items())
        run.report.note(f"the run grows from {said}: rates that follow a schedule are now those of the longer run.")
    files = processes.on_first(_files, run, kind, settings)
    compiling: dict[str, float] = {}
    if processes.said_by_first(bool(files)):
        compiling = _compiled(run, shared(run, compiled.start()))
    with ExitStack() as stack:
        kept = processes.on_first(_opened, run, stack, kind, settings)
        run = run._replace(kept=kept or {}, save_due=alarm(save_seconds))
        start = first_states(run)
        run = run._replace(events=processes.on_first(_events, run, stack) or {})
        states, step, stopped_by = _loop(run, *start, compiling)
    own = own_copy(run, states)
    single = not run.group and processes.is_first()
    return Result(
        run_dir, step, stopped_by, {name: member_of(own, i) for i, name in enumerate(each)},
        folder.read_rows(run_dir / folder.METRICS) if single else [], keeping.summary(run_dir),
    )  # fmt: skip


@contextmanager
def fitting_settings() -> Iterator[None]:
    """Settings that each are right and don't fit each other, or the data, fail inside where shapes meet."""
    try:
        yield
    except RunError:
        raise
    except (ValueError, TypeError, OverflowError, ZeroDivisionError, IndexError) as error:
        raise RunError(
            f"settings, data and learner don't fit each other ({kind_and_line(error)}): change one of them."
        ) from error


def _devices(options: Options, settings: Any, experiment: Experiment) -> int:
    stored, name = record.going_on(options), experiment.tasks_setting
    before = {} if stored is None else stored.values
    kept = before.get("devices") if before.get(name) == to_dict(settings).get(name) else None
    return devices.number_of(options.devices, experiment.tasks, named=flag(name), light=experiment.light, kept=kept)


def _files(run: Run, kind: str, settings: Any) -> record.Files:
    """What the run folder needs, or nothing where the run goes on."""
    leaves = jax.tree.leaves(jax.eval_shape(run.programs.start).params)
    facts = {**run.experiment.facts, "parameters": sum(leaf.size for leaf in leaves) // len(run.members)}
    facts["steps"] = run.experiment.steps
    files = record.for_group(run.run_dir, kind, settings, run.options, list(run.members)) if run.group else {}
    for name, own in run.members.items():
        files |= record.for_run(run.run_dir / name, kind, own, facts)
    return files


def _opened(run: Run, stack: ExitStack, kind: str, settings: Any) -> dict[str, Checkpoints]:
    stack.enter_context(folder.written_here(run.run_dir))
    files = _files(run, kind, settings)  # again, now that nobody else writes there
    for name in run.members if run.group else ():
        stack.enter_context(folder.written_here(run.run_dir / name))
    record.make(files)
    return {
        name: stack.enter_context(
            checkpoints.opened(
                run.run_dir / name / folder.CHECKPOINTS,
                of=record.decisive(own.settings, own.options),
                every=own.options.save_every,
            )
        )
        for name, own in run.members.items()
    }


def _events(run: Run, stack: ExitStack) -> dict[str, Callable[[Mapping[str, Any]], None]]:
    """Of each member, once the rows are cut that a resumed run writes again."""
    each = run.members if run.options.tensorboard else {}
    return {name: stack.enter_context(events.opened(run.run_dir / name)) for name in each}


def _loop(run: Run, states: Any, diverged: Diverged, compiling: dict[str, float]) -> tuple[Any, int, int | None]:
    """Rounds of `log_every` steps until the end; a round that was stopped is taken again after `--resume`."""
    going_on, end = list(alive(run, diverged).values()), run.experiment.steps
    if not going_on:
        raise _diverged(run, diverged)
    step = int(own_copy(run, states).step[going_on[0]])
    if step < end and not compiling:
        compiling = _compiled(run, states)
    run.report.begin(step, end)
    while step < end:
        began = time.perf_counter()
        after, result = _round(run, states, step, diverged)
        if after is None:
            processes.on_first(_keep_unfinished, run, states, step, diverged)
            return states, step, result
        measured = _Measured(step, result, time.perf_counter() - began, compiling)
        states, step = after, min(step + run.options.log_every, end)
        found = processes.on_first(_keep, run, states, step, measured, diverged)
        diverged, compiling = processes.said_by_first(found), {}
    return states, step, None


def _compiled(run: Run, states: Any) -> dict[str, float]:
    """Compile before the first row is timed, by a piece of no steps; what that took, for the row."""
    if run.experiment.about:
        run.report.note(run.experiment.about)
    if not jax.tree.leaves(states.params):
        run.report.note("there are no parameters, so that training changes nothing: evaluate tells what it is worth.")
    began = time.perf_counter()
    with _fitting(run.experiment):
        on_cpu = jax.default_backend() == "cpu" and run.mesh is not None
        needed = run.programs.memory(states) * (len(run.mesh.local_devices) if on_cpu and run.mesh else 1)
        check_memory(needed, "the programs of training and validation", f"{run.experiment.smaller}.")
        jax.block_until_ready(run.programs.advance(states, 0))
    return {"compile_seconds": round(time.perf_counter() - began, 3)}


def _fitting(experiment: Experiment) -> AbstractContextManager[None]:
    return enough_memory(
        f"{experiment.tasks} tasks of a step don't fit into the device's memory: {experiment.smaller}."
    )


def _round(run: Run, states: Any, step: int, diverged: Diverged) -> tuple[Any, Any]:
    """`take` up to the next row, or to where none is left whose loss is finite."""
    going_on = list(alive(run, diverged).values())
    lost: set[int] = set()

    def look(end: int, metrics: Any) -> bool:
        loss = np.asarray(metrics.loss)
        lost.update(i for i in going_on if not np.isfinite(loss[i]).all())
        good = [i for i in going_on if i not in lost]
        if good:
            last = {n: np.asarray(v)[good, -1] for n, v in metrics._asdict().items() if v is not None}
            run.report.piece(end, {name: float(np.mean(values)) for name, values in last.items()})
        return bool(good)

    end = min(step + run.options.log_every, run.experiment.steps)
    with _fitting(run.experiment):
        return take(run.programs.advance, run.stop, look, states, step, end)


def _keep_unfinished(run: Run, states: Any, step: int, diverged: Diverged) -> None:
    own, going_on = own_copy(run, states), alive(run, diverged)
    new = {name: i for name, i in going_on.items() if step and step not in checkpoints.steps(run.kept[name])}
    keeping.save(run.kept, {name: member_of(own, i) for name, i in new.items()}, {}, None)


class _Measured(NamedTuple):
    """What came of a round: the step before it, metrics `[members, steps]`, seconds, and those of compiling before."""

    before: int
    metrics: Any
    seconds: float
    compiling: dict[str, float]


def _keep(run: Run, states: Any, step: int, measured: _Measured, diverged: Diverged) -> dict[str, int]:
    """Write the rows of a round and, where they are due, validate and save; returns who has diverged by now.

    Who has is written first: without a checkpoint of this step, a member must be known to be out of it.
    """
    written = (folder.CONFIG, folder.CHECKPOINTS, *([folder.METRICS] if measured.before else []))
    folder.check_there(run.run_dir / name / file for name in alive(run, diverged) for file in written)
    validates = step % run.options.save_every == 0 or step == run.experiment.steps
    saves = run.save_due() or validates
    own, found, rows = own_copy(run, states), dict(diverged), {}
    for name, i in alive(run, diverged).items():
        metrics = member_of(measured.metrics, i)
        bad = np.flatnonzero(~np.isfinite(metrics.loss))
        if len(bad):
            found[name] = measured.before + int(bad[0]) + 1
            continue
        row = keeping.row(step, metrics, measured.seconds, run.experiment.counts) | measured.compiling
        if saves:
            params = member_of(own.params, i)
            if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
                found[name] = step
                continue
            row |= keeping.validated(run.programs.validate, run.experiment.score, params, i) if validates else {}
        rows[name] = row
    new = found.keys() - diverged.keys()
    if run.group:
        for name in new:
            at = f"{name} has diverged at step {found[name]}"
            run.report.note(f"{at}: it keeps its last checkpoint, the others go on.")
        if validates or new:
            keeping.write_summary(run.run_dir, step, run.experiment.score, run.members, rows, found)
    if not rows:
        raise _diverged(run, found)
    for name, row in rows.items():
        folder.append_row(run.run_dir / name / folder.METRICS, row)
        if name in run.events:
            run.events[name](row)
    if saves:
        states_of = {name: member_of(own, i) for name, i in alive(run, found).items()}
        keeping.save(run.kept, states_of, rows, run.experiment.score if validates else None)
    run.report.row(keeping.mean_row(list(rows.values())))
    return found


def _diverged(run: Run, diverged: Diverged) -> DivergedError:
    swept = names(next(iter(run.members.values())).settings, "swept")
    rates = " or ".join(flag(name) for name in swept if name.endswith("lr")) or "rate"
    advice = f"try a smaller {rates} in another --run-dir."
    if run.group:
        return DivergedError(
            f"training has diverged in all {len(run.members)} runs, by step {max(diverged.values())}: {advice}"
        )
    last = checkpoints.newest(run.kept[""]) if run.kept else None
    kept = "there is no checkpoint yet" if last is None else f"the checkpoint of step {last} is kept"
    at = f"the loss or the parameters are no longer finite at step {diverged['']}"
    return DivergedError(f"training has diverged: {at}; {kept}: {advice}")
