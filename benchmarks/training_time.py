"""How long it takes until there is something: the first step of `jmeta train`, and an accuracy in validation."""

import tempfile
import time
from pathlib import Path

from benchmarks.driver import Plan, ask, worker
from benchmarks.results import Goal, Start
from benchmarks.workloads import JMETA, Workload

PRESET = "maml-omniglot-5w1s"
EVAL_STEPS, EPISODES, PIECE = 3, 600, 100


def measure_start(trials: int, plan: Plan) -> Start:
    """Cold and warm starts in turn, each cold one with empty folders of its own.

    Args:
        trials: of each.
        plan: as for comparisons.

    Raises:
        WorkerError: if a process fails.
    """
    cold, warm, source = [], [], ""
    for trial in range(trials):
        with tempfile.TemporaryDirectory(dir=plan.folder) as cache:
            for seconds, name in ((cold, "cold"), (warm, "warm")):
                plan.say(f"start {trial + 1} of {trials}, {name}")
                module = "benchmarks.workers.first_step"
                with worker("first-step", module, plan.pythons[JMETA], plan.folder, JMETA_CACHE=cache) as w:
                    run_dir = str(Path(cache) / f"run-{name}")
                    source = ask(w, "first_step", **plan.request, preset=PRESET, run_dir=run_dir)["source"]
                    seconds.append(time.time() - w.started)
    return Start(PRESET, source, tuple(cold), tuple(warm))


def measure_goal(workload: Workload, tasks: int, accuracy: float, most_steps: int, plan: Plan) -> Goal:
    """Train until an accuracy is reached in validation, or so many outer steps are taken.

    Raises:
        WorkerError: if the process fails.
    """
    rows: list[tuple[int, float, float, float]] = []
    with worker("goal", "benchmarks.workers.goal", plan.pythons[JMETA], plan.folder) as w:
        request = {**plan.request, "workload": workload._asdict(), "tasks": tasks}
        begun = ask(w, "begin", **request, inner_steps=EVAL_STEPS, episodes=EPISODES)
        steps, seconds = 0, 0.0
        while steps < most_steps and (not rows or rows[-1][2] < accuracy):
            piece = min(PIECE, most_steps - steps)
            reply = ask(w, "go", steps=piece)
            steps, seconds = steps + piece, seconds + reply["seconds"]
            rows.append((steps, seconds, reply["accuracy"], reply["ci95"]))
            plan.say(f"{steps} outer steps, {seconds:.0f} s: {100 * reply['accuracy']:.1f} % in validation")
    reached = rows[-1][2] >= accuracy
    return Goal(
        workload.name, tasks, begun["source"], accuracy, EVAL_STEPS, EPISODES, begun["compile_seconds"],
        tuple(rows), reached,
    )  # fmt: skip
