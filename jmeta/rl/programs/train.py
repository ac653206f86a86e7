"""Train RL^2 or MAML on a family of environments, several seeds in one program."""

import dataclasses
import json
import math
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jmeta.errors import DivergedError, RunError
from jmeta.rl.agent import Agent, RLMetrics
from jmeta.rl.programs.settings import Config, agent_of, check, env_of, folder_of, restored, start
from jmeta.rl.types import Env
from jmeta.runs import checkpoints, folder
from jmeta.runs.memory import enough_memory
from jmeta.runs.signals import Stop, asked_to_stop
from jmeta.training import TrainState

__all__ = ["Config", "Result", "load", "main", "start", "states_of", "train"]

RUN_WIDE = ("resume", "run_dir", "updates")
"""Settings that another start may change."""


class Result(NamedTuple):
    """How a run ended.

    Attributes:
        run_dir: its folder.
        state: of all seeds, see `states_of`.
        step: updates taken.
        stopped_by: the signal that stopped it, or None.
        rows: of metrics.jsonl.
    """

    run_dir: Path
    state: TrainState
    step: int
    stopped_by: int | None
    rows: list[dict[str, Any]]


def states_of(agent: Agent, config: Config) -> TrainState:
    """The first state of all seeds: all but the step has a leading axis of them."""
    keys = jnp.stack([jax.random.key(config.seed + i) for i in range(config.seeds)])
    return jax.vmap(agent.init)(keys)._replace(step=jnp.int32(0))


def advance(agent: Agent, updates: int) -> Any:
    """`states -> (states, RLMetrics [seeds, updates])`, compiled."""
    axes = TrainState(0, 0, 0, None)  # type: ignore[arg-type]

    def run(state: TrainState) -> tuple[TrainState, RLMetrics]:
        return jax.lax.scan(lambda state, _: agent.update(state), state, None, length=updates)

    return jax.jit(jax.vmap(run, in_axes=(axes,), out_axes=(axes, 0)))


def train(config: Config, *, stop: Stop = lambda: None, report: Any = None) -> Result:
    """Train, or go on training, in a run folder.

    Args:
        config: the settings.
        stop: asked after each row; a signal's number makes it save and return.
        report: `row -> None`, told of each row.

    Raises:
        RunError: for settings that make no sense, a folder that belongs to another run, or too little memory;
            DivergedError where loss or rewards are no longer finite.
    """
    check(config)
    env = env_of(config)
    agent = agent_of(config, env)
    run_dir = folder_of(config)
    _open(run_dir, config)
    with checkpoints.opened(run_dir / folder.CHECKPOINTS) as kept:
        state = states_of(agent, config)
        newest = checkpoints.newest(kept)
        folder.cut_rows(run_dir / folder.METRICS, newest or 0)
        if newest is not None:
            state = checkpoints.restore(kept, newest, state)
        step, run, stopped_by = int(state.step), advance(agent, config.log_every), None
        while step < config.updates:
            stopped_by = stop()
            if stopped_by is not None:
                break
            began = time.perf_counter()
            with enough_memory(
                f"{config.tasks} tasks of {config.episodes} episodes don't fit into the device's memory: "
                "give a smaller --tasks, --episodes or --seeds, in another --run-dir."
            ):
                state, metrics = run(state)
                step = int(state.step)
                row = _row(config, env, step, metrics, time.perf_counter() - began)
            _check_finite(row, newest)
            folder.append_row(run_dir / folder.METRICS, row)
            if step % config.save_every == 0 or step >= config.updates:
                checkpoints.save(kept, state, None)
                newest = step
            if report is not None:
                report(row)
        if stopped_by is not None and step and step != checkpoints.newest(kept):
            checkpoints.save(kept, state, None)
    return Result(run_dir, state, step, stopped_by, folder.read_rows(run_dir / folder.METRICS))


