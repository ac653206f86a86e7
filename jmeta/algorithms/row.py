"""A row of the catalog of learners: what a learner is made by, and what is a fact of it."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import optax
from jax import Array

from jmeta import gradients, losses
from jmeta.algorithms.settings import FIRST_ORDER, Differentiated, Inner, InnerRule, Nothing
from jmeta.errors import RunError, kind_and_line
from jmeta.nets import catalog as networks
from jmeta.nets.catalog import Network
from jmeta.registry import said, short
from jmeta.settings import fields, of_parameters
from jmeta.types import Learner

MOMENTUM = 0.9
FINITE = 1e-8
"""Under Adam's square root, for a second derivative at zero."""


class Wanted(NamedTuple):
    """What a learner is wanted for."""

    network: Network
    way: int  # outputs of the network, where it has a head
    inner_steps: Any = 0  # traced where only evaluation is done
    numbers: bool = False  # whether targets are numbers and not classes
    outer_steps: int | None = None  # None for a learner that is trained
    classes: int | None = None  # to train on, for a learner that tells all of them apart in training
    label_smoothing: float | None = None  # of cross-entropy


Made = Learner | Callable[[Array], Learner]
"""A learner, or one that changes with the outer step: `jmeta.training.Schedule`."""


class Row(NamedTuple):
    """A learner.

    Its factory is called by the names of its parameters: `model`, `encoder` and `head` are parts of the network;
    `inner_optimizer` is an Optax rule, `inner_grad` a `jax.grad`; `loss_fn` is of numbers or classes; `inner_steps`,
    `way`, `numbers`, `outer_steps` and `classes` are as in `Wanted`; another is the setting of that name, or stays at
    its default.

    Attributes:
        factory: of the learner, or of one that changes with the outer step.
        what: it learns, in a few words.
        paper: that it is from, as "authors year, title, address"; empty for none.
        settings: the class of what it can be told.
        given: `(settings, wanted) -> value` of parameters to which other things are given.
        fixed_way: whether it has parameters for each class of an episode.
        numbers: whether targets may be numbers, and not classes alone.
        classes: whether they may be classes, and not numbers alone.
        ordinary: whether it is trained on ordinary batches, of all training classes.
        dense: whether its network may have a dense layer before the head.
        on_pictures: its own defaults where tasks are of pictures, by names of settings.
        on_vectors: the same where they are of vectors.
    """

    factory: Callable[..., Made]
    what: str
    paper: str = ""
    settings: type = Nothing
    given: Mapping[str, Callable[[Any, Wanted], Any]] = {}
    fixed_way: bool = False
    numbers: bool = True
    classes: bool = True
    ordinary: bool = False
    dense: bool = True
    on_pictures: Mapping[str, Any] = {}
    on_vectors: Mapping[str, Any] = {}

    def make(self, own: Any, wanted: Wanted) -> Made:
        """The learner by its own settings; RunError if its factory asks for what there is not, refuses what it is
        given, or returns no learner."""
        parameters = inspect.signature(self.factory).parameters.values()
        fixed = self.factory.keywords if isinstance(self.factory, partial) else {}
        asked = {p.name: p for p in parameters if p.name not in fixed and p.kind is not p.VAR_KEYWORD}
        values = {name: self._value(name, own, wanted) for name in asked}
        lacks = [name for name, p in asked.items() if values[name] is p.default is p.empty]
        if lacks:
            told = f"name it as one of {', '.join(_GIVEN)}, or set a default."
            raise RunError(f"{_named(self)} asks for {', '.join(lacks)}, which nothing gives: {told}")
        given = {name: value for name, value in values.items() if value is not inspect.Parameter.empty}
        try:
            made = self.factory(**given)
        except (TypeError, ValueError) as error:
            why = kind_and_line(error)
            raise RunError(f"{_named(self)} can't be made ({why}): correct its settings, or itself.") from error
        if not (isinstance(made, Learner) or inspect.isfunction(made)):
            raise RunError(f"{_named(self)} must return a Learner, got a {_kind(made)}: correct it.")
        return made

    @property
    def told_loss(self) -> bool:
        """Whether it learns by a loss that it is given."""
        fixed = self.factory.keywords if isinstance(self.factory, partial) else {}
        return "loss_fn" in inspect.signature(self.factory).parameters and "loss_fn" not in fixed

    def _value(self, name: str, own: Any, wanted: Wanted) -> Any:
        """Of a parameter; `inspect.Parameter.empty` if there is none."""
        if name in self.given:
            return self.given[name](own, wanted)
        if name in _GIVEN:
            return _GIVEN[name](wanted)
        told = {field.name: value for field, value in fields(own)}.get(name, inspect.Parameter.empty)
        if told is inspect.Parameter.empty:
            return told
        return _rule(own) if name == "inner_optimizer" else _INNER_GRADS[told] if name == "inner_grad" else told


