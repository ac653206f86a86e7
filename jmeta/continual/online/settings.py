"""Settings of online learning: what the sequence of tasks is, what learns it, and for how long."""

import dataclasses
from typing import Any

from jmeta.continual.online.catalog import ONLINE
from jmeta.errors import RunError
from jmeta.nets import catalog
from jmeta.nets.catalog import Network
from jmeta.registry import spelled
from jmeta.settings import of_parameters, setting


@dataclasses.dataclass(frozen=True)
class Tasks:
    """What is learned from: a data set of pictures as tasks, one after another.

    Attributes:
        dataset: any data set of pictures, as `jmeta train` has them.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        sequence: split (each task has classes of its own), permuted (its own order of pixels) or rotated (its angle).
        scenario: task (it is told which), domain (labels within the task) or class (all labels).
        tasks: of permuted and rotated pictures.
        way: classes of each task of split pictures, which are as many tasks as there are classes for.
        held_out: share of each class's examples to validate on, and as much again to test on.
    """

    dataset: str = "mnist28"
    data_dir: str | None = setting(None, place=True)
    sequence: str = setting("split", choices=("split", "permuted", "rotated"))
    scenario: str = setting("class", choices=("task", "domain", "class"))
    tasks: int = setting(5, least=2)
    way: int = setting(2, least=2)
    held_out: float = setting(1 / 6, above=0, most=0.4)


@dataclasses.dataclass(frozen=True)
class Steps:
    """How long, and by which rate.

    Attributes:
        adam_lr: of Adam, for learners that have no rates of their own.
        task_steps: on each task.
        batch_size: examples of a step.
        finish_size: examples of a task that its end is told with, as for the Fisher matrix of EWC.
    """

    adam_lr: float = setting(1e-3, above=0, swept=True)
    task_steps: int = setting(500, least=1)
    batch_size: int = setting(32, least=2)
    finish_size: int = setting(100, least=1)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Learn tasks one after another, each met once.

    Attributes:
        algorithm: the online learner: sgd, replay, ewc, la-maml, mer or ftml; gemcl, oml and others learn a stream of
            classes.
        learner: what the algorithm can be told, and no more.
        sequence: what is learned from.
        network: what learns.
        steps: how long.
    """

    algorithm: str
    learner: Any
    sequence: Tasks
    network: Network
    steps: Steps


def defaults(choice: Any) -> Settings:
    """What to start from, for a learner."""
    name = spelled(choice.algorithm)
    own = dataclasses.make_dataclass("Learner", of_parameters(ONLINE.get(name).make, ()), frozen=True)
    return Settings(name, own(), Tasks(), Network("mlp", (100, 100), "none"), Steps())


def check(settings: Settings) -> None:
    """Refuse what can't learn a sequence, with a RunError that names the setting."""
    catalog.check(settings.network)
    ONLINE.get(settings.algorithm)
    if settings.network.norm in ("batch", "support"):
        raise RunError(
            f"--norm {settings.network.norm} is of the examples at hand, which are a few and then many here: choose "
            "none, group or layer."
        )