def _open(run_dir: Path, config: Config) -> None:
    """Make the folder, or make sure that it belongs to this run."""
    path = run_dir / folder.CONFIG
    own = json.loads(json.dumps(dataclasses.asdict(config)))
    if not path.exists():
        if run_dir.exists() and (not run_dir.is_dir() or any(run_dir.iterdir())):
            raise RunError(f"{run_dir} is there and is no run folder: choose another --run-dir.")
        run_dir.mkdir(parents=True, exist_ok=True)
        folder.write_json(path, own)
        return
    if not config.resume:
        raise RunError(f"{run_dir} already holds a run: go on with it by --resume, or choose another --run-dir.")
    stored = folder.read_json(path)
    different = [f"{k} {stored.get(k)} and not {v}" for k, v in own.items() if k not in RUN_WIDE and stored.get(k) != v]
    if config.lr_schedule != "constant" and stored.get("updates") != config.updates:
        different.append(f"updates {stored.get('updates')} and not {config.updates}")
    if different:
        raise RunError(f"{run_dir} belongs to another run ({'; '.join(different)}): choose another --run-dir.")


def _row(config: Config, env: Env, step: int, metrics: RLMetrics, seconds: float) -> dict[str, Any]:
    """A row of metrics `[seeds, updates]`."""
    returns = np.asarray(metrics.returns, np.float64)
    acts = returns.size * config.tasks * config.episodes * env.horizon
    rounds = 1 if config.algorithm == "rl2" else config.inner_steps + 1
    return {
        "step": step,
        "returns": float(returns.mean()),
        "returns_of_seeds": returns.mean(axis=1).tolist(),
        "loss": float(np.mean(metrics.loss)),
        "entropy": float(np.mean(metrics.entropy)),
        "kl": float(np.mean(metrics.kl)),
        "seconds": round(seconds, 3),
        "env_steps_per_second": round(acts * rounds / seconds, 1),
    }


def _check_finite(row: dict[str, Any], newest: int | None) -> None:
    if not (math.isfinite(row["loss"]) and math.isfinite(row["returns"])):
        kept = "there is no checkpoint yet" if newest is None else f"the checkpoint of update {newest} is kept"
        raise DivergedError(
            f"rewards or losses are not finite before update {row['step']}; {kept}: check the environment's rewards, "
            "or try a smaller --lr in another --run-dir."
        )


def load(run_dir: str | Path) -> tuple[Config, Env, Agent, TrainState]:
    """A trained run.

    Raises:
        RunError: if it is no run folder, has no checkpoint yet, or is damaged.
    """
    path = Path(run_dir)
    stored = folder.read_json(path / folder.CONFIG)
    names = {field.name for field in dataclasses.fields(Config)}
    if stored.get("algorithm") not in ("rl2", "maml") or not set(stored) <= names:
        raise RunError(f"{path} is no run of jmeta rl train: choose another --run-dir.")
    config = restored(stored)
    env = env_of(config)
    agent = agent_of(config, env)
    with checkpoints.opened(path / folder.CHECKPOINTS, read_only=True) as kept:
        step = checkpoints.newest(kept)
        if step is None:
            raise RunError(f"{path} has no checkpoint yet: train on with jmeta rl train --resume.")
        return config, env, agent, checkpoints.restore(kept, step, states_of(agent, config))


def main(config: Config) -> Result:
    """Train with progress on the terminal.

    Raises:
        RunError: as `train`.
    """
    console = Console()
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[numbers]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with asked_to_stop() as stop, Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task(f"{config.algorithm} on {config.env}", total=config.updates, numbers="compiling")

        def report(row: dict[str, Any]) -> None:
            progress.update(bar, completed=row["step"], numbers=f"return {row['returns']:.3f}")
            if not console.is_terminal:
                words = [f"update {row['step']}/{config.updates}", f"return {row['returns']:.3f}"]
                words += [f"entropy {row['entropy']:.3f}", f"{row['env_steps_per_second']:,.0f} steps/s"]
                print("  ".join(words), flush=True)

        result = train(config, stop=stop, report=report)
    if result.stopped_by is not None:
        print(f"stopped and saved at update {result.step}: the same command with --resume goes on.")
        raise SystemExit(128 + result.stopped_by)
    print(f"trained for {result.step} updates, kept in {result.run_dir}")
    print(f"next: jmeta rl evaluate --run-dir {result.run_dir}")
    return result


def test_keys(tasks: int) -> Array:
    """Keys of test tasks, the same for all agents."""
    return jax.random.split(jax.random.key(0x7E57), tasks)
