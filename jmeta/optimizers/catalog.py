"""Rules, problems and estimators by name, with what each can be told and where it starts from."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
from jax import Array

from jmeta import datasets
from jmeta.errors import RunError, kind_and_line
from jmeta.gradients import Grad
from jmeta.optimizers import estimators, exact, rules
from jmeta.optimizers.exact import Spectrum
from jmeta.optimizers.problems import quadratics
from jmeta.optimizers.problems.classification import ACTIVATIONS, classification
from jmeta.optimizers.types import Estimator, Problem, Rule, Unroll
from jmeta.optimizers.unroll import constant_grad
from jmeta.registry import Registry, said
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Nothing:
    """What needs to be told nothing."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """A rate for each step.

    Attributes:
        rates: how many, after which it begins again.
        rate: each of them, to begin with.
    """

    rates: int = setting(10, least=1)
    rate: float = setting(1.0, above=0)


@dataclasses.dataclass(frozen=True)
class PerTensor:
    """A rate and a momentum for each tensor.

    Attributes:
        rate: to begin with.
        momentum: to begin with.
    """

    rate: float = setting(0.1, above=0)
    momentum: float = setting(0.9, above=0, most=1 - 1e-6)


@dataclasses.dataclass(frozen=True)
class Network:
    """A network that says where each parameter goes.

    Attributes:
        units: of each of its layers, or cells.
        step_scale: of what it says.
        rate: of gradient descent beside it, which it starts from, and which is learned too; 0 for none, as published.
    """

    units: tuple[int, ...] = setting((32, 32), least=1)
    step_scale: float = setting(0.01, above=0)
    rate: float = setting(0.1, least=0)


@dataclasses.dataclass(frozen=True)
class Cells(Network):
    """An LSTM that says where each parameter goes.

    Attributes:
        preprocess: what it reads: the size and the sign of a gradient apart, by their logarithm, or the raw gradient.
    """

    units: tuple[int, ...] = setting((20, 20), least=1)
    preprocess: str = setting("log-and-sign", choices=("log-and-sign", "raw"))


@dataclasses.dataclass(frozen=True)
class TinyNetwork(Network):
    """As `Network`, of fewer units."""

    units: tuple[int, ...] = setting((4, 4), least=1)


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """Diagonal quadratics.

    Attributes:
        dimension: parameters.
    """

    dimension: int = setting(10, least=1)


@dataclasses.dataclass(frozen=True)
class LogQuadratic(Quadratic):
    """Diagonal quadratics whose curvatures have uniform logarithms.

    Attributes:
        kappa: the largest curvature over the least.
    """

    kappa: float = setting(100.0, above=1)


@dataclasses.dataclass(frozen=True)
class Classification:
    """Small networks that learn to tell classes apart.

    Attributes:
        dataset: any that has classes; the last quarter of each class is for the evaluation alone.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        way: classes of a problem, drawn anew each time where there are more.
        features: units of each hidden layer.
        activation: sigmoid, relu or tanh.
        batch_size: examples of a step.
        judged_by: the share of each class that the rule is judged by in its training, and does not learn from; 0 to be
            judged by what it learns from.
    """

    dataset: str = "digits"
    data_dir: str | None = setting(None, place=True)
    way: int = setting(10, least=2)
    features: tuple[int, ...] = setting((20,), least=1)
    activation: str = setting("sigmoid", choices=tuple(ACTIVATIONS))
    batch_size: int = setting(128, least=1)
    judged_by: float = setting(0.25, least=0, most=0.7)


@dataclasses.dataclass(frozen=True)
class Backprop:
    """Backpropagation through whole unrolls.

    Attributes:
        second_order: differentiate the inner gradients too; without, they are constants, as in Andrychowicz et al.
    """

    second_order: bool = True


@dataclasses.dataclass(frozen=True)
class Truncated(Backprop):
    """Backpropagation through windows.

    Attributes:
        truncation: steps of a window.
    """

    truncation: int = setting(20, least=1)


@dataclasses.dataclass(frozen=True)
class Perturbed:
    """Evolution strategies.

    Attributes:
        sigma: the standard deviation of what theta is moved by.
    """

    sigma: float = setting(0.01, above=0)


@dataclasses.dataclass(frozen=True)
class PerturbedWindows(Perturbed):
    """Evolution strategies in windows.

    Attributes:
        truncation: steps of a window.
    """

    truncation: int = setting(20, least=1)


class RuleRow(NamedTuple):
    """A rule: what it is, its settings class, `settings -> Rule`, and the rate that its training starts from."""

    what: str
    settings: type
    make: Callable[[Any], Rule]
    outer_lr: float = 3e-3
    paper: str = ""


class ProblemRow(NamedTuple):
    """A problem: what it is, its settings class, `settings -> (Problem, facts)`, steps and unrolls side by side that
    its training starts from, and where the best rules are known, `settings -> Spectrum`."""

    what: str
    settings: type
    make: Callable[[Any], tuple[Problem, Mapping[str, Any]]]
    inner_steps: int = 100
    tasks: int = 8
    spectrum: Callable[[Any], Spectrum] | None = None
    paper: str = ""


class EstimatorRow(NamedTuple):
    """An estimator: what it is, its settings class, `(unroll, settings) -> Estimator`, and how the inner gradient is
    taken for it."""

    what: str
    settings: type
    make: Callable[[Unroll, Any], Estimator]
    grad: Callable[[Any], Grad] = lambda own: jax.grad
    paper: str = ""


def _beside(make: Callable[[Any], Rule]) -> Callable[[Any], Rule]:
    """A network, beside gradient descent where it has a rate."""
    return lambda own: rules.added(rules.schedule([own.rate]), make(own)) if own.rate else make(own)


def _lstm(own: Cells) -> Rule:
    read = {"raw": rules.raw, "log-and-sign": rules.log_and_sign}[own.preprocess]
    return rules.lstm(units=own.units, preprocess=read, step_scale=own.step_scale)


def own_rule(name: str, found: Any) -> RuleRow:
    """The row of a user's rule: a `RuleRow`, or a function without arguments that returns a `Rule`."""
    if isinstance(found, RuleRow):
        return found

    def make(own: Any) -> Rule:
        rule = _called(name, found)
        if not (hasattr(rule, "init") and hasattr(rule, "make")):
            raise RunError(f"{name} must return a Rule, with init and make, got a {type(rule).__name__}: correct it.")
        return Rule(rule.init, rule.make)

    return RuleRow(said(found), Nothing, make)


