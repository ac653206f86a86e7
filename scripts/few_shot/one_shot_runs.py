"""The official one-shot test of Omniglot: errors of trained learners beside people's and published ones.

    python -m scripts.few_shot.one_shot_runs --learners runs/proto-lake runs/siamese-lake
    python -m scripts.few_shot.one_shot_runs            # the two baselines alone, which need no training

The test is 20 runs; in each, one drawing of each of 20 characters of an alphabet is to learn from, and one of each, by
another hand, to be named. Its alphabets are those of the evaluation set: train with `--split lake` (30 alphabets),
`small1` or `small2` (5 alphabets each), since `finn` has most of these characters in its training part.
"""

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from jmeta.datasets.cache import data_root
from jmeta.datasets.omniglot_runs import OneShotRuns, load_runs
from jmeta.errors import RunError
from jmeta.evaluation import summarize
from jmeta.runs.engine.leaves import digest_of
from jmeta.runs.few_shot import Trained, load_trained
from jmeta.runs.few_shot.experiment import eval_steps
from jmeta.runs.few_shot.one_shot import episodes_of, errors, measure, one_shot_test
from jmeta.runs.few_shot.readings import AFFINE, ONE, VIEWS
from jmeta.settings import setting
from scripts.few_shot.floor import FLOOR, nearest_pixels
from scripts.study import Rows, Shown, Study, markdown, percent, program

FULL_SIZE = 105
HAUSDORFF = "modified Hausdorff distance"
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
        learners: folders of trained runs.
        inner_steps: inner steps; otherwise each run's for evaluation.
        checkpoint: best (by validation) or newest.
        views: of each drawing, as `jmeta evaluate` has them: one, or affine.
        baselines: measure the nearest neighbor between raw pixels and the modified Hausdorff distance too.
        run_dir: where results.json and table.md are kept.
        data_dir: the folder of data sets; otherwise each run's, or $JMETA_DATA.
    """

    learners: tuple[str, ...] = setting((), place=True)
    inner_steps: int | None = setting(None, least=0, place=True)
    checkpoint: str = setting("best", choices=("best", "newest"), place=True)
    views: str = setting(ONE, choices=(ONE, AFFINE), place=True)
    baselines: bool = setting(True, place=True)
    run_dir: str = setting("runs/one-shot-runs", place=True)
    data_dir: str | None = setting(None, place=True)


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


def study(config: Config) -> Study:
    """A row for each learner, named by its folder, parameters and steps, and for each baseline: the share of wrong
    answers in each run, each query judged alone.

    Raises:
        RunError: for run folders that can't be used, or none and no baselines.
        DataError: if the runs are missing or damaged.
    """
    if not config.learners and not config.baselines:
        raise RunError("there is nothing to measure: give --learners, or leave --no-baselines out.")
    rows: dict[str, Any] = {}
    for run_dir in config.learners:
        learner = load_trained(run_dir, config.checkpoint)
        steps = eval_steps(learner.settings.learner) if config.inner_steps is None else config.inner_steps
        seen = "" if config.views == ONE else f", {len(VIEWS[config.views])} views"
        name = f"{Path(run_dir).name} {digest_of(learner.params)[:12]}, {steps} inner steps{seen}"
        rows[name] = partial(row_of, learner, steps, f"{Path(run_dir).name}{seen}", config.views, config.data_dir)
    root = data_root(config.data_dir)
    if config.baselines:
        rows[FLOOR] = lambda rows: baseline(FLOOR, errors(nearest_pixels(), (), episodes_of(load_runs(root))))
        rows[HAUSDORFF] = lambda rows: baseline(HAUSDORFF, hausdorff_errors(load_runs(root, FULL_SIZE)))
    return Study(rows, show)


def baseline(name: str, wrong: np.ndarray) -> dict[str, Any]:
    """The row of what needs no training."""
    return {"label": name, "trained_on": "nothing", "wrong": wrong.tolist(), "together": None, "seen": 0}


def row_of(learner: Trained, steps: int, name: str, views: str, data_dir: str | None, rows: Rows) -> dict[str, Any]:
    """A trained learner's: also the mean share with the queries of a run judged together, where batch statistics tell
    them apart, and how many of the 400 characters it was trained on, None where that isn't known."""
    test = one_shot_test(learner, data_dir)
    found = measure(learner, test, inner_steps=steps, views=views)
    together, algorithm = found.get("transductive_accuracy"), learner.settings.algorithm
    return {
        "label": name if name == algorithm else f"{algorithm} ({name})",
        "trained_on": f"{learner.settings.tasks.dataset} ({learner.facts['protocol']})",
        "wrong": found["errors"],
        "together": None if together is None else 1 - together,
        "seen": test.seen,
    }


def show(rows: Rows) -> Shown:
    """The table, and below it one of the errors in each run."""
    lines = []
    for row in sorted(rows.values(), key=lambda row: np.mean(row["wrong"])):
        together = "-" if row["together"] is None else f"{100 * row['together']:.1f}"
        seen = "not known" if row["seen"] is None else f"**{row['seen']} of 400**" if row["seen"] else "none"
        lines.append([row["label"], row["trained_on"], percent(summarize(np.asarray(row["wrong"]))), together, seen])
    lines += [[name, "", value, "", ""] for name, value in REPORTED.items()]
    together = "queries of a run together, %"
    head = ["learner", "trained on", "wrong, %", together, "trained on characters of the test"]
    each = [
        [run, *(f"{100 * value:.0f}" for value in values)]
        for run, values in enumerate(zip(*[row["wrong"] for row in rows.values()], strict=True), 1)
    ]
    labels = [row["label"] for row in rows.values()]
    return Shown(markdown(head, lines) + "\n" + markdown(["run", *labels], each))


if __name__ == "__main__":
    program("few_shot.one_shot_runs", Config, study)
