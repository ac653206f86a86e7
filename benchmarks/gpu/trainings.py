"""A training at its published length, several seeds in one program, and its test; what stopped goes on."""

import dataclasses
import hashlib
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu.chosen import chunk_size, set_precision
from benchmarks.gpu.protocol import Ask, LeftOut, Outcome
from benchmarks.learners import GLYPHS, has_omniglot
from jmeta.errors import DataError
from jmeta.report import statistics
from jmeta.runs.engine import area, folder
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.train import Result
from jmeta.runs.few_shot import Data, EvaluateConfig, Size, evaluate, train
from jmeta.runs.few_shot.experiment import AREA
from jmeta.runs.few_shot.statistics import SUPPORT
from jmeta.settings import read

ROWS, SAVES = 60, 6
"""Rows of a whole run, and checkpoints, each with a validation."""
EPISODES = 1000
SAVE_SECONDS = 60.0
TESTING = 75.0
"""Seconds that are kept for the test."""


def trained(
    ask: Ask,
    *,
    seeds: int,
    published: Mapping[str, str],
    preset: str | None = None,
    changes: Mapping[str, Any] = {},
    tests: Sequence[Mapping[str, int]] = ({},),
    normalized_by: str = SUPPORT,
) -> Outcome:
    """Train by a preset or settings, and evaluate each seed on new episodes, at each size of `tests`.

    Args:
        ask: what is asked.
        seeds: as one program.
        published: accuracy in %, by the name of a test, such as 5w1s; of the only test, under no name. It is not that
            of glyphs, which are trained on where there are no other pictures.
        preset: to start from.
        changes: settings on top of it.
        tests: `way`, `shot` and `query_shot` of each; otherwise as in training.
        normalized_by: whose statistics a run with --norm support has in the test.
    """
    precision = set_precision(ask)
    use_compile_cache()
    whole = settings(ask, preset, changes, seeds)
    place = run_dir(ask, whole)
    begun = (place / (folder.GROUP if seeds > 1 else folder.CONFIG)).exists()
    options = dataclasses.replace(whole.options, run_dir=str(place), resume=begun)
    stop = lambda: signal.SIGTERM if ask.seconds_left < TESTING * max(ask.scale, 0.1) else None
    try:
        result = train(whole.settings, options, stop=stop, save_seconds=SAVE_SECONDS)
    except DataError as error:
        raise LeftOut(str(error).rstrip(".")) from error
    members = [place / f"seed{seed}" for seed in range(seeds)] if seeds > 1 else [place]
    other = whole.settings.tasks.dataset == GLYPHS
    value = {**facts(whole, result, members), **precision, "published": {} if other else dict(published)}
    steps = value["steps"]
    if result.step < steps:
        return Outcome(value, f"{result.step:,} of {steps:,} outer steps are taken")
    ask.keep(value)
    value["tests"] = []
    for size in tests:
        value["tests"].append(tested(ask, members, size, normalized_by))
        ask.keep(value)
    return Outcome(value)


def settings(ask: Ask, preset: str | None, changes: Mapping[str, Any], seeds: int) -> area.Whole:
    """All settings of the run, its length at the scale; on glyphs where Omniglot is not at hand."""
    values = {**(area.preset_values(AREA, preset) if preset else {}), **changes}
    if values["dataset"] == "omniglot" and not has_omniglot(ask.data_dir):
        values = {**values, "dataset": GLYPHS, "split": "default"}
    steps = ask.length(values["outer_steps"])
    every = max(1, -(-steps // ROWS))
    values |= {
        "outer_steps": steps, "log_every": every, "save_every": every * (ROWS // SAVES), "data_dir": ask.data_dir,
        "seeds": seeds if seeds > 1 else None, "val_episodes": ask.length(values["val_episodes"], least=2),
        "chunk_size": chunk_size(ask, values["meta_batch_size"], pictures=True),
    }  # fmt: skip
    return read(area.start_of(AREA, values), values, "the part")


def run_dir(ask: Ask, whole: area.Whole) -> Path:
    """A folder that belongs to these settings alone, so that what goes on is never another run."""
    said = repr(whole.settings) + repr(whole.options.seeds)
    name = f"{whole.settings.algorithm}-{hashlib.sha256(said.encode()).hexdigest()[:10]}"
    return ask.work / "runs" / name


def facts(whole: area.Whole, result: Result, members: Sequence[Path]) -> dict[str, Any]:
    """How far training is, and what it took: seconds of training without compiling, validation and saving."""
    rows = [folder.read_rows(member / folder.METRICS) for member in members]
    seconds = sum(row["seconds"] for row in rows[0])
    batch = whole.settings.outer.meta_batch_size
    last = {name: rows[0][-1][name] for name in rows[0][-1] if name.startswith("val")} if rows[0] else {}
    tasks = whole.settings.tasks
    return {
        "algorithm": whole.settings.algorithm, "dataset": tasks.dataset, "network": whole.settings.network.network,
        "steps": whole.settings.outer.outer_steps, "step": result.step, "seeds": len(members),
        "meta_batch_size": batch, "chunk_size": whole.settings.outer.chunk_size, "train_seconds": round(seconds, 2),
        "compile_seconds": sum(row.get("compile_seconds", 0.0) for row in rows[0]),
        "tasks_per_second": len(members) * batch * result.step / seconds if seconds else None,
        "validation_of_first": last,
    }  # fmt: skip


def tested(ask: Ask, members: Sequence[Path], size: Mapping[str, int], normalized_by: str = SUPPORT) -> dict[str, Any]:
    """Accuracy of each seed on new episodes, the mean over seeds, and its interval: over episodes for one seed."""
    episodes = ask.length(EPISODES, least=8)
    asked = partial(EvaluateConfig, episodes=episodes, size=Size(**size), data=Data(data_dir=ask.data_dir))
    found = [evaluate(asked(str(member), statistics=normalized_by)) for member in members]
    accuracies = [row["accuracy"] for row in found]
    mean, ci95 = statistics.interval(accuracies) if len(found) > 1 else (found[0]["accuracy"], found[0]["ci95"])
    first = found[0]
    kept = {name: first[name] for name in ("way", "shot", "query_shot", "inner_steps", "split_hash", "dataset")}
    alone = [row.get("inductive_accuracy") for row in found]
    return {
        "name": f"{first['way']}w{first['shot']}s", **kept, "episodes": episodes, "mean": mean,
        "ci95": ci95, "accuracy": accuracies, "ci95_over_episodes": [row["ci95"] for row in found],
        "inductive_accuracy": alone,
    }  # fmt: skip
