"""Small runs of meta-reinforcement learning, and what they are compared by."""

from pathlib import Path

from jmeta import cli
from jmeta.rl.settings import Choice, defaults
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
