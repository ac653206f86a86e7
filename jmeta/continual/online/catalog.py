"""Online learners by their names."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jmeta.continual.online.ewc import ewc
from jmeta.continual.online.ftml import ftml
from jmeta.continual.online.la_maml import la_maml
from jmeta.continual.online.mer import mer
from jmeta.continual.online.replay import replay
from jmeta.continual.online.sgd import sgd
from jmeta.continual.online.types import Online
from jmeta.errors import RunError
from jmeta.registry import Registry


class Row(NamedTuple):
    """What an online learner is.

    Attributes:
        make: `(model, **settings) -> Online`; the settings are its factory's.
        what: it does, in a few words.
        paper: "authors year, title, address"; empty for none.
        optimizer: whether it takes an Optax rule, `optimizer`; the others have rates of their own.
        memory: whether it keeps examples.
        ends: whether it has to be told where a task ends.
        rounds: whether each batch is a task of its own.
    """

    make: Callable[..., Online]
    what: str
    paper: str = ""
    optimizer: bool = False
    memory: bool = False
    ends: bool = False
    rounds: bool = False


def own_row(name: str, found: Any) -> Row:
    """A row of the user's own: a `Row`, or a function from a model to an `Online`."""
    if isinstance(found, Row):
        return found
    if not callable(found):
        raise RunError(f"{name} must be a Row, or a function from a model to an Online, got a {type(found).__name__}.")
    make: Callable[..., Any] = found
    return Row(make, "of your own")


ONLINE = Registry[Row](
    "online learner",
    {
        "sgd": Row(sgd, "gradient steps on what comes, and nothing against forgetting", optimizer=True),
        "replay": Row(
            replay,
            "steps on what comes and on examples of a reservoir",
            "Chaudhry et al. 2019, On Tiny Episodic Memories in Continual Learning, https://arxiv.org/abs/1902.10486",
            optimizer=True,
            memory=True,
        ),
        "ewc": Row(
            ewc,
            "a quadratic penalty by the Fisher matrix of earlier tasks",
            "Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, "
            "https://arxiv.org/abs/1612.00796",
            optimizer=True,
            ends=True,
        ),
        "la-maml": Row(
            la_maml,
            "a look ahead over the examples of a batch, by a learned rate for each parameter",
            "Gupta et al. 2020, La-MAML: Look-ahead Meta Learning for Continual Learning, "
            "https://arxiv.org/abs/2007.13904",
            memory=True,
        ),
        "mer": Row(
            mer,
            "Reptile over single examples of the stream and of a reservoir",
            "Riemer et al. 2019, Learning to Learn without Forgetting, https://arxiv.org/abs/1810.11910",
            memory=True,
        ),
        "ftml": Row(
            ftml,
            "the start that would have been the best for all tasks so far",
            "Finn et al. 2019, Online Meta-Learning, https://arxiv.org/abs/1902.08438",
            optimizer=True,
            memory=True,
            rounds=True,
        ),
    },
    "jmeta.online",
    own_row,
)
"""Rows by name, to which a user adds with `ONLINE.register(name, Row(...))`."""
