"""Settings of learned optimization."""

import dataclasses
from typing import Any

from jmeta.algorithms.settings import Outer
from jmeta.errors import RunError
from jmeta.optimizers import catalog
from jmeta.registry import spelled
from jmeta.settings import names, replaced, setting


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        rule: the strategy, whose parameters are learned.
        problem: what it learns from.
        estimator: of the meta-gradient.
    """

    rule: str = "mlp"
    problem: str = "classification"
    estimator: str = "full"


@dataclasses.dataclass(frozen=True)
class Unrolled:
    """The inner optimization.

    Attributes:
        inner_steps: of the rule on a problem, before the next one.
        objective: mean (of the losses after each step) or last (the loss after the last step).
        val_problems: of each validation.
    """

    inner_steps: int = setting(50, least=1)
    objective: str = setting("last", choices=("mean", "last"))
    val_problems: int = setting(16, least=2)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Learn an optimizer: train a rule on problems that are drawn anew each time.

    Attributes:
        rule: what is learned: schedule (a rate for each step), per-tensor (a rate and a momentum for each tensor), lstm
            (one for all parameters), mlp (of 19 features of each parameter), adafactor-mlp (of 39), or your own,
            FILE.py:NAME, a function that returns a `Rule`.
        strategy: what the rule can be told.
        problem: what it learns from: classification (small networks), quadratic, quadratic-log, least-squares,
            least-squares-01, or your own, FILE.py:NAME, with init(key) -> params and loss(params, key) -> [].
        problems: what the problem can be told.
        estimator: of the meta-gradient: truncated or full (backpropagation), es, pes, or noise-reuse (evolution
            strategies).
        estimation: what the estimator can be told.
        unrolled: the inner optimization.
        outer: how the rule is trained.
        clip: the longest meta-gradient that Adam sees; longer ones are shortened.
    """

    rule: str
    strategy: Any
    problem: str
    problems: Any
    estimator: str
    estimation: Any
    unrolled: Unrolled
    outer: Outer
    clip: float = setting(1.0, above=0)


def defaults(choice: Choice) -> Settings:
    """What to start from, for a rule on a problem by an estimator."""
    rule, problem, estimator = spelled(choice.rule), spelled(choice.problem), spelled(choice.estimator)
    own, problems = catalog.RULES.get(rule), catalog.PROBLEMS.get(problem)
    estimate = catalog.ESTIMATORS.get(estimator).settings()
    unrolled, outer = Unrolled(problems.inner_steps, problems.objective), Outer(own.outer_lr, 300, problems.tasks)
    strategy = own.settings()
    strategy = replaced(strategy, {name: v for name, v in problems.start.items() if name in names(strategy)})
    return Settings(rule, strategy, problem, problems.settings(), estimator, estimate, unrolled, outer)


def check(settings: Settings) -> None:
    """Refuse what does not go together, with a RunError that names the setting."""
    steps, truncation = settings.unrolled.inner_steps, getattr(settings.estimation, "truncation", None)
    if truncation is not None and steps % truncation:
        raise RunError(
            f"--truncation {truncation} must divide --inner-steps {steps}, so that an unroll ends with a window: "
            "choose another."
        )
