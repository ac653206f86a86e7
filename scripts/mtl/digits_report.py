"""What the digits say: in numbers, words, tables and a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jmeta.report.figures import figure_maker
from scripts.study import interval, markdown, percent, plain_axes

METRICS = ("accuracy", "precision", "recall")
PER_TASK = ("logistic regression", "SVC", "MLPClassifier", "k nearest")
"""Methods of scikit-learn's that learn each task by itself."""
ALONE = "network alone"

Results = dict[str, dict[str, dict[str, dict[str, list[list[float]]]]]]
"""Setting, examples, method, metric: a number for each repeat and task."""


def gathered(repeats: Sequence[Mapping[str, Any]]) -> Results:
    """The repeats put together."""

    def merge(parts: Sequence[Any]) -> Any:
        if not isinstance(parts[0], Mapping):
            return list(parts)
        return {name: merge([part[name] for part in parts]) for name in parts[0]}

    return merge(repeats)


def summary(tasks: Mapping[str, Sequence[str]], results: Results) -> dict[str, Any]:
    """Means over tasks and repeats, and differences from the classifier of a task alone that is best on average.

    Args:
        tasks: of each setting, their names.
        results: of each setting.
    """
    found: dict[str, Any] = {}
    for name, of_setting in results.items():
        found[name] = {}
        for n, of_methods in of_setting.items():
            overall = {method: np.mean(own["accuracy"], axis=1) for method, own in of_methods.items()}
            best = max(PER_TASK, key=lambda method: float(np.mean(overall[method])))
            found[name][n] = {"best per-task classifier": best, "methods": {}}
            for method, own in of_methods.items():
                row: dict[str, Any] = {}
                for metric in METRICS:
                    values = np.array(own[metric])
                    each = {task: interval(values[:, i]) for i, task in enumerate(tasks[name])}
                    row[metric] = {**interval(values.mean(axis=1)), "tasks": each}
                row["difference"] = interval(overall[method] - overall[best])
                row["difference_from_alone"] = interval(overall[method] - overall[ALONE])
                row["repeats"] = overall[method].tolist()
                found[name][n]["methods"][method] = row
    return found


def _sizes(of_setting: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    sizes = list(of_setting)
    return sizes, list(of_setting[sizes[0]]["methods"])


def tables(title: str, of_setting: Mapping[str, Any]) -> str:
    """Accuracy, its paired differences, and what these say."""
    sizes, methods = _sizes(of_setting)
    head = ["accuracy, mean over tasks", *(f"{n} examples" for n in sizes)]
    rows = [[m, *(percent(of_setting[n]["methods"][m]["accuracy"]) for n in sizes)] for m in methods]
    parts = [f"## {title}", markdown(head, rows).rstrip()]
    best = [f"{n} examples, from {of_setting[n]['best per-task classifier']}" for n in sizes]
    rows = [[m, *(percent(of_setting[n]["methods"][m]["difference"], sign="+") for n in sizes)] for m in methods]
    parts += [markdown(["paired difference in accuracy", *best], rows).rstrip(), verdicts(of_setting)]
    return "\n\n".join(parts)


def report(repeats: int, test_share: float, titles: Mapping[str, str], found: Mapping[str, Any]) -> str:
    """All of table.md: how it was measured, the tables of each setting, and every task's numbers."""
    parts = [
        "# Digits: tasks learned together and alone",
        f"{repeats} repeats, {100 * test_share:.0f} % of the pictures for testing. Per cent, with the "
        "95 % interval over repeats; their test pictures overlap, so that it is somewhat too small. Differences are "
        "paired by repeat, from the classifier of a task alone that is best on average, which is chosen after the "
        "fact, and so in its favor; intervals are of one comparison each, and there are many.",
    ]
    for name, of_setting in found.items():
        sizes, methods = _sizes(of_setting)
        parts.append(tables(titles[name], of_setting))
        tasks = list(of_setting[sizes[0]]["methods"][methods[0]]["accuracy"]["tasks"])
        for n in sizes:
            rows = [[m, *_of_tasks(of_setting[n]["methods"][m], tasks)] for m in methods]
            parts += [
                f"Accuracy / precision / recall at {n} examples, the last two averaged over both answers:",
                markdown(["", *tasks, *(["mean"] if len(tasks) > 1 else [])], rows).rstrip(),
            ]
    return "\n\n".join(parts) + "\n"


def _of_tasks(row: Mapping[str, Any], tasks: list[str]) -> list[str]:
    def three(values: list[float]) -> str:
        return " / ".join(f"{100 * value:.1f}" for value in values)

    cells = [three([row[metric]["tasks"][task]["mean"] for metric in METRICS]) for task in tasks]
    return cells + ([three([row[metric]["mean"] for metric in METRICS])] if len(tasks) > 1 else [])


def verdicts(of_setting: Mapping[str, Any]) -> str:
    """What the differences say of every method that shares, in words, and which method is best on average."""
    lines = []
    sizes, methods = _sizes(of_setting)
    for n in sizes:
        best, rows = of_setting[n]["best per-task classifier"], of_setting[n]["methods"]
        for method in (m for m in methods if m not in PER_TASK and m != ALONE):
            line = f"- {n} examples: {method} {_verdict(rows[method]['difference'])} {best}"
            if "pooled" not in method:
                line += f"; it {_verdict(rows[method]['difference_from_alone'])} the same network alone"
            lines.append(f"{line}.")
        top = max(methods, key=lambda m: rows[m]["accuracy"]["mean"])
        lines.append(f"- {n} examples: the most accurate of all on average is {top}.")
    return "\n".join(lines)


def _verdict(gap: Mapping[str, float]) -> str:
    low, high = gap["mean"] - gap["ci95"], gap["mean"] + gap["ci95"]
    word = "wins over" if low > 0 else "loses to" if high < 0 else "is not told from"
    return f"({percent(gap, sign='+')} points) {word}"


def accuracy_figure(titles: Mapping[str, str], found: Mapping[str, Any]) -> Any:
    """Accuracy of every method against the number of examples."""
    figure = figure_maker()(5 * len(found), 5.2)
    for axes, (name, of_setting) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
        sizes, methods = _sizes(of_setting)
        for i, method in enumerate(methods):
            values = [of_setting[n]["methods"][method]["accuracy"] for n in sizes]
            axes.errorbar(
                [float(n) for n in sizes],
                [100 * value["mean"] for value in values],
                [100 * value["ci95"] for value in values],
                label=method, color=f"C{i % 10}", marker="o" if method in PER_TASK else "s", markersize=4, capsize=2,
                linestyle="--" if method in PER_TASK else "-", linewidth=1.2,
            )  # fmt: skip
        axes.set(xlabel="examples of each task", ylabel="accuracy, %")
        axes.set_title(titles[name], fontsize=9, wrap=True)
        axes.set_xticks([float(n) for n in sizes])
        plain_axes(axes, grid=None).legend(frameon=False, fontsize=7)
    return figure
