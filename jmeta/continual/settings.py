"""Settings of continual learning: what streams are of, what learns them, and how it is trained."""

import dataclasses
from typing import Any

from jmeta.algorithms.settings import Outer
from jmeta.continual.algorithms.catalog import LEARNERS
from jmeta.errors import RunError
from jmeta.nets import catalog
from jmeta.nets.catalog import Network
from jmeta.registry import spelled
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        algorithm: how a stream is learned, or by which online learner a sequence of tasks.
    """

    algorithm: str = "gemcl"


@dataclasses.dataclass(frozen=True)
class Streams:
    """What is learned from: streams of classes, one after another, each example once.

    Attributes:
        dataset: any data set, such as omniglot, glyphs:N, a file or a folder, as `jmeta train` has them.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        split: which classes are for training, validation and test; default is lake for Omniglot, background against
            evaluation alphabets, and else the data's own.
        rotations: count classes turned by multiples of 90 degrees as classes of their own, in training and validation;
            not in the test.
        augment: how each picture is changed in training: none, or affine (turned, stretched, slanted, moved a little).
        classes: of a stream in training.
        shot: examples of each class in the stream, in training.
        query_shot: examples of each class that it is asked for after, in training and in validation.
        remember: queries of other classes in training, which a head has to keep.
        val_classes: of a stream of validation; fewer where there are fewer.
        val_shot: examples of each class in a stream of validation.
        val_streams: of each validation.
    """

    dataset: str = "omniglot"
    data_dir: str | None = setting(None, place=True)
    split: str = "default"
    rotations: bool = True
    augment: str = setting("none", choices=("none", "affine"))
    classes: int = setting(20, least=2)
    shot: int = setting(5, least=1)
    query_shot: int = setting(5, least=1)
    remember: int = setting(0, least=0)
    val_classes: int = setting(50, least=2)
    val_shot: int = setting(15, least=1)
    val_streams: int = setting(4, least=2)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Meta-train a learner of streams, and keep it in a run folder.

    Attributes:
        algorithm: how a stream is learned: oml, anml (a head by gradient steps, one an example), class-means, gemcl (a
            posterior of each class), ridge (recursive least squares).
        learner: what the algorithm can be told, and no more.
        streams: what is learned from.
        network: what learns.
        outer: how it is trained.
    """

    algorithm: str
    learner: Any
    streams: Streams
    network: Network
    outer: Outer


def defaults(choice: Choice) -> Settings:
    """What to start from, for a learner."""
    name = spelled(choice.algorithm)
    row = LEARNERS.get(name)
    ordered = row.ordered
    streams = Streams(classes=5, remember=15) if ordered else Streams()
    network = Network("conv4-flat", norm="none" if ordered else "batch")
    return Settings(name, row.settings(), streams, network, Outer(outer_steps=5000))


def check(settings: Settings) -> None:
    """Refuse what makes no streams, with a RunError that names the setting."""
    catalog.check(settings.network)
    row, norm = LEARNERS.get(settings.algorithm), settings.network.norm
    if row.ordered and norm in ("batch", "support"):
        raise RunError(
            f"--norm {norm} has the statistics of the whole stream at its first example, which {settings.algorithm} "
            "must not see: choose none, group or layer."
        )
    if settings.streams.remember and not row.ordered:
        raise RunError(
            f"{settings.algorithm} keeps nothing of classes that a stream has not: leave --remember out, or choose "
            "--algorithm oml or anml."
        )