def _named(row: Row) -> str:
    return getattr(row.factory, "__name__", "a learner's factory")


def _kind(found: Any) -> str:
    return "class" if isinstance(found, type) else type(found).__name__


_GIVEN: dict[str, Callable[[Wanted], Any]] = {
    "model": lambda wanted: networks.network(wanted.network, wanted.way),
    "encoder": lambda wanted: networks.encoder(wanted.network),
    "head": lambda wanted: networks.head(wanted.network, wanted.way),
    "loss_fn": lambda wanted: _loss(wanted),
    **{
        name: partial(lambda name, wanted: getattr(wanted, name), name)
        for name in ("way", "inner_steps", "numbers", "outer_steps", "classes")
    },
}


def _loss(wanted: Wanted) -> losses.LossFn:
    if wanted.label_smoothing is not None:
        return losses.smoothed_cross_entropy(wanted.label_smoothing)
    return losses.squared_error if wanted.numbers else losses.cross_entropy


def _rule(own: Any) -> optax.GradientTransformation:
    """The rule of the inner loop; one that is differentiated has a derivative everywhere."""
    rate, name = own.inner.inner_lr, own.inner.inner_optimizer
    if name in ("adam", "adam-b0"):
        eps_root = 0.0 if isinstance(own, FIRST_ORDER) else FINITE
        return optax.adam(rate, b1=0.9 if name == "adam" else 0.0, eps_root=eps_root)
    if name == "sgd":
        return optax.sgd(rate)
    return optax.sgd(rate, momentum=MOMENTUM, nesterov=name == "nesterov")


_INNER_GRADS = {"reverse": jax.grad, "remat": gradients.remat_grad, "mixed": gradients.mixed_grad}


def own_row(name: str, found: Any) -> Row:
    """The row of a user's learner, a function or a `Row` found by a name; RunError for another thing.

    A function such as `my_learner(model, *, inner_optimizer, inner_steps, loss_fn, strength=1.0) -> Learner` is called
    as `Row` says. It has the settings that it asks for: the inner loop's if it has `inner_steps`, `inner_lr` or
    `inner_optimizer`, and each parameter whose default is a number, a word or a truth value, such as `--strength`. With
    `model`, `head` or `way` it has parameters for each class, and with `loss_fn` it takes numbers too.
    """
    if isinstance(found, Row):
        return found
    if not callable(found) or isinstance(found, type):
        raise RunError(f"{name} must be a function that returns a Learner, or a Row, got a {_kind(found)}: correct it.")
    asked = inspect.signature(found).parameters
    parts: list[tuple[str, Any, Any]] = []
    if asked.keys() & {"inner_steps", "inner_lr", "inner_optimizer"}:
        inner = InnerRule if "inner_optimizer" in asked else Inner
        parts.append(("inner", inner, inner()))
    if asked.keys() & {"inner_grad", "truncation"}:
        parts.append(("differentiated", Differentiated, Differentiated()))
    parts += of_parameters(found, {*_GIVEN, "inner_lr", "inner_optimizer", "inner_grad", "truncation"})
    settings = dataclasses.make_dataclass(short(name), parts, frozen=True)
    return Row(
        cast(Callable[..., Made], found),
        said(found),
        settings=settings if parts else Nothing,
        fixed_way=bool(asked.keys() & {"model", "head", "way"}),
        numbers="loss_fn" in asked,
    )
