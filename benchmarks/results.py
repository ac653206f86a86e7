"""What was measured, as values that JSON keeps, and the numbers that tables are made of."""

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.formulas import needed_operations
from benchmarks.workloads import IMPLEMENTATIONS, JMETA, WORKLOADS
from jmeta.report import files

TOLERANCE = 1e-3
"""The largest relative difference of losses that passes for rounding.

It is for float64. In float32 ten steps can make any difference of the last digit: Adam's first updates are of one size
whatever the gradient's, and a large inner rate magnifies them.
"""


class Timing(NamedTuple):
    """An implementation of a workload at a number of tasks.

    Attributes:
        steps: outer steps of a round.
        seconds: of each round.
        compile_seconds: what the first step took beyond a later one.
        start_seconds: from the start of its process to the end of its first step, with the reading of its data.
        losses: of the first outer steps.
        about: platform, device, versions.
        peak_bytes: the most memory that the process had resident, compiling included.
        before_bytes: what it had resident before the first step, with libraries and data.
        device_bytes: the most memory of the device in use; None on a CPU.
    """

    steps: int
    seconds: tuple[float, ...]
    compile_seconds: float
    start_seconds: float
    losses: tuple[float, ...]
    about: Mapping[str, Any]
    peak_bytes: int
    before_bytes: int
    device_bytes: int | None = None


class Rate(NamedTuple):
    """Square float32 matrix products, timed in the same rounds: their size, how many a round, and its seconds."""

    size: int
    steps: int
    seconds: tuple[float, ...]


class Comparison(NamedTuple):
    """All implementations of a workload at a number of tasks.

    Attributes:
        workload: its name.
        tasks: of an outer step.
        source: of the episodes.
        timings: by implementation.
        rates: of matrix products, by library.
        left_out: implementations that were not timed, and why.
        operations: of the matrix products in jmeta's program, in one outer step.
        exact: losses of the first outer steps in float64, by implementation; empty where they were not asked for.
    """

    workload: str
    tasks: int
    source: str
    timings: Mapping[str, Timing]
    rates: Mapping[str, Rate]
    left_out: Mapping[str, str]
    operations: int | None
    exact: Mapping[str, tuple[float, ...]] = {}


class Start(NamedTuple):
    """Seconds from the start of `jmeta train` to the end of its first outer step, for each trial.

    Attributes:
        preset: what is trained.
        source: of its episodes.
        cold: with an empty folder of compiled programs and data.
        warm: with what the trial before has left there.
    """

    preset: str
    source: str
    cold: tuple[float, ...]
    warm: tuple[float, ...]


class Goal(NamedTuple):
    """Training until an accuracy in validation.

    Attributes:
        workload: its name.
        tasks: of an outer step.
        source: of the episodes.
        accuracy: that was to be reached.
        inner_steps: in validation.
        episodes: of a validation.
        compile_seconds: of the training program, which are not in the others.
        rows: (outer steps, seconds of training alone, accuracy, half the width of its 95 % interval) at each.
        reached: whether it was.
    """

    workload: str
    tasks: int
    source: str
    accuracy: float
    inner_steps: int
    episodes: int
    compile_seconds: float
    rows: tuple[tuple[int, float, float, float], ...]
    reached: bool


class Results(NamedTuple):
    """A whole run of the benchmark.

    Attributes:
        machine: device, cores, versions, date, commit, settings.
        comparisons: workload by workload.
        unavailable: implementations that can't run on this machine, and why.
        start: cold and warm start, if measured.
        goal: time to an accuracy, if measured.
    """

    machine: Mapping[str, Any]
    comparisons: tuple[Comparison, ...] = ()
    unavailable: Mapping[str, str] = {}
    start: Start | None = None
    goal: Goal | None = None


def step_seconds(timing: Timing | Rate) -> float:
    """Median seconds of a step."""
    return statistics.median(timing.seconds) / timing.steps


def tasks_per_second(comparison: Comparison, name: str) -> float:
    """Tasks a second, from the median round."""
    return comparison.tasks / step_seconds(comparison.timings[name])


