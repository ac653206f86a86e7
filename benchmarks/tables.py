"""The Markdown of what was measured. `python -m benchmarks.tables results.json` draws it again."""

import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.formulas import needed_operations
from benchmarks.results import (
    TOLERANCE,
    Comparison,
    Goal,
    Results,
    Start,
    differences,
    float32_losses,
    from_json,
    growth,
    limit,
    share_of_limit,
    tasks_per_second,
    times_as_fast,
)
from benchmarks.workloads import IMPLEMENTATIONS, JMETA, RATES, WORKLOADS


def markdown(results: Results) -> str:
    """All tables."""
    parts = [machine(results), *([summary(results.comparisons)] if results.comparisons else [])]
    for name in dict.fromkeys(c.workload for c in results.comparisons):
        parts.append(workload([c for c in results.comparisons if c.workload == name]))
    if results.start:
        parts.append(start(results.start, results.comparisons))
    if results.goal:
        parts.append(goal(results.goal, results.comparisons))
    return "\n".join(parts)


def machine(results: Results) -> str:
    """Where and when, and what can't run there."""
    m = results.machine
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
    lines = [
        "## Speed",
        "",
        f"{m['device']}, {m['cores']} CPU cores; {versions}; {m['date']}, commit {m['commit']}. Medians of "
        f"{m['settings']['rounds']} rounds, all implementations in turn in each. (n x) says that jmeta is n times as "
        "fast. All see the same episodes and start from the same parameters. The losses of the first steps are "
        "compared in float64; in float32 a difference in the last digit grows large within ten steps of Adam.",
        "",
    ]
    lines += [f"- {title(name)}: left out, {reason}." for name, reason in results.unavailable.items()]
    return "\n".join([*lines, ""] if results.unavailable else lines)


def title(name: str) -> str:
    """An implementation's words for people."""
    return {**IMPLEMENTATIONS, **RATES}[name].title


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["1", "2"]]))
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [header, *rows]
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], "|" + "---|" * len(header), *text[1:]])


def summary(comparisons: Sequence[Comparison]) -> str:
    """jmeta's line of each workload: against the best of the others, and against the machine."""
    rows = []
    for c in comparisons:
        others = [name for name in c.timings if name != JMETA and not IMPLEMENTATIONS[name].own_data]
        best = min(others, key=lambda name: times_as_fast(c, name), default=None)
        cost = growth([o for o in comparisons if o.workload == c.workload], JMETA)
        last = c.tasks == max(o.tasks for o in comparisons if o.workload == c.workload)
        rows.append(
            [
                WORKLOADS[c.workload].title,
                str(c.tasks),
                number(tasks_per_second(c, JMETA)),
                "-" if best is None else f"{title(best)}: {ratio(times_as_fast(c, best))}",
                percent(share(c)),
                percent(cost - 1, sign=True) if cost and last else "",
                agreement(c),
            ]
        )
    header = [
        "workload",
        "tasks",
        "jmeta, tasks/s",
        "next best",
        "share of the limit",
        "cost of a task, most to fewest tasks",
    ]
    return table([*header, "losses differ by"], rows) + "\n"


def ratio(value: float) -> str:
    """`2.36 x`, and what it means where jmeta is behind."""
    return f"{value:.2f} x" if value < 10 else f"{value:.0f} x" if value >= 100 else f"{value:.1f} x"


def share(c: Comparison) -> float | None:
    """The share of the limit by the operations that are needed."""
    return share_of_limit(c, needed_operations(WORKLOADS[c.workload], c.tasks))


def agreement(c: Comparison) -> str:
    """By how much losses differ from jmeta's, relative to them."""
    found = differences(c.exact)
    if not found:
        return ""
    worst = max(found, key=lambda name: found[name])
    return difference(found[worst]) if found[worst] <= TOLERANCE else f"{difference(found[worst])} {title(worst)}"


def difference(value: float) -> str:
    """A relative difference; bold if it is no rounding."""
    return f"{value:.0e}" if value <= TOLERANCE else f"**{value:.0e}**"


