"""Settings of the join of meta-learning and multi-task learning."""

import dataclasses
from typing import Any

from jmeta.algorithms.catalog import check_episodic, episodic_settings
from jmeta.algorithms.settings import Outer
from jmeta.errors import RunError
from jmeta.nets import catalog
from jmeta.nets.catalog import Network
from jmeta.registry import spelled
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        algorithm: the meta-learner.
    """

    algorithm: str = "prototypical"


@dataclasses.dataclass(frozen=True)
class Problems:
    """What is learned from: problems of a few binary tasks, which of two classes is it, all of one group.

    Attributes:
        dataset: any data set with groups, such as omniglot with its alphabets.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        split: which classes are for training and for the test; groups of the test part must not be in training for
            problems to be of a new group. default is lake for Omniglot, and else the data's own.
        tasks: binary tasks of a problem.
        shot: support examples of each class, even: half to learn from and half to ask in the joint steps.
        query_shot: query examples of each class, in training and in the test.
        val_problems: of each validation.
    """

    dataset: str = "omniglot"
    data_dir: str | None = setting(None, place=True)
    split: str = "default"
    tasks: int = setting(5, least=1)
    shot: int = setting(2, least=2)
    query_shot: int = setting(5, least=1)
    val_problems: int = setting(50, least=2)


@dataclasses.dataclass(frozen=True)
class Joint:
    """Training on all tasks of a problem together, before each is adapted to.

    Attributes:
        joint_lr: rate of the joint steps, of gradient descent.
        joint_steps: on each problem; 0 learns a task at a time.
    """

    joint_lr: float = setting(0.1, above=0, swept=True)
    joint_steps: int = setting(1, least=0)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Meta-train a learner through joint steps on problems of several tasks.

    Attributes:
        algorithm: the meta-learner, any of `jmeta train` that learns from episodes.
        learner: what the algorithm can be told, and no more.
        problems: what is learned from.
        network: what learns.
        joint: the joint steps.
        outer: how it is trained.
    """

    algorithm: str
    learner: Any
    problems: Problems
    network: Network
    joint: Joint
    outer: Outer


def defaults(choice: Choice) -> Settings:
    """What to start from, for a meta-learner."""
    name = spelled(choice.algorithm)
    return Settings(
        name, episodic_settings(name), Problems(), Network(features=(32,)), Joint(), Outer(meta_batch_size=2)
    )


def check(settings: Settings) -> None:
    """Refuse what makes no problems, with a RunError that names the setting."""
    catalog.check(settings.network)
    shot = settings.problems.shot
    if shot % 2:
        raise RunError(f"--shot must be 2 or another even number, half to learn from and half to ask, got {shot}.")
    check_episodic(settings.algorithm)
