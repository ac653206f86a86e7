"""Settings of learned optimization."""

import dataclasses
from typing import Any

from jmeta.algorithms.settings import Outer
from jmeta.errors import RunError
from jmeta.optimizers import catalog
from jmeta.registry import spelled
from jmeta.settings import setting


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        rule: schedule (a rate for each step), per-tensor (a rate and a momentum for each tensor), lstm (one for all
            parameters), mlp (19 features of each parameter), adafactor-mlp (39 features), or your own, FILE.py:NAME, a
            function that returns a `Rule`.
        problem: quadratic, quadratic-log, least-squares, least-squares-01, classification, or your own, FILE.py:NAME,
            with `init(key) -> params` and `loss(params, key) -> []`.
        estimator: of the meta-gradient: full (backpropagation), truncated, es, pes, or noise-reuse.
    """

    rule: str = "mlp"
    problem: str = "classification"
    estimator: str = "truncated"


@dataclasses.dataclass(frozen=True)
class Unrolled:
    """The inner optimization.

    Attributes:
        inner_steps: of the rule on a problem, before the next one.
        objective: mean (of the losses after each step) or last (the loss after the last step).
        val_problems: of each validation.
    """

    inner_steps: int = setting(100, least=1)
    objective: str = setting("mean", choices=("mean", "last"))
    val_problems: int = setting(16, least=2)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Learn an optimizer: train a rule on problems that are drawn anew each time.

    Attributes:
        rule: the strategy, whose parameters are learned.
        own: what it can be told.
        problem: what it learns from.
        problems: what that can be told.
        estimator: of the meta-gradient.
        estimate: what that can be told.
        unrolled: the inner optimization.
        outer: how the rule is trained.
        clip: the longest meta-gradient that Adam sees; longer ones are shortened.
    """

    rule: str
    own: Any
    problem: str
    problems: Any
    estimator: str
    estimate: Any
    unrolled: Unrolled
    outer: Outer
    clip: float = setting(1.0, above=0)


def defaults(choice: Choice) -> Settings:
    """What to start from, for a rule on a problem by an estimator."""
    rule, problem, estimator = spelled(choice.rule), spelled(choice.problem), spelled(choice.estimator)
    own, problems = catalog.RULES.get(rule), catalog.PROBLEMS.get(problem)
    estimate = catalog.ESTIMATORS.get(estimator).settings()
    unrolled = Unrolled(problems.inner_steps)
    if rule == "schedule":
        unrolled = dataclasses.replace(unrolled, objective="last")
    outer = Outer(own.outer_lr, 1000, problems.tasks)
    return Settings(rule, own.settings(), problem, problems.settings(), estimator, estimate, unrolled, outer)


def check(settings: Settings) -> None:
    """Refuse what does not go together, with a RunError that names the setting."""
    steps, truncation = settings.unrolled.inner_steps, getattr(settings.estimate, "truncation", None)
    if truncation is not None and steps % truncation:
        raise RunError(
            f"--truncation {truncation} must divide --inner-steps {steps}, so that an unroll ends with a window: "
            "choose another."
        )
