"""Learned optimization: rules with parameters, estimates of their meta-gradient, and the problems they learn from."""

import importlib
from pathlib import Path

import optax

from jmeta.optimizers import estimators, evaluation, exact, problems, rules
from jmeta.optimizers.estimators import es, full_backprop, noise_reuse, pes, truncated_backprop
from jmeta.optimizers.learner import learned_optimizer
from jmeta.optimizers.training import fit
from jmeta.optimizers.types import Estimator, Problem, Rule, Unroll
from jmeta.optimizers.unroll import constant_grad, unroll

__all__ = [
    "Estimator", "Problem", "Rule", "Unroll", "constant_grad", "es", "estimators", "evaluation", "exact", "fit",
    "full_backprop", "learned_optimizer", "load", "noise_reuse", "pes", "problems", "rules", "truncated_backprop",
    "unroll",
]  # fmt: skip


def load(run_dir: str | Path, checkpoint: str = "best", *, trust_code: bool = False) -> optax.GradientTransformation:
    """A trained rule as an Optax optimizer, for any training of one's own.

    Args:
        run_dir: the folder of a run of `jmeta optimizers train`.
        checkpoint: best (by validation) or newest.
        trust_code: whether to run the code that the folder names, `FILE.py:NAME`, which is that of whoever wrote it.

    Raises:
        RunError: if it is no folder of such a run, has no checkpoint, is damaged, or names code to run.

    Example:
        >>> optimizer = load("runs/lstm")  # doctest: +SKIP
        >>> state = optimizer.init(params)  # doctest: +SKIP
        >>> updates, state = optimizer.update(grads, state, params)  # doctest: +SKIP
    """
    # Runs stand on this area, which knows nothing of them: they are found by name, when one is asked for.
    reader = importlib.import_module("jmeta.runs.optimizers.trained")
    return reader.optimizer(Path(run_dir), checkpoint, trust_code=trust_code)
