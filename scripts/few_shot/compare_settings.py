"""What is compared, and the runs that it takes."""

import dataclasses
from pathlib import Path
from typing import Any

from jmeta.bayes.catalog import BAYESIAN
from jmeta.errors import RunError, unknown
from jmeta.runs.engine.area import Whole
from jmeta.runs.engine.folder import CONFIG, read_json
from jmeta.runs.few_shot import Choice, defaults
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.settings import replaced, setting
from jmeta.tasks import catalog

KNOWN = tuple(name for name, row in LEARNERS.items() if row.paper and row.classes)
ALGORITHMS = tuple(name for name in KNOWN if name not in BAYESIAN)
"""To start from; the Bayesian ones are named, such as meta-qda, versa and deep-kernel."""
LOG_EVERY = 10
"""Outer steps of a row, after which the budget is looked at."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What all learners have the same of.

    Attributes:
        budget: tasks to train on, or seconds of training (compiling and saving not counted).
        tasks: how many, where that is the budget. For Baseline and Baseline++ a task is a batch of as many pictures.
        seconds: how many, where that is the budget.
    """

    budget: str = setting("tasks", choices=("tasks", "seconds"), place=True)
    tasks: int = setting(20_000, least=1, place=True)
    seconds: float = setting(300.0, above=0, place=True)


@dataclasses.dataclass(frozen=True)
class Learned:
    """What is learned, and by what network.

    Attributes:
        dataset: what is learned from.
        split: its split.
        query_shot: query examples of each class.
        network: of all learners, one of those of `jmeta train`.
        features: channels of the convolutions, or units of the layers.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
    """

    dataset: str = "omniglot"
    split: str = "default"
    query_shot: int = setting(5, least=1)
    network: str = "conv4"
    features: tuple[int, ...] = (64,)
    data_dir: str | None = setting(None, place=True)


@dataclasses.dataclass(frozen=True)
class Config:
    """Train all learners and judge them by the same test episodes; results.json, table.md and accuracy.png.

    `--quick` is `--budget seconds --seconds 7 --network mlp --features 128 64 --episodes 200 --run-dir
    runs/compare-quick` to start from: a network that is soon compiled.

    Attributes:
        algorithms: which learners, beside the reference; those of `jmeta bayes` that tell classes apart too.
        ways: classes of an episode, in training and in the test.
        shots: support examples of each class, in training and in the test.
        training: the budget.
        learned: what is learned, and by what network.
        meta_batch_size: tasks of an outer step; few, since in a short training many steps matter more.
        episodes: of the test, the same for all.
        reference: the learner that the others are compared with, episode by episode.
        seed: of the runs and of the test episodes.
        run_dir: the folder of all runs, of results.json, table.md and accuracy.png.
        draw: draw accuracy.png, which needs matplotlib.
    """

    algorithms: tuple[str, ...] = setting(ALGORITHMS, place=True)
    ways: tuple[int, ...] = setting((5,), place=True)
    shots: tuple[int, ...] = setting((1,), place=True)
    training: Budget = Budget()
    learned: Learned = Learned()
    meta_batch_size: int = setting(4, least=1)
    episodes: int = setting(1000, least=2, place=True)
    reference: str = setting("prototypical", place=True)
    seed: int = setting(0, least=0, place=True)
    run_dir: str = setting("runs/compare", place=True)
    draw: bool = setting(True, place=True)


def configured(**values: Any) -> Config:
    """The defaults with some settings changed, by their flat names."""
    return replaced(Config(), values)


QUICK = configured(
    budget="seconds", seconds=7.0, network="mlp", features=(128, 64), episodes=200, run_dir="runs/compare-quick"
)


def check(config: Config) -> None:
    """Refuse what isn't there, or makes no sense with any data.

    Raises:
        RunError: naming it.
    """
    for algorithm in (*config.algorithms, config.reference):
        if algorithm not in KNOWN:
            raise unknown("algorithm", algorithm, KNOWN)
    if not (config.ways and config.shots):
        raise RunError("there must be --ways and --shots: give at least one of each.")
    if catalog.row(config.learned.dataset).sampler is not None:
        raise RunError(
            f"{config.learned.dataset} has no pictures, which learners are compared on: choose another --dataset."
        )


def settings(config: Config, algorithm: str, way: int, shot: int) -> Whole:
    """A run's settings: the learner's defaults, with one network for all, and Adam at a constant rate for those that
    have a gradient. Reptile has no queries to learn from, and gets as many pictures of a task to adapt to."""
    start = Whole(*defaults(Choice(algorithm, config.learned.dataset)))
    steps = -(-config.training.tasks // config.meta_batch_size) if config.training.budget == "tasks" else 1_000_000
    budget = f"{config.training.tasks}tasks" if config.training.budget == "tasks" else f"{config.training.seconds:g}s"
    reptile = {"train_shot": shot + config.learned.query_shot, "query_shot": 1} if algorithm == "reptile" else {}
    run_dir = Path(config.run_dir) / f"{algorithm}-{way}w{shot}s-{budget}-seed{config.seed}"
    changes = {
        "way": way,
        "shot": shot,
        "query_shot": config.learned.query_shot,
        "meta_batch_size": config.meta_batch_size,
        "split": config.learned.split,
        "network": config.learned.network,
        "features": config.learned.features,
        "outer_steps": steps,
        "outer_schedule": "constant",
        "log_every": LOG_EVERY,
        "save_every": -(-steps // LOG_EVERY) * LOG_EVERY,
        "seed": config.seed,
        "data_dir": config.learned.data_dir,
        "run_dir": str(run_dir),
        "resume": run_dir.is_dir(),
    }
    return begun(replaced(start, {**changes, **reptile}))


def begun(run: Whole) -> Whole:
    """The settings, with what an earlier start has estimated for them."""
    path = Path(str(run.options.run_dir)) / CONFIG
    kept = read_json(path).get("anneal_steps") if path.exists() else None
    return run if kept is None else replaced(run, {"anneal_steps": kept})
