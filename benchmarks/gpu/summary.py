"""summary.md: the tables of all parts, out of gpu.json alone. `python -m benchmarks.gpu.summary gpu.json` draws it."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.formulas import needed_operations
from benchmarks.gpu.records import Records, load
from benchmarks.gpu.runner import state_of
from benchmarks.gpu.table import PARTS
from benchmarks.results import Comparison, from_json, step_seconds, tasks_per_second, times_as_fast
from benchmarks.tables import number, percent, ratio, table
from benchmarks.workloads import IMPLEMENTATIONS, JMETA, WORKLOADS

Value = Mapping[str, Any]


def markdown(machine: Value, scale: float, records: Records) -> str:
    """All tables: the machine, the parts and their states, and what each measured."""
    peaks = rates_of(records)
    shown: list[tuple[str, Callable[[], str]]] = [
        ("Rates of large matrix products", lambda: rates(records)),
        ("Convolution, chunk and precision", lambda: convolutions(records, peaks)),
        ("An outer step, beside others", lambda: speeds(records, peaks)),
        ("Trained at published lengths", lambda: trainings(records)),
        ("Memory and time against inner steps", lambda: depths(records)),
        ("Reinforcement learning", lambda: agents(records)),
    ]
    parts = [head(machine, scale, peaks), states(records)]
    for title, made in shown:
        try:
            text = made()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            text = f"The records can't be shown ({error!r}).\n"
        parts += [f"## {title}\n\n{text}"] if text else []
    return "\n".join(parts)


def head(machine: Value, scale: float, peaks: Mapping[str, float]) -> str:
    """Device, driver, versions, date, peak rates."""
    driver = f", driver {machine['driver']}" if "driver" in machine else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    lines = [
        "# Measured on a GPU" if machine["platform"] != "cpu" else "# Measured on a CPU: no figures of a GPU", "",
        f"{machine['device']} ({machine['platform']}){driver}, {machine.get('cores', '?')} CPU cores; {versions}; "
        f"{machine['date']}, commit {machine.get('commit', 'unknown')}.",
    ]  # fmt: skip
    if scale != 1:
        lines.append(f"**All lengths are {scale:g} of the whole ones: this shows that it works, and no more.**")
    if peaks:
        told = ", ".join(f"{tera(rate)} in {name}" for name, rate in peaks.items())
        lines.append(f"Peak rates of a matrix product, TFLOP/s: {told}.")
    return "\n".join([*lines, *(f"- Note: {note}." for note in machine.get("notes", []))]) + "\n"


def states(records: Records) -> str:
    """Each part: its state, seconds, and the device that it ran on."""
    rows = [
        [part.name, part.what, state_of(records.get(part.name)).replace("|", "/"), *_ran(records.get(part.name, {}))]
        for part in PARTS.values()
    ]
    return table(["part", "what", "state", "s", "on", "date"], rows) + "\n"


def _ran(record: Value) -> list[str]:
    return [str(record.get(name, "")) for name in ("seconds", "device", "date")]


def values(records: Records, *names: str) -> dict[str, Any]:
    """What the parts of these names measured, as far as they have."""
    return {name: records[name]["value"] for name in names if records.get(name, {}).get("value")}


def rates_of(records: Records) -> dict[str, float]:
    """Operations a second of the faster library, by precision."""
    found = values(records, "rates").get("rates", {})
    each = [found[name] for name in ("jax", "torch") if isinstance(found.get(name), dict)]
    return {
        name: max(own[name] for own in each if name in own) for name in dict.fromkeys(n for own in each for n in own)
    }


def tera(rate: float) -> str:
    """Operations a second, in TFLOP/s."""
    return number(rate / 1e12)


def rates(records: Records) -> str:
    """By library and precision."""
    found = values(records, "rates").get("rates")
    if found is None:
        return ""
    names = list(found["jax"])
    rows = [["JAX", *(tera(found["jax"][name]) for name in names)]]
    own = found["torch"]
    missing = isinstance(own, str)
    rows.append(["PyTorch", *(own if missing else tera(own[name]) if name in own else "-" for name in names)])
    return table([f"TFLOP/s, {found['size']} x {found['size']}", *names], rows) + "\n"


def convolutions(records: Records, peaks: Mapping[str, float]) -> str:
    """A line a program, and what was chosen."""
    found = values(records, "convolution").get("convolution")
    if found is None:
        return ""
    rows = []
    for row in found["rows"]:
        cells = [row["convolution"], str(row["chunk"]), row["precision"]]
        if "error" in row:
            rows.append([*cells, row["error"].replace("|", "/"), "", "", "", ""])
            continue
        speed = found["tasks"] / row["seconds"]
        peak = peaks.get(row["precision"])
        share = speed * found["operations"] / peak if peak else None
        memory = row.get("temporary_bytes")
        gap = f"{row['gap']:.0e}" if row.get("gap") is not None else ""
        rows.append(
            [*cells, number(speed), percent(share), "" if memory is None else tables.mebibytes(memory), gap,
             f"{row['compile_seconds']:.1f}"]
        )  # fmt: skip
    head = ["convolution", "tasks at once", "precision", "tasks/s", "of the product's rate", "MiB", "gap", "compile, s"]
    text = table(head, rows) + "\n\n"
    text += f"{WORKLOADS['conv4'].title}; meta-gradient of {found['tasks']} tasks, episodes of {found['source']}. "
    text += "The gap is the meta-gradient's distance from that in float32, relative to its length.\n"
    if "chunk" in found:
        precision = "TF32" if found["tf32"] else "float32"
        text += f"\nFastest: {found['convolution']}. Training takes {found['chunk']} tasks at once, in {precision}.\n"
    return text


def comparisons(records: Records) -> list[tuple[Comparison, Value]]:
    """The comparisons that there are, and what else their parts told."""
    found = values(records, *(name for name in PARTS if name.startswith("speed-")))
    return [(from_json(json.dumps(value)).comparisons[0], value) for value in found.values()]


def speeds(records: Records, peaks: Mapping[str, float]) -> str:
    """A line a workload: tasks/s of all, how many times as fast jmeta is, and shares of the peak rates."""
    names = [name for name in IMPLEMENTATIONS if name not in (JMETA, "flax-vmap")]
    rows, notes = [], []
    for c, value in comparisons(records):
        cells = []
        for name in names:
            if name in c.timings:
                cells.append(f"{number(tasks_per_second(c, name))} ({ratio(times_as_fast(c, name))})")
            elif name in value["unavailable"]:
                cells.append("not installed")
            else:
                cells.append("-")
        needed = needed_operations(WORKLOADS[c.workload], c.tasks) / step_seconds(c.timings[JMETA])
        shares = [percent(needed / peaks[name]) if name in peaks else "-" for name in ("float32", "tf32", "bfloat16")]
        own = c.timings[JMETA]
        rows.append(
            [WORKLOADS[c.workload].title, str(c.tasks), number(tasks_per_second(c, JMETA)), *cells,
             " / ".join(shares), own.about["device"]]
        )  # fmt: skip
        notes += [f"- {c.workload}, {tables.title(name)}: left out, {why}.\n" for name, why in c.left_out.items()]
    if not rows:
        return ""
    head = ["workload", "tasks", "jmeta, tasks/s", *(tables.title(name) for name in names)]
    head += ["of the product's rate in float32 / TF32 / bfloat16", "on"]
    words = "(n x) says that jmeta's step is n times as fast, the median of paired rounds.\n"
    return table(head, rows) + "\n\n" + words + "".join(notes)


def trainings(records: Records) -> str:
    """A line a test of a training."""
    rows = []
    for name, value in values(records, *(name for name, p in PARTS.items() if p.run == "trainings:trained")).items():
        done = f"{value['step']:,}" if value["step"] == value["steps"] else f"{value['step']:,} of {value['steps']:,}"
        speed = value.get("tasks_per_second")
        cells = [
            name, value["dataset"], done, str(value["seeds"]), number(value["train_seconds"]),
            number(value["compile_seconds"]), "-" if speed is None else number(speed),
        ]  # fmt: skip
        for test in value.get("tests") or [None]:
            known = value["published"]
            shown = "-" if test is None else f"{100 * test['mean']:.1f} +- {100 * test['ci95']:.1f}"
            published = known.get("") or known.get(test["name"] if test else "", "-")
            rows.append([*cells, "" if test is None else test["name"], shown, published])
    if not rows:
        return ""
    head = ["part", "data", "outer steps", "seeds", "training, s", "compile, s", "tasks/s", "test", "accuracy, %"]
    words = "Seconds are of all seeds together, which are one program, without validation. The interval is over seeds, "
    return table([*head, "published"], rows) + f"\n\n{words}or over episodes for one.\n"


def depths(records: Records) -> str:
    """Of each network, a line for each number of inner steps."""
    found = values(records, "memory").get("memory")
    if not found or not found["rows"]:
        return ""
    ways = list(dict.fromkeys(row["way"] for row in found["rows"]))
    rows = []
    for network, steps in dict.fromkeys((row["network"], row["steps"]) for row in found["rows"]):
        own = {r["way"]: r for r in found["rows"] if (r["network"], r["steps"]) == (network, steps)}
        cells = [f"{number(r['temporary'] / 2**20)}, {number(1000 * r['seconds'])}" for r in map(own.get, ways) if r]
        rows.append([network, f"{steps:,}", *cells])
    text = table(["network", "inner steps", *(f"{way}: MiB, ms" for way in ways)], rows) + "\n"
    return text + "".join(f"\nToo large for the memory, or the time: {name}.\n" for name in found["too_large"])


def agents(records: Records) -> str:
    """RL^2's reward beside what is known, and steps a second."""
    text, trained = "", values(records, "rl2").get("rl2")
    if trained is not None:
        steps = f"{trained['step']:,} of {trained['steps']:,} updates, {number(trained['train_seconds'])} s"
        rows = [["RL^2", *_total(trained.get("test", {}))]]
        rows += [[each["name"], *_total({**each, "mean": each["total"]})] for each in trained.get("test", {}).get(
            "references", []
        )]  # fmt: skip
        text += table([f"{trained['preset']}, {trained['seeds']} seeds, {steps}", "total reward"], rows) + "\n\n"
    found = values(records, "environments").get("environments")
    if found is not None:
        rows = [[row["environment"], row["library"], f"{row['million_steps_per_second']:.3g}"] for row in found["rows"]]
        rows += [["", name, "not installed"] for name in found["not_installed"]]
        head = [f"{found['parallel']:,} episodes x {found['steps']} steps", "library", "million steps a second"]
        text += table(head, rows) + "\n"
    return text


def _total(found: Value) -> list[str]:
    if "mean" not in found:
        return ["-"]
    ci95 = found.get("ci95")
    return [f"{found['mean']:.3f}" + ("" if ci95 is None else f" +- {ci95:.3f}")]


def main(paths: Sequence[str]) -> int:
    """Print the summary of each gpu.json."""
    for path in paths:
        try:
            stored = load(Path(path))
        except ValueError as error:
            print(f"gpu: {error}.", file=sys.stderr)
            return 2
        print(markdown(stored["machine"], stored["scale"], stored["parts"]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
