"""The types of learned optimization: a rule, what it is trained on, and an estimate of its meta-gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import optax
from jax import Array

from jmeta.types import Params


class Rule(NamedTuple):
    """An optimization strategy with parameters theta.

    Attributes:
        init: `(key, params) -> theta`; of the parameters to be optimized, most rules need nothing.
        make: `theta -> optax.GradientTransformation`, pure, so that what it does can be differentiated in theta.
    """

    init: Callable[[Array, Params], Params]
    make: Callable[[Params], optax.GradientTransformation]


class Problem(NamedTuple):
    """Inner problems of one kind: what a rule is trained on.

    Functions that carry data are `jax.tree_util.Partial`, whose arrays are arguments of a compiled program.

    Attributes:
        init: `key -> (params, task)`: where to start, and what is fixed for this problem, any pytree.
        loss: `(params, task, key) -> []`, on a batch that is drawn by the key; its gradient is what a rule sees.
        judge: as `loss`, on examples that no step sees: by these the rule is trained, so that what it finds holds for
            others too. None for the loss itself.
        held_out: `(params, task) -> []`, on data that neither has seen, for the evaluation; None where there is none.
    """

    init: Callable[[Array], tuple[Params, Any]]
    loss: Callable[[Params, Any, Array], Array]
    judge: Callable[[Params, Any, Array], Array] | None = None
    held_out: Callable[[Params, Any], Array] | None = None


class Unroll(NamedTuple):
    """A system that theta moves step by step, of whose losses theta is to make a weighted sum small.

        J(theta) = sum_t weight(t) loss_t,   t = 1 ... horizon

    Attributes:
        init: `(theta, key) -> state`.
        step: `(theta, state, key) -> (state, loss [])`.
        horizon: steps, after which it begins anew.
        weight: `t -> []`, of the loss after t steps.
    """

    init: Callable[[Params, Array], Any]
    step: Callable[[Params, Any, Array], tuple[Any, Array]]
    horizon: int
    weight: Callable[[Array], Array]


class Estimator(NamedTuple):
    """An estimate of the meta-gradient from a window of an unroll's steps.

    Over the windows of a horizon, the gradients of an unbiased one add up to that of J, on average.

    Attributes:
        init: `(theta, key) -> state`, before a window that begins an unroll.
        estimate: `(state, theta, key) -> (gradient, state, losses)`, with the unweighted losses `[steps]` of the
            window; of two systems that differ in theta, their mean. After the last window of a horizon, the next one
            begins anew, by its key.
        steps: of a window.
    """

    init: Callable[[Params, Array], Any]
    estimate: Callable[[Any, Params, Array], tuple[Params, Any, Array]]
    steps: int