def times_as_fast(comparison: Comparison, name: str) -> float:
    """How many times as fast jmeta is: the median over rounds of the ratio within each round.

    Above 1 jmeta is faster. Rounds are paired, so that what slows the whole machine for a while cancels.
    """
    peer, own = comparison.timings[name], comparison.timings[JMETA]
    pairs = zip(peer.seconds, own.seconds, strict=True)
    return statistics.median((p / peer.steps) / (o / own.steps) for p, o in pairs)


def product_rate(rate: Rate) -> list[float]:
    """Operations a second in each round: a product of two n x n matrices takes 2 n^3."""
    return [2 * rate.size**3 * rate.steps / s for s in rate.seconds]


def limit(comparison: Comparison) -> float | None:
    """Operations a second of the faster library's matrix product, median over rounds."""
    return max((statistics.median(product_rate(r)) for r in comparison.rates.values()), default=None)


def share_of_limit(comparison: Comparison, operations: int, name: str = JMETA) -> float | None:
    """The time that the operations would take at the rate of a large matrix product, over the time of a step."""
    rate = limit(comparison)
    return None if rate is None else operations / rate / step_seconds(comparison.timings[name])


def growth(comparisons: Sequence[Comparison], name: str) -> float | None:
    """Cost of a task at the most tasks over that at the fewest; None for fewer than two numbers of tasks."""
    found = sorted((c for c in comparisons if name in c.timings), key=lambda c: c.tasks)
    if len({c.tasks for c in found}) < 2:
        return None
    return tasks_per_second(found[0], name) / tasks_per_second(found[-1], name)


def largest_difference(losses: Sequence[float], reference: Sequence[float]) -> float:
    """The largest relative difference over the steps that both have taken; infinite if a loss is no number.

    >>> round(largest_difference([1.0, 2.2], [1.0, 2.0, 3.0]), 3)
    0.1
    """
    pairs = list(zip(losses, reference, strict=False))
    if not all(math.isfinite(a) and math.isfinite(b) for a, b in pairs):
        return math.inf
    return max((abs(a - b) / max(abs(b), 1e-12) for a, b in pairs), default=0.0)


def float32_losses(comparison: Comparison) -> dict[str, tuple[float, ...]]:
    """The losses of the programs that were timed, of those that see the same data."""
    return {name: t.losses for name, t in comparison.timings.items() if not IMPLEMENTATIONS[name].own_data}


def differences(losses: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """`largest_difference` of each implementation from jmeta."""
    return {name: largest_difference(other, losses[JMETA]) for name, other in losses.items() if name != JMETA}


def to_json(results: Results) -> str:
    """The results as JSON."""
    values = results._asdict()
    values["comparisons"] = [
        {
            **c._asdict(),
            "timings": {name: t._asdict() for name, t in c.timings.items()},
            "rates": {name: r._asdict() for name, r in c.rates.items()},
            "needed_operations": needed_operations(WORKLOADS[c.workload], c.tasks),
        }
        for c in results.comparisons
    ]
    values["start"] = results.start and results.start._asdict()
    values["goal"] = results.goal and results.goal._asdict()
    return json.dumps(values, indent=1) + "\n"


def from_json(text: str) -> Results:
    """What `to_json` wrote.

    Raises:
        ValueError: if it is something else.
    """
    try:
        values = json.loads(text)
        comparisons = tuple(_comparison(c) for c in values["comparisons"])
        start = values["start"] and Start(**_tuples(values["start"]))
        goal = values["goal"] and Goal(**_tuples(values["goal"]))
        return Results(values["machine"], comparisons, values["unavailable"], start, goal)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"this is no results.json of this benchmark ({error!r}): measure again.") from error


def _comparison(values: dict[str, Any]) -> Comparison:
    timings = {name: Timing(**_tuples(t)) for name, t in values["timings"].items()}
    rates = {name: Rate(**_tuples(r)) for name, r in values["rates"].items()}
    exact = {name: tuple(losses) for name, losses in values["exact"].items()}
    kept = {name: values[name] for name in Comparison._fields}
    return Comparison(**{**kept, "timings": timings, "rates": rates, "exact": exact})


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    """JSON's lists as tuples, one level and two deep."""
    return {
        name: tuple(tuple(v) if isinstance(v, list) else v for v in value) if isinstance(value, list) else value
        for name, value in values.items()
    }


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all, in a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_text(path, text)
