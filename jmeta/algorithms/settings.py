"""What each learner of the catalog can be told: exactly what it has."""

import dataclasses
from typing import Any

from jmeta.settings import setting

INNER_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adam-b0")
INNER_GRADS = ("reverse", "remat", "mixed")


@dataclasses.dataclass(frozen=True)
class Outer:
    """Meta-training by Adam, whose steps fade out.

    Attributes:
        outer_lr: of Adam, at the start of a cosine.
        outer_steps: of meta-training.
        meta_batch_size: streams, pools or problems of a step.
    """

    outer_lr: float = setting(1e-3, above=0, swept=True)
    outer_steps: int = setting(3000, least=1, grows=True)
    meta_batch_size: int = setting(1, least=1)


@dataclasses.dataclass(frozen=True)
class Inner:
    """The inner loop.

    Attributes:
        inner_lr: step size of the inner loop. Losses here are means over examples; code that sums over classes, as
            MAML's does, prints a rate that acts way times over: its 0.4 for 5-way and its 0.1 for 20-way are 2.0 here.
            Meta-SGD starts its rates from it.
        inner_steps: inner steps in training.
        eval_inner_steps: inner steps in validation and evaluation; otherwise as in training.
    """

    inner_lr: float = setting(0.4, above=0, swept=True)
    inner_steps: int = setting(1, least=0)
    eval_inner_steps: int | None = setting(3, least=0)


@dataclasses.dataclass(frozen=True)
class InnerRule(Inner):
    """The inner loop, and its rule.

    Attributes:
        inner_optimizer: sgd, momentum, nesterov, adam, or adam-b0 (Adam with b1 = 0, Reptile's).
    """

    inner_optimizer: str = setting("sgd", choices=INNER_OPTIMIZERS)


@dataclasses.dataclass(frozen=True)
class InnerGrad:
    """How the inner loop is differentiated.

    Attributes:
        inner_grad: reverse (jax.grad), remat (its steps computed again), or mixed (forward over reverse); the latter
            two give the same gradient with less memory for many inner steps.
    """

    inner_grad: str = setting("reverse", choices=INNER_GRADS)


@dataclasses.dataclass(frozen=True)
class Differentiated(InnerGrad):
    """How the inner loop is differentiated, and how far.

    Attributes:
        truncation: differentiate through the last so many inner steps alone; otherwise through all.
    """

    truncation: int | None = setting(None, least=0)


@dataclasses.dataclass(frozen=True)
class Maml:
    """MAML, and what differs from it in which parameters adapt, or from where."""

    inner: InnerRule = InnerRule()
    differentiated: Differentiated = Differentiated()


@dataclasses.dataclass(frozen=True)
class Fomaml:
    """MAML without second derivatives."""

    inner: InnerRule = InnerRule()


@dataclasses.dataclass(frozen=True)
class MetaSgd:
    """Meta-SGD, whose steps are its own."""

    inner: Inner = Inner(eval_inner_steps=None)
    differentiated: Differentiated = Differentiated()


@dataclasses.dataclass(frozen=True)
class Prototypical:
    """Prototypical networks.

    Attributes:
        temperature: what squared distances are divided by; otherwise 1, as in the paper. Features that start from
            another learner's encoder may need a large one, such as their number.
    """

    temperature: float | None = setting(None, above=0)


@dataclasses.dataclass(frozen=True)
class Ridge:
    """Ridge regression on learned features.

    Attributes:
        l2: where the penalty starts, which is learned; otherwise 1. Features that start from another learner's encoder
            may need a larger one: their squared lengths, of hundreds perhaps, are what it is to be compared with.
    """

    l2: float | None = setting(None, above=0)


@dataclasses.dataclass(frozen=True)
class Rfs:
    """A logistic regression on frozen features.

    Attributes:
        strength: of the support examples against the penalty of the regression, scikit-learn's C.
    """

    strength: float = setting(1.0, above=0)


@dataclasses.dataclass(frozen=True)
class Reptile:
    """Reptile.

    Attributes:
        inner_batch_size: examples of each inner step; otherwise the whole support set.
        eval_inner_batch_size: examples of each inner step in validation and evaluation; otherwise as in training.
    """

    inner: InnerRule = InnerRule(1e-3, 3, 5, "adam-b0")
    inner_batch_size: int | None = setting(25, least=1)
    eval_inner_batch_size: int | None = setting(None, least=1)


@dataclasses.dataclass(frozen=True)
class Imaml:
    """iMAML.

    Attributes:
        regularization: lambda, how strongly a task is held at the parameters it started from.
    """

    inner: InnerRule = InnerRule()
    regularization: float = setting(2.0, above=0)


@dataclasses.dataclass(frozen=True)
class MamlPlusPlus:
    """MAML++, whose rates are its own.

    Attributes:
        anneal_steps: outer steps over which the losses before the last inner step fade out; second derivatives come in
            after three times as many. Otherwise a tenth of all.
    """

    inner: Inner = Inner()
    differentiated: InnerGrad = InnerGrad()
    anneal_steps: int | None = setting(None, least=1)


@dataclasses.dataclass(frozen=True)
class Bootstrapped:
    """Bootstrapped meta-learning.

    Attributes:
        target_steps: steps that the target is ahead.
    """

    inner: InnerRule = InnerRule()
    differentiated: InnerGrad = InnerGrad()
    target_steps: int = setting(5, least=1)


@dataclasses.dataclass(frozen=True)
class Cavia:
    """CAVIA. Its rate for pictures is large: at 1 an MLP stays at chance, convolutions learn as well with either.

    Attributes:
        context_size: numbers that it adapts to a task.
    """

    inner: InnerRule = InnerRule(10.0)
    differentiated: Differentiated = Differentiated()
    context_size: int = setting(100, least=1)


@dataclasses.dataclass(frozen=True)
class Nothing:
    """A learner without an inner loop, which needs to be told nothing."""


FIRST_ORDER = (Fomaml, Reptile, Imaml, Nothing)
"""Of learners that don't differentiate an inner rule."""


def inner_steps(settings: Any, *, training: bool) -> int:
    """How many inner steps a learner takes, in training or once it is trained; 0 without an inner loop."""
    inner: Inner | None = getattr(settings, "inner", None)
    if inner is None:
        return 0
    return inner.inner_steps if training or inner.eval_inner_steps is None else inner.eval_inner_steps
