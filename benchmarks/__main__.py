"""jmeta's outer step beside what one would use in its place, on this machine, in alternation.

bash benchmarks/run.sh                                    # environments, all workloads: hours on two cores
bash benchmarks/run.sh --quick                            # whether all of it works: some minutes
python -m benchmarks --workloads conv4 --tasks 32         # one workload, in an environment that has jmeta
python -m benchmarks.tables runs/benchmarks/results.json  # draw the tables again
"""

import dataclasses
import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tyro
from rich.console import Console

from benchmarks.driver import Plan, Say, WorkerError, ask, compare, worker
from benchmarks.gpu.machine import commit
from benchmarks.peers import pythons
from benchmarks.results import Comparison, Results, tasks_per_second, times_as_fast, to_json, write_text
from benchmarks.tables import left_out, markdown, number, ratio, title
from benchmarks.training_time import measure_goal, measure_start
from benchmarks.workloads import IMPLEMENTATIONS, JMETA, RATES, WORKLOADS, find


@dataclasses.dataclass(frozen=True)
class Config:
    """Time jmeta and others in alternation; results.json and table.md are written after each workload.

    `--quick` is `--tasks 4 --rounds 1 --seconds 0.2 --starts 1 --accuracy 0` to start from.

    Attributes:
        workloads: which; sinusoid, omniglot, conv4, conv4-first, 20-way, anil.
        tasks: numbers of tasks of an outer step; otherwise each workload's own, 4, 32 and 256 for most.
        peers: beside jmeta: jmeta-run, torch-vmap, torch-loop, torchopt, flax-vmap.
        rounds: how often each is timed.
        seconds: that each takes in a round, at least one step.
        losses: outer steps whose losses are compared.
        exact: compare them in float64 too, where ten steps do not magnify rounding, at the fewest tasks.
        meta_batches: how many different ones there are; all cycle through them.
        patience: seconds after the first step in which losses are compared, and the longest step that is waited for.
        size: rows of the square matrices whose product gives the limit of the machine.
        starts: cold and warm starts that are timed; 0 for none.
        accuracy: train MAML's Omniglot until this accuracy, 0.95 or on a GPU 0.98; 0 for no training.
        accuracy_steps: outer steps after which that is given up.
        chunk_size: tasks that jmeta computes at once; otherwise its own choice.
        tf32: let all of them round the factors of matrix products to TF32 on a GPU that can.
        peers_python: a Python that has PyTorch; otherwise this one if it has, or .venv-peers, which is made.
        data_dir: the folder of data sets; otherwise $JMETA_DATA. Without Omniglot in it, episodes are of glyphs.
        output: the folder of results.json and table.md.
    """

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    tasks: tuple[int, ...] | None = None
    peers: tuple[str, ...] = tuple(name for name in IMPLEMENTATIONS if name != JMETA)
    rounds: int = 5
    seconds: float = 1.5
    losses: int = 10
    exact: bool = True
    meta_batches: int = 4
    patience: float = 60.0
    size: int = 4096
    starts: int = 5
    accuracy: float = 0.95
    accuracy_steps: int = 20_000
    chunk_size: int | None = None
    tf32: bool = True
    peers_python: str | None = None
    data_dir: str | None = None
    output: str = "runs/benchmarks"


QUICK = Config(tasks=(4,), rounds=1, seconds=0.2, size=1024, starts=1, accuracy=0.0)


