"""What a trained agent gets on new tasks, beside the exact optimum and classic strategies."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from jax.tree_util import Partial

from jmeta.loop import mapped
from jmeta.report.files import write_json
from jmeta.report.statistics import crossed, interval
from jmeta.report.tables import markdown, plus_minus
from jmeta.rl.experiment import counted, evaluation_keys, rewards_of
from jmeta.runs.engine.devices import check_number, enough_memory
from jmeta.runs.engine.folder import EVALUATION
from jmeta.runs.rl.references import Reference, references
from jmeta.runs.rl.trained import Trained, load
from jmeta.settings import check, setting, to_dict

ROUND = {"rl2": "episode", "maml": "inner steps"}  # of learning a new task


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: the folder of a trained run, or of a group of runs, whose seeds are put together.
        tasks: new tasks, the same for all seeds and agents.
        compare: simulate the classic strategies and solve for the optimum too.
        chunk: tasks computed at once.
        checkpoint: best (by validation) or newest.
    """

    run_dir: str
    tasks: int = setting(2000, least=2)
    compare: bool = True
    chunk: int = setting(500, least=1)
    checkpoint: str = setting("newest", choices=("best", "newest"))


def measured(trained: Trained, *, tasks: int, chunk: int) -> np.ndarray:
    """Rewards of each round on new tasks, `[seeds, tasks, rounds]`; tasks are the same for all, a chunk at once."""
    test = lambda params, key: rewards_of(trained.agent, trained.env, params, key)
    check_number(tasks, "--tasks")
    keys = evaluation_keys(tasks)
    with enough_memory(f"{chunk} tasks at once don't fit into the device's memory: give a smaller --chunk."):
        rounds = [
            mapped(Partial(test, params), keys, chunk_size=min(chunk, tasks)) for params in trained.params.values()
        ]
        return np.stack([np.asarray(each) for each in rounds]).astype(np.float64)


def summary(rewards: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    """Means and intervals of rewards `[seeds, tasks, rounds]` and of what counts of them, seeds crossed with tasks."""
    mean, ci95 = crossed(counts)
    seeds = [interval(own) for own in counts]
    rounds = [crossed(each) for each in np.moveaxis(rewards, 2, 0)]
    return {
        "mean": mean, "ci95": ci95, "seeds": [own for own, _ in seeds], "ci95_over_tasks": [half for _, half in seeds],
        "tasks": rewards.shape[1], "rounds": [each for each, _ in rounds], "rounds_ci95": [half for _, half in rounds],
    }  # fmt: skip


def tables(name: str, found: dict[str, Any], known: list[Reference], round_name: str) -> str:
    """The agent and what is known, and below it the agent's rounds, in Markdown."""
    seeds = "1 seed" if len(found["seeds"]) == 1 else f"{len(found['seeds'])} seeds"
    rows = [(f"**{name}** ({seeds})", f"**{plus_minus(found['mean'], found['ci95'], digits=3)}**")]
    rows += [(row.name, plus_minus(row.total, row.ci95, digits=3)) for row in known]
    text, rounds = markdown(("", "total reward"), rows), found["rounds"]
    if len(rounds) > 1:
        cells = [plus_minus(*each) for each in zip(rounds, found["rounds_ci95"], strict=True)]
        text += "\n" + markdown((round_name, *map(str, range(len(rounds)))), [("reward", *cells)])
    return text


def main(config: Config) -> dict[str, Any]:
    """Measure, print and write evaluation.json."""
    check(config)
    trained = load(config.run_dir, config.checkpoint)
    own = trained.settings
    rewards = measured(trained, tasks=config.tasks, chunk=config.chunk)
    found = summary(rewards, counted(own.learner, rewards))
    known = references(own.env, own.world, trained.env, own.learner.episodes) if config.compare else []
    result = {
        "config": to_dict(own), "checkpoint": config.checkpoint, "steps": trained.steps, **found,
        "references": [row._asdict() for row in known],
    }  # fmt: skip
    print(tables(f"{own.algorithm}, {own.network.policy}", found, known, ROUND[own.algorithm]))
    write_json(Path(config.run_dir) / EVALUATION, result)
    return result
