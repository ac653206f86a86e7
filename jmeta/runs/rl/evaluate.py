"""What a trained agent gets on new tasks, beside the exact optimum and classic strategies."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jmeta.errors import RunError
from jmeta.report.statistics import over_seeds
from jmeta.rl.programs.references import Reference, references
from jmeta.rl.programs.train import load, test_keys
from jmeta.runs.folder import EVALUATION, write_json
from jmeta.runs.memory import enough_memory


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: the folder of a trained run.
        tasks: new tasks, the same for all seeds and agents.
        compare: simulate the classic strategies and solve for the optimum too.
        chunk: tasks computed at once.
    """

    run_dir: str
    tasks: int = 2000
    compare: bool = True
    chunk: int = 500


def measured(config: Config) -> tuple[Any, Any, np.ndarray]:
    """Settings of the run, its environment, and rewards of each round `[seeds, tasks, rounds]`.

    Raises:
        RunError: as `load`, for fewer than 2 tasks, or too little memory.
    """
    if config.tasks < 2 or config.chunk < 1:
        raise RunError(f"--tasks must be 2 or more and --chunk 1 or more, got {config.tasks} and {config.chunk}.")
    own, env, agent, state = load(config.run_dir)

    def one(params: Any, key: Any) -> Any:
        task_key, act_key = jax.random.split(key)
        return agent.test(params, act_key, env.sample_task(task_key))

    run = jax.jit(
        lambda params, keys: jax.lax.map(lambda key: one(params, key), keys, batch_size=min(config.chunk, config.tasks))
    )
    keys = test_keys(config.tasks)
    with enough_memory(f"{config.chunk} tasks at once don't fit into the device's memory: give a smaller --chunk."):
        rounds = [np.asarray(run(jax.tree.map(lambda a, s=s: a[s], state.params), keys)) for s in range(own.seeds)]
    return own, env, np.stack(rounds).astype(np.float64)


def summary(rewards: np.ndarray, sums: bool) -> dict[str, Any]:
    """Means and intervals, over tasks for one seed and over seeds for several.

    Args:
        rewards: `[seeds, tasks, rounds]`.
        sums: whether rounds add up to what counts, as episodes of a trial do; otherwise the last round counts.
    """
    counts = rewards.sum(axis=2) if sums else rewards[:, :, -1]
    seeds = counts.mean(axis=1)
    over_tasks = 1.96 * counts.std(axis=1, ddof=1) / counts.shape[1] ** 0.5
    mean, ci95 = over_seeds(seeds.tolist())
    each = rewards.mean(axis=(0, 1))
    spread = 1.96 * rewards.mean(axis=0).std(axis=0, ddof=1) / rewards.shape[1] ** 0.5
    return {
        "mean": mean, "ci95": float(over_tasks[0]) if ci95 is None else ci95, "seeds": seeds.tolist(),
        "ci95_over_tasks": over_tasks.tolist(), "tasks": rewards.shape[1], "rounds": each.tolist(),
        "rounds_ci95": spread.tolist(),
    }  # fmt: skip


def markdown(name: str, found: dict[str, Any], known: list[Reference], round_name: str) -> str:
    """The table: the agent and what is known, and below it the agent's rounds."""
    lines = ["| | total reward |", "|---|---|"]
    seeds = "1 seed" if len(found["seeds"]) == 1 else f"{len(found['seeds'])} seeds"
    lines.append(f"| **{name}** ({seeds}) | **{found['mean']:.3f} +- {found['ci95']:.3f}** |")
    for row in known:
        lines.append(f"| {row.name} | {row.total:.3f}" + ("" if row.ci95 is None else f" +- {row.ci95:.3f}") + " |")
    rounds = found["rounds"]
    if len(rounds) > 1:
        lines += ["", f"| {round_name} | {' | '.join(str(i) for i in range(len(rounds)))} |"]
        lines += ["|---" * (len(rounds) + 1) + "|"]
        cells = [f"{m:.2f} +- {c:.2f}" for m, c in zip(rounds, found["rounds_ci95"], strict=True)]
        lines.append(f"| reward | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json.

    Raises:
        RunError: as `measured`.
    """
    own, env, rewards = measured(config)
    sums = own.algorithm == "rl2"
    found = summary(rewards, sums)
    known = references(own, env) if config.compare else []
    result = {"config": dataclasses.asdict(own), **found, "references": [row._asdict() for row in known]}
    write_json(Path(config.run_dir) / EVALUATION, result)
    print(markdown(f"{own.algorithm}, {own.policy}", found, known, "episode" if sums else "inner steps"))
    return result