def own_problem(name: str, found: Any) -> ProblemRow:
    """The row of a user's problem.

    It is a `ProblemRow`, a `Problem`, what has `init(key) -> params` and `loss(params, key) -> []`, or a function
    without arguments that returns one of these.
    """
    if isinstance(found, ProblemRow):
        return found

    def make(own: Any) -> tuple[Problem, Mapping[str, Any]]:
        made = found if hasattr(found, "loss") else _called(name, found)
        if isinstance(made, Problem):
            return made, {}
        if not (hasattr(made, "init") and hasattr(made, "loss")):
            raise RunError(
                f"{name} must have init(key) -> params and loss(params, key) -> [], got a {type(made).__name__}: "
                "correct it."
            )
        return Problem(functools.partial(_alone, made.init), functools.partial(_without_task, made.loss)), {}

    return ProblemRow(said(found), Nothing, make)


def _alone(init: Callable[[Array], Any], key: Array) -> tuple[Any, tuple[()]]:
    return init(key), ()


def _without_task(loss: Callable[..., Array], params: Any, task: Any, key: Array) -> Array:
    return loss(params, key)


def own_estimator(name: str, found: Any) -> EstimatorRow:
    """The row of a user's estimator, an `EstimatorRow`."""
    if isinstance(found, EstimatorRow):
        return found
    raise RunError(f"{name} must be an EstimatorRow, got a {type(found).__name__}: correct it.")


def _called(name: str, found: Any) -> Any:
    try:
        return found()
    except Exception as error:
        raise RunError(f"{name} must be callable without arguments, and {kind_and_line(error)}: correct it.") from error


def _classification(own: Classification) -> tuple[Problem, Mapping[str, Any]]:
    data = datasets.load(own.dataset, own.data_dir)
    try:
        made = classification(
            data.examples, way=own.way, features=own.features, activation=ACTIVATIONS[own.activation],
            batch_size=own.batch_size, judged_by=own.judged_by,
        )  # fmt: skip
    except ValueError as error:
        raise RunError(f"{error}: give another --way or --dataset.") from error
    return made, {"checksum": data.checksum}


