"""Small runs of meta-reinforcement learning, and what they are compared by."""

from pathlib import Path

import jax.numpy as jnp

from jmeta import cli
from jmeta.rl.settings import Choice, defaults
from jmeta.rl.types import Discrete, Env, Step
from jmeta.runs.engine import folder
from jmeta.runs.engine.options import Options
from jmeta.settings import replaced

ROOT = str(Path(cli.__file__).parent.parent)

TINY = replaced(
    defaults(Choice("rl2", "bandit")),
    {
        "arms": 2,
        "pulls": 3,
        "units": 4,
        "meta_batch_size": 8,
        "val_tasks": 16,
        "minibatches": 2,
        "epochs": 1,
        "updates": 4,
    },
)
EVERY = Options(log_every=1, save_every=2)
BANDIT = "--env bandit --arms 2 --pulls 3 --units 4 --meta-batch-size 8 --val-tasks 16 --minibatches 2 --epochs 1 "
BANDIT += "--updates 4 --log-every 1 --save-every 2"


def options(folder, **changes):
    return replaced(EVERY, {"run_dir": str(folder), **changes})


def command(folder, *words):
    return cli.main(["rl", "train", *BANDIT.split(), *map(str, words), "--run-dir", str(folder)])


def without_clock(rows):
    return [{k: v for k, v in row.items() if "second" not in k} for row in rows]


def rows_of(folder_of_run):
    return without_clock(folder.read_rows(folder_of_run / folder.METRICS))


def for_ever(cuts, horizon=5, pay=1.0):
    """It pays at each step, and is over after some: cut by a limit of time, or at an end."""
    start = jnp.zeros((1,), jnp.float32)

    def step(key, state, action, task):
        over = state + 1 >= horizon
        return state + 1, Step(start, jnp.float32(pay), over, over & cuts)

    return Env(
        lambda key: jnp.int32(0), lambda key, task: (jnp.int32(0), start), step, Discrete(2), 1, horizon, (0.0, pay)
    )
