"""RL^2 on bandits beside the optimum, and steps of environments a second."""

import dataclasses
import hashlib
import importlib.util
import signal
import statistics

from benchmarks import rl_steps
from benchmarks.gpu.chosen import set_precision
from benchmarks.gpu.protocol import Ask, Outcome
from jmeta.runs.engine import area, folder
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.rl import AREA, evaluate, train
from jmeta.settings import read

PRESET, SEEDS = "rl2-bandit-10", 3
PARALLEL, STEPS = 2048, 200
TESTING = 30.0
"""Seconds that are kept for the test."""


def trained(ask: Ask) -> Outcome:
    """RL^2 by its preset, three seeds in one program, and its test on new tasks, the exact optimum beside it."""
    precision = set_precision(ask)
    use_compile_cache()
    values = area.preset_values(AREA, PRESET)
    updates = ask.length(values["updates"])
    every = max(1, -(-updates // 40))
    values |= {"updates": updates, "log_every": every, "save_every": 10 * every, "seeds": SEEDS}
    whole = read(area.start_of(AREA, values), values, "the part")
    name = hashlib.sha256(repr(whole.settings).encode()).hexdigest()[:10]
    place = ask.work / "runs" / f"rl2-{name}"
    options = dataclasses.replace(whole.options, run_dir=str(place), resume=(place / folder.GROUP).exists())
    stop = lambda: signal.SIGTERM if ask.seconds_left < TESTING * max(ask.scale, 0.1) else None
    result = train(whole.settings, options, stop=stop, save_seconds=60.0)
    rows = folder.read_rows(place / "seed0" / folder.METRICS)
    seconds = sum(row["seconds"] for row in rows)
    value = {
        "preset": PRESET, "seeds": SEEDS, "steps": updates, "step": result.step, "train_seconds": round(seconds, 2),
        "compile_seconds": sum(row.get("compile_seconds", 0.0) for row in rows), **precision,
    }  # fmt: skip
    if result.step < updates:
        return Outcome(value, f"{result.step:,} of {updates:,} updates are taken")
    ask.keep(value)
    found = evaluate.main(evaluate.Config(str(place), tasks=ask.length(2000, least=50)))
    kept = {name: found[name] for name in ("mean", "ci95", "seeds", "tasks", "references")}
    return Outcome({**value, "test": kept})


def rates(ask: Ask) -> Outcome:
    """Million steps a second of each environment and of updates of RL^2, by jmeta, gymnax and Gymnasium."""
    parallel, steps = ask.length(PARALLEL, least=32), ask.length(STEPS, least=4)
    programs, missing = rl_steps.programs(parallel, steps)
    rounds = rl_steps.measure(programs, 7 if ask.scale == 1 else 1)
    rows = [
        {
            "environment": row.environment, "library": row.library, "compile_seconds": row.compile_s,
            "million_steps_per_second": statistics.median(each), "least": min(each), "most": max(each),
        }
        for row, each in zip(programs, rounds, strict=True)
    ]  # fmt: skip
    absent = [name for name in ("gymnax", "gymnasium") if importlib.util.find_spec(name) is None]
    return Outcome({
        "parallel": parallel, "steps": steps, "rows": rows, "left_out": missing, "not_installed": absent,
    })  # fmt: skip
