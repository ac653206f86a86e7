"""Settings of active few-shot learning."""

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
        algorithm: the learner, which is told the labels.
    """

    algorithm: str = "prototypical"


@dataclasses.dataclass(frozen=True)
class Pools:
    """What is learned from: pools of examples of some classes, whose labels are asked for one by one.

    Attributes:
        dataset: any that has classes.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        split: which classes are for training, validation and the test; default is the data's own.
        encoder: the run folder of `jmeta train` whose encoder reads the data, once and for all; None for the data as
            they are, which the network reads.
        way: classes of a pool.
        pool_shot: examples of each class in a pool.
        query_shot: other examples of each class, by which the learner is judged.
        labels: how many are asked for.
        val_pools: of each validation.
    """

    dataset: str = "glyphs"
    data_dir: str | None = setting(None, place=True)
    split: str = "default"
    encoder: str | None = setting(None, place=True)
    way: int = setting(5, least=2)
    pool_shot: int = setting(5, least=1)
    query_shot: int = setting(5, least=1)
    labels: int = setting(10, least=1)
    val_pools: int = setting(100, least=2)


@dataclasses.dataclass(frozen=True)
class Asking:
    """The learned rule.

    Attributes:
        units: of each layer of its network.
        begin: the rule that it begins from, or none.
        rollouts: runs through each pool, which are judged beside each other.
        joint: whether the learner is trained too, through what is asked.
    """

    units: int = setting(32, least=1)
    begin: str = setting("coverage", choices=("none", "coverage", "k-centre", "entropy", "margin"))
    rollouts: int = setting(4, least=2)
    joint: bool = False


@dataclasses.dataclass(frozen=True)
class Settings:
    """Learn what to ask: train a rule that chooses which labels of a pool to ask for.

    Attributes:
        algorithm: the learner, any of `jmeta train` that learns from episodes.
        learner: what the algorithm can be told, and no more.
        pools: what is learned from.
        network: of the learner; linear leaves features as they are.
        asking: the rule.
        outer: how it is trained.
    """

    algorithm: str
    learner: Any
    pools: Pools
    network: Network
    asking: Asking
    outer: Outer


def defaults(choice: Choice) -> Settings:
    """What to start from, for a learner."""
    name = spelled(choice.algorithm)
    return Settings(
        name, episodic_settings(name), Pools(), Network("linear", norm="none"), Asking(), Outer(3e-3, 1000, 8)
    )


def check(settings: Settings) -> None:
    """Refuse what can't be asked, with a RunError that names the setting."""
    catalog.check(settings.network)
    check_episodic(settings.algorithm)
    pools = settings.pools
    if pools.labels > pools.way * pools.pool_shot:
        raise RunError(
            f"--labels {pools.labels} are more than a pool of --way {pools.way} times --pool-shot {pools.pool_shot} "
            "has: ask for fewer, or give more."
        )