def number(value: float) -> str:
    """Three digits, with commas: 1,234 or 65.5.

    >>> number(65.53), number(117234.0), number(0.1234)
    ('65.5', '117,234', '0.123')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def percent(value: float | None, *, sign: bool = False) -> str:
    """`77 %`, or a dash."""
    return "-" if value is None else f"{100 * value:{'+' if sign else ''}.0f} %"


def mebibytes(value: float) -> str:
    """Bytes in MiB, with commas."""
    return f"{value / 2**20:,.0f}"


def workload(comparisons: Sequence[Comparison]) -> str:
    """Tables of one workload, a column for each number of tasks."""
    comparisons = sorted(comparisons, key=lambda c: c.tasks)
    names = [name for name in IMPLEMENTATIONS if any(name in c.timings for c in comparisons)]
    counts = [f"{c.tasks} tasks" for c in comparisons]
    header = ["", *(f"{n}: tasks/s" for n in counts), "cost of a task", "compile, s"]
    header += [f"{n}: MiB (of the step)" for n in counts]
    rows = [_row(name, comparisons) for name in names]
    lines = [f"### {WORKLOADS[comparisons[0].workload].title}", "", table(header, rows), ""]
    lines += [f"Episodes: {comparisons[0].source}."]
    lines += [roofline(c) for c in comparisons]
    for c in comparisons:
        lines += [f"- {c.tasks} tasks, {title(name)}: left out, {reason}." for name, reason in c.left_out.items()]
        lines += [
            f"- {c.tasks} tasks: **jmeta is slower than {title(name)}**." for name in names
            if name in c.timings and not IMPLEMENTATIONS[name].own_data and times_as_fast(c, name) < 1
        ]  # fmt: skip
    return "\n".join([*lines, "", *losses(comparisons[0])]) + "\n"


def _row(name: str, comparisons: Sequence[Comparison]) -> list[str]:
    cells, memory = [], []
    for c in comparisons:
        if name not in c.timings:
            cells.append("-")
            memory.append("-")
            continue
        t = c.timings[name]
        beside = "" if name == JMETA else f" ({ratio(times_as_fast(c, name))})"
        cells.append(number(tasks_per_second(c, name)) + beside)
        inside = f"{mebibytes(t.peak_bytes)} ({mebibytes(t.peak_bytes - t.before_bytes)})"
        memory.append(inside if t.device_bytes is None else f"{mebibytes(t.device_bytes)} on the device")
    compiled = statistics.median(c.timings[name].compile_seconds for c in comparisons if name in c.timings)
    cost = growth(comparisons, name)
    return [title(name), *cells, "-" if cost is None else percent(cost - 1, sign=True), f"{compiled:.1f}", *memory]


def roofline(c: Comparison) -> str:
    """Operations of a task, the rate of a large product, and the share that jmeta reaches."""
    best = limit(c)
    needed = needed_operations(WORKLOADS[c.workload], c.tasks)
    by_program = "" if c.operations is None else f" ({c.operations / c.tasks / 1e9:.3g} in jmeta's program)"
    words = f"- {c.tasks} tasks: {needed / c.tasks / 1e9:.3g} GFLOP a task{by_program}"
    if best is None:
        return words + "."
    rates = ", ".join(
        f"{2 * r.size**3 * r.steps / statistics.median(r.seconds) / 1e9:,.0f} GFLOP/s by {title(name)}"
        for name, r in c.rates.items()
    )
    return (
        f"{words}; {rates}: at that rate {number(best * c.tasks / needed)} tasks/s, of which jmeta reaches "
        f"{percent(share(c))}."
    )


def losses(c: Comparison) -> list[str]:
    """The first losses side by side."""
    lines = []
    for dtype, found in (("float64", c.exact), ("float32", float32_losses(c))):
        if not found:
            continue
        steps, worst = max(map(len, found.values())), differences(found)
        shown = difference if dtype == "float64" else "{:.0e}".format
        cells = {name: [*(f"{v:.6f}" for v in values), *[""] * (steps - len(values))] for name, values in found.items()}
        rows = [[title(name), *cells[name], shown(worst[name]) if name in worst else ""] for name in found]
        numbers = [str(i + 1) for i in range(steps)]
        lines += [table([f"{dtype}, {c.tasks} tasks: loss at outer step", *numbers, "largest difference"], rows), ""]
    return lines


def start(found: Start, comparisons: Sequence[Comparison]) -> str:
    """From the start of a process to its first training step."""
    rows = [
        [f"`jmeta train --preset {found.preset}`, nothing kept", f"{statistics.median(found.cold):.1f}"],
        ["the same with the compile cache warm", f"{statistics.median(found.warm):.1f}"],
    ]
    for c in comparisons:
        if c.workload == "omniglot" and c.tasks == 32:
            rows += [
                [f"{title(name)}, meta-batches from a file", f"{t.start_seconds:.1f}"]
                for name, t in c.timings.items()
                if not IMPLEMENTATIONS[name].own_data
            ]
    header = ["from the start of the process to the end of its first outer step", "s"]
    return "\n".join(["### Start", "", table(header, rows), "", f"Episodes: {found.source}.", ""])


def goal(found: Goal, comparisons: Sequence[Comparison]) -> str:
    """Time to an accuracy; for the others, how long as many steps would take them."""
    name = WORKLOADS[found.workload].title
    lines = [f"### Time to {100 * found.accuracy:.0f} %: {name}, {found.tasks} tasks", ""]
    steps, seconds, accuracy, interval = found.rows[-1]
    reading = f"{100 * accuracy:.1f} +- {100 * interval:.1f} %"
    judged = (
        f"Accuracy on {found.episodes} episodes of validation classes, after {found.inner_steps} inner steps; "
        f"validation is not in the time. Episodes: {found.source}."
    )
    if not found.reached:
        lines += [f"Not reached: {reading} after {steps:,} outer steps and {seconds:,.0f} s. {judged}", ""]
        return "\n".join(lines)
    rows = [["jmeta, whole run", f"{seconds:,.0f}", f"measured: {reading}"]]
    same = [c for c in comparisons if c.workload == found.workload and c.tasks == found.tasks]
    rows += [
        [title(n), f"{steps * c.tasks / tasks_per_second(c, n):,.0f}", f"{steps:,} steps at its measured rate"]
        for c in same
        for n in c.timings
        if n not in (JMETA, "jmeta-run")
    ]
    lines += [table(["", f"s for {steps:,} outer steps", ""], rows), "", judged, ""]
    return "\n".join(lines)


def main(paths: Sequence[str]) -> int:
    """Print the tables of one or several results.json."""
    if not paths:
        print("usage: python -m benchmarks.tables results.json ...", file=sys.stderr)
        return 2
    for path in paths:
        try:
            print(markdown(from_json(Path(path).read_text(encoding="utf-8"))))
        except (OSError, ValueError) as error:
            print(f"benchmarks: {path}: {error}", file=sys.stderr)
            return 2
    return 0


def left_out(names: Mapping[str, str]) -> list[str]:
    """A line for each implementation that is not there."""
    return [f"{title(name)} is left out: {reason}." for name, reason in names.items()]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
