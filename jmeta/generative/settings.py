"""Settings of generators: what they draw, how they are made, and how they are trained."""

import dataclasses
from typing import Any

from jmeta.algorithms.settings import Outer
from jmeta.generative.catalog import GENERATORS
from jmeta.registry import spelled
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        algorithm: how drawings are made.
    """

    algorithm: str = "attentive-drawing"


@dataclasses.dataclass(frozen=True)
class Drawings:
    """What is drawn: new examples of a class, after none to a few of it.

    Attributes:
        dataset: any data set of black-and-white pictures, such as omniglot, glyphs:N, a file or a folder, as `jmeta
            train` has them.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        split: which classes are for training, validation and test; default is lake for Omniglot, background against
            evaluation alphabets, and else the data's own.
        rotations: count classes turned by multiples of 90 degrees as classes of their own, in training.
        augment: how each picture is changed in training: none, or affine (turned, stretched, slanted, moved a little).
        seen: the most examples that are seen before; each time, from none to so many are.
        query_shot: examples of a class whose density is asked for, in training and in validation.
        val_classes: of each validation.
    """

    dataset: str = "omniglot"
    data_dir: str | None = setting(None, place=True)
    split: str = "default"
    rotations: bool = True
    augment: str = setting("none", choices=("none", "affine"))
    seen: int = setting(10, least=1)
    query_shot: int = setting(4, least=1)
    val_classes: int = setting(100, least=2)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Train a generator: what draws new examples of a class after a few of it.

    Attributes:
        algorithm: how drawings are made: attentive-drawing (block by block, with a look at what was seen), set-vae (by
            a latent whose prior is made of what was seen), or your own, FILE.py:NAME, a function that returns a
            `Generator`.
        generator: what the algorithm can be told, and no more.
        drawings: what is drawn.
        outer: how it is trained.
    """

    algorithm: str
    generator: Any
    drawings: Drawings
    outer: Outer


def defaults(choice: Choice) -> Settings:
    """What to start from, for an algorithm."""
    name = spelled(choice.algorithm)
    row = GENERATORS.get(name)
    return Settings(name, row.settings(), Drawings(), Outer(row.outer_lr, 5000, 8))
