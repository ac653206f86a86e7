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
from jmeta.optimizers.told import (
    Backprop,
    Cells,
    Classification,
    LogQuadratic,
    Network,
    Nothing,
    PerTensor,
    Perturbed,
    PerturbedWindows,
    Quadratic,
    Schedule,
    TinyNetwork,
    Truncated,
)
from jmeta.optimizers.types import Estimator, Problem, Rule, Unroll
from jmeta.optimizers.unroll import constant_grad
from jmeta.registry import Registry, said


class RuleRow(NamedTuple):
    """A rule: what it is, its settings class, `settings -> Rule`, and the rate that its training starts from."""

    what: str
    settings: type
    make: Callable[[Any], Rule]
    outer_lr: float = 3e-3
    paper: str = ""


class ProblemRow(NamedTuple):
    """A problem.

    Attributes:
        what: it is, in a few words.
        settings: what it can be told, a dataclass.
        make: `settings -> (Problem, facts)`.
        inner_steps, tasks, objective: what training on it starts from: steps of an unroll, unrolls side by side, and
            which losses count.
        start: what a rule starts from on it, by the names of its settings.
        spectrum: `settings -> Spectrum` where the best rules are known.
        paper: that it is from, as "authors year, title, address"; empty for none.
    """

    what: str
    settings: type
    make: Callable[[Any], tuple[Problem, Mapping[str, Any]]]
    inner_steps: int = 50
    tasks: int = 4
    objective: str = "last"
    start: Mapping[str, Any] = {}
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


def _quadratic(what: str, kind: type, make: Callable[..., Problem], spectrum: Callable[[Any], Spectrum]) -> ProblemRow:
    start = {"rate": 1.0, "step_scale": 0.1, "preprocess": "raw"}
    told = lambda own: (make(**dataclasses.asdict(own)), {})
    return ProblemRow(what, kind, told, 10, 64, start=start, spectrum=spectrum)


def _squares(what: str, make: Callable[..., Problem], rate: float) -> ProblemRow:
    start, told = {"rate": rate, "step_scale": 0.1, "preprocess": "raw"}, lambda own: make(dimension=own.dimension)
    return ProblemRow(
        what, Quadratic, lambda own: (told(own), {}), 100, 32, "mean", start,
        lambda own: exact.drawn_spectrum(told(own)), _L2L,
    )  # fmt: skip


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
        "quadratic": _quadratic(
            "diagonal quadratics, curvatures U(0, 1)", Quadratic, quadratics.quadratic,
            lambda own: exact.uniform_spectrum(),
        ),
        "quadratic-log": _quadratic(
            "diagonal quadratics, curvatures of uniform logarithm", LogQuadratic, quadratics.quadratic,
            lambda own: exact.log_uniform_spectrum(own.kappa),
        ),
        "least-squares": _squares("random least squares, as in the paper", quadratics.least_squares, 0.016),
        "least-squares-01": _squares("the same as in the code", quadratics.released_least_squares, 0.025),
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
