"""Sources of tasks by name: families that are drawn from a distribution, and all data sets of pictures."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from jmeta.datasets import catalog as data
from jmeta.datasets.types import Dataset
from jmeta.episodes import Sampler
from jmeta.errors import RunError, kind_and_line
from jmeta.nets.catalog import Network
from jmeta.registry import Registry, said
from jmeta.tasks.functions import linear_sampler, quadratic_sampler, sinusoid_sampler
from jmeta.tasks.waves import SINUSOID_E, SINUSOID_H, wave_sampler
from jmeta.types import Episode

_UNITS = Network("mlp", (40, 40), "none")
_WORDS = Network("bag", (64,), "none")
_MAML = "Finn et al. 2017, Model-Agnostic Meta-Learning, https://arxiv.org/abs/1703.03400"

_PACOH = "Rothfuss et al. 2021, PACOH, https://arxiv.org/abs/2002.05551"


class Row(NamedTuple):
    """A source of tasks.

    Attributes:
        what: they are, in a few words.
        sampler: `(shot, query_shot) -> sample`; None where tasks are of the pictures of a data set.
        way: classes of a task, or numbers to predict for an example; None for any number of classes.
        numbers: whether targets are numbers and not classes.
        input_shape: of an example; None where the data say so.
        network: to start from.
        start: other settings to start from, by name.
        vectors: whether examples are no pictures.
        sentences: whether they are sentences.
        turned: as in `jmeta.datasets.catalog.Row`, like the rest.
    """

    what: str
    sampler: Callable[[int, int], Sampler] | None = None
    way: int | None = None
    numbers: bool = False
    input_shape: tuple[int, ...] | None = None
    network: Network = Network()
    start: Mapping[str, Any] = {}
    vectors: bool = False
    sentences: bool = False
    turned: bool = False
    groups: bool = False
    published: bool = False
    paper: str = ""

    @property
    def light(self) -> bool:
        """Whether examples are vectors, and a task is too small for the cores of a CPU to share."""
        return self.vectors or (self.input_shape is not None and len(self.input_shape) == 1)


def _small(
    what: str,
    sampler: Callable[[int, int], Sampler],
    *,
    way: int,
    numbers: bool,
    shape: tuple[int, ...],
    network: Network = _UNITS,
    inner_lr: float = 0.01,
    paper: str = "",
) -> Row:
    """The row of tasks of vectors, which are small: a step of the inner loop serves as well as three."""
    start = {
        "way": way, "shot": 10, "query_shot": 10, "outer_steps": 20_000, "meta_batch_size": 25, "val_episodes": 600,
        "inner_lr": inner_lr, "inner_steps": 1, "eval_inner_steps": None,
    }  # fmt: skip
    return Row(what, sampler, way, numbers, shape, network, start, paper=paper)


def own_row(name: str, found: Any) -> Row:
    """The row of a user's tasks or pictures.

    Found is a `Row`; a function `sample(key) -> Episode`; a function `(shot, query_shot) -> sample`; or what
    `jmeta.datasets.catalog.own_row` takes. Of a function, one task is drawn to see what it has: one-hot targets are
    classes, and others numbers.
    """
    if isinstance(found, Row):
        return found
    if isinstance(found, Dataset | data.Row) or not callable(found):
        return pictures(data.own_row(name, found))
    parameters = inspect.signature(found).parameters.values()
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not needed:
        return pictures(data.own_row(name, found))
    if len(needed) == 1:
        return _of_one_size(name, cast(Sampler, found))
    if set(needed) != {"shot", "query_shot"}:
        raise RunError(f"{name} must take a key, or shot and query_shot, or nothing, got {', '.join(needed)}: see Row.")
    make = _by_name(found)
    return _looked_at(name, found, make(2, 2), make)


def _by_name(sampler: Callable[..., Any]) -> Callable[[int, int], Sampler]:
    return lambda shot, query_shot: sampler(shot=shot, query_shot=query_shot)


def _of_one_size(name: str, sample: Sampler) -> Row:
    row = _looked_at(name, sample, sample, lambda shot, query_shot: sample)
    task = jax.eval_shape(sample, jax.random.key(0))
    each = 1 if row.numbers else row.way or 1
    sizes = len(task.support.y) // each, len(task.query.y) // each

    def same(shot: int, query_shot: int) -> Sampler:
        if (shot, query_shot) != sizes:
            raise RunError(
                f"{name} draws tasks of --shot {sizes[0]} and --query-shot {sizes[1]}, got {shot} and {query_shot}: "
                "leave them out."
            )
        return sample

    return row._replace(sampler=same, start={**row.start, "shot": sizes[0], "query_shot": sizes[1]})


def _looked_at(name: str, found: Any, sample: Any, make: Callable[[int, int], Sampler]) -> Row:
    """A row with the facts of one task."""
    try:
        task = sample(jax.random.key(0))
    except Exception as error:
        raise RunError(f"{name} can't draw a task ({kind_and_line(error)}): correct it.") from error
    if not isinstance(task, Episode):
        raise RunError(f"{name} must draw an Episode, got a {type(task).__name__}: correct it.")
    y = np.asarray(task.support.y)
    one_hot = y.shape[-1] > 1 and np.isin(y, (0, 1)).all() and (y.sum(axis=-1) == 1).all()
    shape = tuple(np.shape(jax.tree.leaves(task.support.x)[0])[1:])
    network = _UNITS if len(shape) == 1 else Network()
    return _small(said(found), make, way=y.shape[-1], numbers=not one_hot, shape=shape, network=network)


def pictures(row: data.Row) -> Row:
    """The row of few-shot tasks of a data set."""
    network = _WORDS if row.sentences else _UNITS if row.vectors else Network()
    return Row(
        row.what, vectors=row.vectors, sentences=row.sentences, network=network, turned=row.turned, groups=row.groups,
        published=row.published, paper=row.paper,
    )  # fmt: skip


TASKS = Registry[Row](
    "family of tasks",
    {
        "sinusoid": _small(
            "sine curves to regress", _by_name(sinusoid_sampler), way=1, numbers=True, shape=(1,), paper=_MAML
        ),
        "sinusoid-e": _small(
            "sine curves of one frequency about a line, with noise, of which the best answer is known",
            _by_name(partial(wave_sampler, waves=SINUSOID_E)),
            way=1,
            numbers=True,
            shape=(1,),
            paper=_PACOH,
        ),
        "sinusoid-h": _small(
            "the same of differing frequencies, with more noise",
            _by_name(partial(wave_sampler, waves=SINUSOID_H)),
            way=1,
            numbers=True,
            shape=(1,),
            paper=_PACOH,
        ),
        "quadratic": _small(
            "parabolas to regress, of which the best answer is known",
            _by_name(quadratic_sampler),
            way=1,
            numbers=True,
            shape=(1,),
        ),
        "linear": _small(
            "binary tasks of vectors, each split by its own plane",
            _by_name(partial(linear_sampler, features=10)),
            way=2,
            numbers=False,
            shape=(10,),
            network=Network("linear", (), "none"),
            inner_lr=0.5,
        ),
    },
    "jmeta.tasks",
    own_row,
)


def row(name: str) -> Row:
    """What tasks of a name are: a family of `TASKS`, or of the pictures of a data set, whether it is there or not."""
    found = None if data.is_built_in(name) else TASKS.find(name)
    return pictures(data.row(name)) if found is None else found
