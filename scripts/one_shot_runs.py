"""The official one-shot test of Omniglot: errors of trained learners beside people's and published ones.

    python scripts/one_shot_runs.py --run-dirs runs/proto-lake runs/siamese-lake
    python scripts/one_shot_runs.py                     # the two baselines alone, which need no training

The test is 20 runs; in each, one drawing of each of 20 characters of an alphabet is to learn from, and one of each, by
another hand, to be named. Its alphabets are those of the evaluation set: train with `--split lake` (30 alphabets),
`small1` or `small2` (5 alphabets each), since `finn` has most of these characters in its training part.
"""

import dataclasses
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tyro
from scipy.spatial import KDTree

from jmeta.datasets.cache import data_root
from jmeta.datasets.omniglot_runs import OneShotRuns, load_runs
from jmeta.errors import RunError
from jmeta.evaluation import summarise
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.folder import write_json, write_text
from jmeta.runs.few_shot import load_trained
from jmeta.runs.few_shot.experiment import eval_steps
from jmeta.runs.few_shot.floor import nearest_pixels
from jmeta.runs.few_shot.one_shot import episodes_of, errors, measure, one_shot_test

FULL_SIZE = 105
REPORTED = {
    "people (Lake et al. 2015)": 4.5,
    "Bayesian program learning (Lake et al. 2015)": 3.3,
    "Siamese network (Koch et al. 2015, as Lake et al. report it)": 8.0,
    "modified Hausdorff distance (the demo that comes with the test)": 38.8,
}
"""Wrong answers in %."""


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dirs: folders of trained runs.
        inner_steps: inner steps; otherwise each run's for evaluation.
        checkpoint: best (by validation) or newest.
        baselines: measure the nearest neighbour between raw pixels and the modified Hausdorff distance too.
        output: the folder that one_shot_runs.json and one_shot_runs.md are written to.
        data_dir: the folder of data sets; otherwise each run's, or $JMETA_DATA.
    """

    run_dirs: tuple[str, ...] = ()
    inner_steps: int | None = None
    checkpoint: str = "best"
    baselines: bool = True
    output: str = "runs"
    data_dir: str | None = None


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: of the run folder, or the baseline.
        learner: its algorithm.
        trained_on: data and split.
        wrong: share of wrong answers in each run `[20]`, each query judged alone.
        together: mean share with the queries of a run judged together, where batch statistics tell them apart.
        seen: how many of the 400 characters it was trained on; None where that isn't known.
    """

    name: str
    learner: str
    trained_on: str
    wrong: list[float]
    together: float | None = None
    seen: int | None = 0


def modified_hausdorff(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Distances between sets of points.

        d(A, B) = max(mean_{p in A} min_{q in B} |p - q|, mean_{q in B} min_{p in A} |p - q|)

    Args:
        a: sets of points `[n_i, 2]`, none of them empty.
        b: the same.

    Returns:
        `[len(a), len(b)]`.

    Source: Dubuisson and Jain 1994, A modified Hausdorff distance for object matching.
    """
    trees_a, trees_b = ([KDTree(points) for points in sets] for sets in (a, b))
    found = [
        [max(tree_q.query(p)[0].mean(), tree_p.query(q)[0].mean()) for q, tree_q in zip(b, trees_b, strict=True)]
        for p, tree_p in zip(a, trees_a, strict=True)
    ]
    return np.array(found)


def ink(drawing: np.ndarray) -> np.ndarray:
    """Row and column of each inked pixel `[n, 2]`, with their mean at 0."""
    points = np.argwhere(drawing > 127).astype(np.float64)
    return points - points.mean(axis=0)


def hausdorff_errors(runs: OneShotRuns) -> np.ndarray:
    """Share of wrong answers in each run, of the class whose drawing is nearest by `modified_hausdorff`."""
    wrong = []
    for support, query, labels in zip(*runs, strict=True):
        distances = modified_hausdorff([ink(x[..., 0]) for x in query], [ink(x[..., 0]) for x in support])
        wrong.append(np.mean(distances.argmin(axis=1) != labels))
    return np.array(wrong)


def baselines(config: Config) -> list[Row]:
    """What needs no training."""
    root = data_root(config.data_dir)
    pixels = errors(nearest_pixels(), (), episodes_of(load_runs(root)))
    hausdorff = hausdorff_errors(load_runs(root, FULL_SIZE))
    return [
        Row("nearest neighbour between raw pixels", "-", "nothing", pixels.tolist()),
        Row("modified Hausdorff distance", "-", "nothing", hausdorff.tolist()),
    ]


def row_of(config: Config, run_dir: str) -> Row:
    """A trained learner's line."""
    trained = load_trained(run_dir, config.checkpoint)
    test = one_shot_test(trained, config.data_dir)
    steps = eval_steps(trained.settings.learner) if config.inner_steps is None else config.inner_steps
    result = measure(trained, test, inner_steps=steps)
    together = result.get("transductive_accuracy")
    return Row(
        Path(run_dir).name,
        trained.settings.algorithm,
        f"{trained.settings.tasks.dataset} ({trained.facts['protocol']})",
        result["errors"],
        None if together is None else 1 - together,
        test.seen,
    )


def markdown(rows: list[Row]) -> str:
    """The table, and below it one of the errors in each run."""
    lines = ["| learner | trained on | wrong, % | queries of a run together, % | trained on characters of the test |"]
    lines += ["|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: np.mean(row.wrong)):
        result = summarise(np.asarray(row.wrong))
        together = "-" if row.together is None else f"{100 * row.together:.1f}"
        seen = "not known" if row.seen is None else "none" if not row.seen else f"**{row.seen} of 400**"
        wrong = f"{100 * result.mean:.1f} +- {100 * result.ci95:.1f}"
        lines.append(f"| {_label(row)} | {row.trained_on} | {wrong} | {together} | {seen} |")
    lines += [f"| {name} | | {value} | | |" for name, value in REPORTED.items()]
    names = [_label(row) for row in rows]
    lines += ["", f"| run | {' | '.join(names)} |", "|---" * (len(rows) + 1) + "|"]
    for run, values in enumerate(zip(*[row.wrong for row in rows], strict=True), 1):
        lines.append(f"| {run} | {' | '.join(f'{100 * value:.0f}' for value in values)} |")
    return "\n".join(lines) + "\n"


def _label(row: Row) -> str:
    return row.name if row.learner in ("-", row.name) else f"{row.learner} ({row.name})"


def main(config: Config) -> list[Row]:
    """Measure, print and write.

    Raises:
        RunError: for run folders that can't be used, or none and no baselines, or steps below 0.
        DataError: if the runs are missing or damaged.
    """
    if not config.run_dirs and not config.baselines:
        raise RunError("there is nothing to measure: give --run-dirs, or leave --no-baselines out.")
    if config.inner_steps is not None and config.inner_steps < 0:
        raise RunError(f"--inner-steps must be 0 or more, got {config.inner_steps}: choose another.")
    use_compile_cache(True)
    rows = [row_of(config, run_dir) for run_dir in config.run_dirs]
    rows += baselines(config) if config.baselines else []
    folder = Path(config.output)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "one_shot_runs.json", {"rows": [row._asdict() for row in rows], "reported": REPORTED})
    write_text(folder / "one_shot_runs.md", markdown(rows))
    print(markdown(rows))
    return rows


def run() -> None:
    """As a program."""
    try:
        main(tyro.cli(Config))
    except RunError as error:
        print(f"one_shot_runs: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("one_shot_runs: stopped, nothing is written: start it again.", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