_L2L = (
    "Andrychowicz et al. 2016, Learning to learn by gradient descent by gradient descent, "
    "https://arxiv.org/abs/1606.04474"
)
_METZ = "Metz et al. 2022, Practical tradeoffs between memory, compute, and performance in learned optimizers, "
_METZ += "https://arxiv.org/abs/2203.11860"

RULES = Registry[RuleRow](
    "rule",
    {
        "schedule": RuleRow(
            "a rate for each step", Schedule, lambda own: rules.schedule([own.rate] * own.rates), outer_lr=2e-2
        ),
        "per-tensor": RuleRow(
            "a rate and a momentum for each tensor", PerTensor,
            lambda own: rules.per_tensor(rate=own.rate, momentum=own.momentum), outer_lr=2e-2,
        ),
        "lstm": RuleRow("an LSTM that each parameter has a state of", Cells, _beside(_lstm), paper=_L2L),
        "mlp": RuleRow(
            "a network of 19 features of each parameter", Network,
            _beside(lambda own: rules.mlp(units=own.units, step_scale=own.step_scale)), paper=_METZ,
        ),
        "adafactor-mlp": RuleRow(
            "a tiny network of 39 features of each parameter, Adafactor's among them", TinyNetwork,
            _beside(lambda own: rules.adafactor_mlp(units=own.units, step_scale=own.step_scale)), paper=_METZ,
        ),
    },
    "jmeta.optimizer_rules",
    own_rule,
)  # fmt: skip

PROBLEMS = Registry[ProblemRow](
    "problem",
    {
        "quadratic": ProblemRow(
            "diagonal quadratics, curvatures U(0, 1)", Quadratic,
            lambda own: (quadratics.quadratic(dimension=own.dimension), {}), 10, 64,
            lambda own: exact.uniform_spectrum(),
        ),
        "quadratic-log": ProblemRow(
            "diagonal quadratics, curvatures of uniform logarithm", LogQuadratic,
            lambda own: (quadratics.quadratic(dimension=own.dimension, kappa=own.kappa), {}), 10, 64,
            lambda own: exact.log_uniform_spectrum(own.kappa),
        ),
        "least-squares": ProblemRow(
            "random least squares, as in the paper", Quadratic,
            lambda own: (quadratics.least_squares(dimension=own.dimension), {}), 100, 32,
            lambda own: exact.drawn_spectrum(quadratics.least_squares(dimension=own.dimension)), _L2L,
        ),
        "least-squares-01": ProblemRow(
            "random least squares, as in the code", Quadratic,
            lambda own: (quadratics.released_least_squares(dimension=own.dimension), {}), 100, 32,
            lambda own: exact.drawn_spectrum(quadratics.released_least_squares(dimension=own.dimension)), _L2L,
        ),
        "classification": ProblemRow(
            "small networks that learn to tell classes apart", Classification, _classification, paper=_L2L
        ),
    },
    "jmeta.optimizer_problems",
    own_problem,
)  # fmt: skip


def _grad(own: Backprop) -> Grad:
    return jax.grad if own.second_order else constant_grad


_PES = "Vicol et al. 2021, Unbiased Gradient Estimation in Unrolled Computation Graphs with Persistent Evolution "
_PES += "Strategies, https://arxiv.org/abs/2112.13835"

ESTIMATORS = Registry[EstimatorRow](
    "estimator",
    {
        "full": EstimatorRow(
            "backpropagation through whole unrolls", Backprop,
            lambda unroll, own: estimators.full_backprop(unroll), _grad,
        ),
        "truncated": EstimatorRow(
            "backpropagation through windows, biased", Truncated,
            lambda unroll, own: estimators.truncated_backprop(unroll, steps=own.truncation), _grad,
        ),
        "es": EstimatorRow(
            "evolution strategies on whole unrolls", Perturbed,
            lambda unroll, own: estimators.es(unroll, sigma=own.sigma),
        ),
        "pes": EstimatorRow(
            "persistent evolution strategies", PerturbedWindows,
            lambda unroll, own: estimators.pes(unroll, sigma=own.sigma, steps=own.truncation), paper=_PES,
        ),
        "noise-reuse": EstimatorRow(
            "evolution strategies with one noise for an unroll", PerturbedWindows,
            lambda unroll, own: estimators.noise_reuse(unroll, sigma=own.sigma, steps=own.truncation),
        ),
    },
    "jmeta.optimizer_estimators",
    own_estimator,
)  # fmt: skip
