"""The driver's side of the pipe: workers are started, asked, and timed in alternation."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.results import Comparison, Rate, Timing
from benchmarks.workloads import IMPLEMENTATIONS, JMETA, RATES, Implementation, Workload, why_not

ROOT = Path(__file__).parents[1]
Say = Callable[[str], None]


class WorkerError(RuntimeError):
    """A worker that could not do what it was asked, or that is no more; the message is one sentence."""


class Worker(NamedTuple):
    """A process that is asked through a pipe.

    Attributes:
        name: of its implementation.
        process: with text pipes.
        log: where its standard error goes.
        started: when, in seconds of `time.time`.
    """

    name: str
    process: subprocess.Popen[str]
    log: Path
    started: float


class Plan(NamedTuple):
    """How implementations are compared.

    Attributes:
        pythons: the Python of each implementation that can run here.
        rounds: how often each is timed.
        seconds: that a round should take.
        losses: outer steps whose losses are compared.
        patience: seconds after the first step in which they are taken, and the longest step that is waited for.
        exact: whether they are compared in float64 too, at the fewest tasks.
        request: what all workers are told, beside the workload.
        folder: for the workers' files.
        say: told what goes on.
    """

    pythons: Mapping[str, str]
    rounds: int
    seconds: float
    losses: int
    patience: float
    exact: bool
    request: Mapping[str, Any]
    folder: Path
    say: Say


@contextmanager
def worker(name: str, module: str, python: str, folder: Path, **environment: str) -> Iterator[Worker]:
    """A worker that is ended when the block is left.

    Args:
        name: of its implementation.
        module: to run, such as `benchmarks.workers.with_jmeta`.
        python: the interpreter.
        folder: for its log.
        **environment: variables for it alone.
    """
    log = folder / f"{name}.log"
    # Programs that an earlier process has kept would make the time to compile a time to read.
    left_out = ("JAX_COMPILATION_CACHE_DIR",)
    inherited = {key: value for key, value in os.environ.items() if key not in left_out}
    paths = [str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])]
    settings = {
        "PYTHONPATH": os.pathsep.join(paths),
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # several processes share one GPU
        **environment,
    }
    with log.open("w") as errors:
        process = subprocess.Popen(
            [python, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**inherited, **settings},
        )
        try:
            yield Worker(name, process, log, time.time())
        finally:
            process.kill()
            process.communicate()


def ask(worker: Worker, do: str, **request: Any) -> dict[str, Any]:
    """Send a request and wait for its reply.

    Raises:
        WorkerError: if the worker failed or has ended.
    """
    assert worker.process.stdin is not None and worker.process.stdout is not None
    try:
        worker.process.stdin.write(json.dumps({"do": do, **request}) + "\n")
        worker.process.stdin.flush()
        line = worker.process.stdout.readline()
    except BrokenPipeError:
        line = ""
    if not line:
        code = worker.process.wait()
        why = "was killed, perhaps for want of memory" if code == -9 else f"ended with code {code}"
        raise WorkerError(f"the process of {worker.name} {why}{_last_line(worker.log)}")
    reply = json.loads(line)
    if "error" in reply:
        raise WorkerError(f"{worker.name} failed: {reply['error']}")
    return reply


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return f": {lines[-1].strip()}" if lines else ""


def alternate(workers: Sequence[Worker], steps: Mapping[str, int], rounds: int) -> dict[str, list[float]]:
    """Time each worker once a round: A B C A B C ...

    Args:
        workers: who is timed.
        steps: how many steps each takes in a round.
        rounds: how many rounds.

    Returns:
        The seconds of each round, for each worker.
    """
    seconds: dict[str, list[float]] = {w.name: [] for w in workers}
    for _ in range(rounds):
        for w in workers:
            seconds[w.name].append(ask(w, "time", steps=steps[w.name])["seconds"])
    return seconds


def steps_for(step_seconds: float, seconds: float) -> int:
    """How many steps take about so many seconds; at least one.

    >>> steps_for(0.25, 1.5), steps_for(8.0, 1.5)
    (6, 1)
    """
    return max(1, round(seconds / max(step_seconds, 1e-7)))


def calibrate(worker: Worker, step_seconds: float, seconds: float) -> int:
    """Steps that take about so many seconds, tried out, so that nothing is new to the worker when it is timed."""
    steps = steps_for(step_seconds, seconds)
    for _ in range(4):
        taken = ask(worker, "time", steps=steps)["seconds"]
        again = steps_for(taken / steps, seconds)
        if steps == again or 0.6 < taken / seconds < 1.7:
            return steps
        steps = again
    return steps


def compare(workload: Workload, tasks: int, plan: Plan, smaller: Comparison | None = None) -> Comparison:
    """Time all implementations of a workload.

    Args:
        workload: what is computed.
        tasks: of an outer step.
        plan: who computes it, and how it is timed.
        smaller: the same at fewer tasks, to foresee what would take too long or too much memory.

    Raises:
        WorkerError: if jmeta, which all others are compared with, can't be timed.
    """
    name = f"{workload.name}-{tasks}"
    folder = plan.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    request = {**plan.request, "workload": workload._asdict(), "tasks": tasks, "path": str(folder / "meta-batches.npz")}
    request |= {"losses": plan.losses, "patience": plan.patience, "dtype": "float32"}
    plan.say(f"{name}: drawing meta-batches")
    with worker("draw", "benchmarks.workers.draw", plan.pythons[JMETA], folder, JAX_PLATFORMS="cpu") as drawer:
        source = ask(drawer, "draw", **request)["source"]
    exact = float64_losses(workload, request, plan, folder) if plan.exact and smaller is None else {}
    left_out: dict[str, str] = {}
    with ExitStack() as stack:
        ready: dict[str, tuple[Worker, dict[str, Any], int]] = {}
        for implementation in (*IMPLEMENTATIONS.values(), *RATES.values()):
            if implementation.name not in plan.pythons:
                continue
            reason = why_not(implementation.name, workload) or foresee(implementation.name, smaller, tasks, plan)
            if reason is None:
                plan.say(f"{name}: preparing {implementation.title}")
                try:
                    ready[implementation.name] = _prepare(stack, implementation, request, plan, folder)
                    reason = _elsewhere(ready, implementation.name)
                except WorkerError as error:
                    if implementation.name == JMETA:
                        raise
                    reason = str(error)
            if reason is not None:
                left_out[implementation.name] = reason
                if implementation.name in ready:
                    ready.pop(implementation.name)[0].process.kill()
        workers = [w for w, _, _ in ready.values()]
        steps = {key: n for key, (_, _, n) in ready.items()}
        plan.say(f"{name}: {plan.rounds} rounds of {', '.join(steps)}")
        seconds = alternate(workers, steps, plan.rounds)
        memory = {w.name: ask(w, "memory") for w in workers}
        counted = _operations(ready[JMETA][0])
    timings = {
        key: Timing(
            steps=steps[key],
            seconds=tuple(seconds[key]),
            compile_seconds=reply["compile_seconds"],
            start_seconds=reply["first_step_at"] - w.started,
            losses=tuple(reply["losses"]),
            about=reply["about"],
            **memory[key],
        )
        for key, (w, reply, _) in ready.items()
        if key not in RATES
    }
    size = int(plan.request["size"])
    rates = {key: Rate(size=size, steps=steps[key], seconds=tuple(seconds[key])) for key in ready if key in RATES}
    return Comparison(workload.name, tasks, source, timings, rates, left_out, counted, exact)


def float64_losses(
    workload: Workload, request: dict[str, Any], plan: Plan, folder: Path
) -> dict[str, tuple[float, ...]]:
    """The first losses of each implementation that sees the same data, computed in float64."""
    losses = {}
    for implementation in IMPLEMENTATIONS.values():
        name = implementation.name
        if name not in plan.pythons or implementation.own_data or why_not(name, workload):
            continue
        plan.say(f"{folder.name}: the losses of {implementation.title} in float64")
        module = f"benchmarks.workers.{implementation.worker}"
        with worker(name, module, plan.pythons[name], folder) as w:
            try:
                reply = ask(w, "prepare", **{**request, "dtype": "float64"}, implementation=name)
            except WorkerError as error:
                plan.say(str(error))
                continue
            losses[name] = tuple(reply["losses"])
    return losses if JMETA in losses else {}


def _prepare(
    stack: ExitStack, implementation: Implementation, request: dict[str, Any], plan: Plan, folder: Path
) -> tuple[Worker, dict[str, Any], int]:
    module, python = f"benchmarks.workers.{implementation.worker}", plan.pythons[implementation.name]
    started = stack.enter_context(worker(implementation.name, module, python, folder))
    reply = ask(started, "prepare", **request, implementation=implementation.name)
    return started, reply, calibrate(started, reply["step_seconds"], plan.seconds)


def _operations(worker: Worker) -> int | None:
    """Of jmeta's program, where they can be counted: a figure beside the others, which another JAX may write in another
    way."""
    try:
        return ask(worker, "operations")["operations"]
    except WorkerError:
        return None


def _elsewhere(ready: Mapping[str, tuple[Worker, dict[str, Any], int]], name: str) -> str | None:
    """Why it can't be compared: it runs on another kind of device than jmeta."""
    here, there = (ready[n][1]["about"]["platform"] for n in (JMETA, name))
    return None if here == there else f"it runs on the {there} and jmeta on the {here}"


def foresee(name: str, smaller: Comparison | None, tasks: int, plan: Plan) -> str | None:
    """Why an implementation is not tried at this many tasks, going by what it took at fewer; None if it is."""
    if smaller is None or name in RATES:
        return None
    if name in smaller.left_out:
        return smaller.left_out[name] if "would" in smaller.left_out[name] else None
    timing, growth = smaller.timings[name], tasks / smaller.tasks
    seconds = growth * min(timing.seconds) / timing.steps
    if name != JMETA and seconds > plan.patience:
        return f"a step would take {seconds:.0f} s"
    room = available_bytes()
    needed = growth * (timing.peak_bytes - timing.before_bytes) + timing.before_bytes
    # jmeta, in single steps and in a whole run, goes through a step's tasks in chunks, whose memory does not grow.
    if not name.startswith(JMETA) and timing.device_bytes is None and room is not None and needed > room:
        return f"it would need {needed / 2**30:.0f} GiB of memory, and there are {room / 2**30:.0f}"
    return None


def available_bytes() -> int | None:
    """Memory that is free for new processes; None where the system does not say."""
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    lines = [line.split() for line in info.read_text().splitlines() if line.startswith("MemAvailable:")]
    return int(lines[0][1]) * 1024 if lines else None