def check(config: Config) -> None:
    """Refuse settings that make no sense.

    Raises:
        ValueError: in one sentence.
    """
    for name in config.workloads:
        find(name)
    unknown = [name for name in config.peers if name not in IMPLEMENTATIONS or name == JMETA]
    if unknown:
        known = ", ".join(name for name in IMPLEMENTATIONS if name != JMETA)
        raise ValueError(f"there is no peer {unknown[0]!r}: choose from {known}")
    for name in ("rounds", "losses", "meta_batches", "size"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more, got {getattr(config, name)}")
    if min(config.tasks or (1,)) < 1:
        raise ValueError(f"tasks must be 1 or more, got {min(config.tasks or (1,))}")
    if not 0 <= config.accuracy <= 1:
        raise ValueError(f"accuracy must be between 0 and 1, got {config.accuracy}: 0.95 is 95 %")


def run(config: Config, say: Say, tell: Say) -> tuple[Results, list[str]]:
    """Measure what the settings ask for, and write it down after each part.

    Args:
        config: the settings.
        say: told what goes on.
        tell: told what came out.

    Returns:
        The results, and what failed.
    """
    available, unavailable = pythons(config.peers_python, say)
    wanted = {JMETA, *config.peers, *RATES}
    unavailable = {name: why for name, why in unavailable.items() if name in config.peers}
    for line in left_out(unavailable):
        tell(line)
    failed: list[str] = []
    results = Results(machine(config), unavailable=unavailable)
    with tempfile.TemporaryDirectory() as folder:
        chosen = {name: python for name, python in available.items() if name in wanted}
        with worker("draw", "benchmarks.workers.draw", chosen[JMETA], Path(folder), JAX_PLATFORMS="cpu") as w:
            data_dir = ask(w, "about", data_dir=config.data_dir)["data_dir"]
        request = {
            "data_dir": data_dir, "meta_batches": config.meta_batches, "chunk_size": config.chunk_size,
            "threads": cores(), "tf32": config.tf32, "size": config.size,
        }  # fmt: skip
        settings = (config.rounds, config.seconds, config.losses, config.patience, config.exact)
        plan = Plan(chosen, *settings, request, Path(folder), say)
        for workload in map(find, config.workloads):
            smaller: Comparison | None = None
            for tasks in sorted(config.tasks or workload.tasks):
                try:
                    smaller = compare(workload, tasks, plan, smaller)
                except WorkerError as error:
                    failed.append(f"{workload.name} at {tasks} tasks: {error}")
                    tell(failed[-1])
                    continue
                results = results._replace(comparisons=(*results.comparisons, smaller))
                write(config, with_versions(results))
                tell(line_of(smaller))
        for part, measure in parts(config, plan).items():
            try:
                results = results._replace(**{part: measure()})
                write(config, with_versions(results))
            except WorkerError as error:
                failed.append(f"{part}: {error}")
                tell(failed[-1])
    return with_versions(results), failed


def parts(config: Config, plan: Plan) -> dict[str, Any]:
    """What is measured after the comparisons, by its field of `Results`."""
    found: dict[str, Any] = {}
    if config.starts:
        found["start"] = lambda: measure_start(config.starts, plan)
    if config.accuracy:
        found["goal"] = lambda: measure_goal(WORKLOADS["omniglot"], 32, config.accuracy, config.accuracy_steps, plan)
    return found


def write(config: Config, results: Results) -> None:
    """results.json and table.md, each whole or not at all."""
    folder = Path(config.output)
    write_text(folder / "results.json", to_json(results))
    write_text(folder / "table.md", markdown(results))


def line_of(c: Comparison) -> str:
    """A comparison in a line."""
    others = ", ".join(f"{title(name)} {ratio(times_as_fast(c, name))}" for name in c.timings if name != JMETA)
    return f"{c.workload}, {c.tasks} tasks: jmeta {number(tasks_per_second(c, JMETA))} tasks/s; {others}"


def machine(config: Config) -> dict[str, Any]:
    """What can be said of this machine before anything has run."""
    kept = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("peers_python", "data_dir", "output")}
    return {
        "device": processor(),
        "cores": cores(),
        "versions": {"python": platform.python_version()},
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "settings": kept,
    }


def with_versions(results: Results) -> Results:
    """The results with the device and the versions that the workers named."""
    about = [t.about for c in results.comparisons for t in c.timings.values()]
    versions = {"python": platform.python_version()}
    for a in about:
        versions |= a["versions"]
    devices = [a["device"] for a in about if a["platform"] != "cpu"]
    device = devices[0] if devices else processor()
    return results._replace(machine={**results.machine, "device": device, "versions": versions})


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The CPU's name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@contextmanager
def progress() -> Iterator[tuple[Say, Say]]:
    """Two ways to talk: of what goes on, in one line that changes, and of what came out."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield console.print, console.print
        return
    with console.status("") as status:
        yield status.update, console.print


def main(words: Sequence[str]) -> int:
    """Parse, measure, print; 2 for what the user can put right, 1 if something could not be measured."""
    rest = [word for word in words if word != "--quick"]
    config = tyro.cli(Config, default=QUICK if len(rest) < len(words) else Config(), args=rest, prog="benchmarks")
    try:
        check(config)
        with progress() as (say, tell):
            results, failed = run(config, say, tell)
    except (ValueError, WorkerError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("benchmarks: stopped; what was measured is kept.", file=sys.stderr)
        return 130
    print(markdown(results))
    print(f"kept in {config.output}: results.json and table.md")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
