"""What policy-gradient steps climb: of an outer step, for each action; of an inner one, through its derivatives."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from jmeta.checks import check_above_zero, known

Objective = Callable[[Array, Array, Array], Array]
"""`(log_prob now, log_prob when it acted, advantage) -> value`, elementwise; the larger the better."""


def ppo_clip(clip: float = 0.2) -> Objective:
    """The clipped objective of proximal policy optimization.

        min(r A, clip(r, 1 - clip, 1 + clip) A),   r = exp(log_prob now - log_prob then)

    Raises:
        ValueError: if `clip` is not a finite number above 0.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, eq. 7. https://arxiv.org/abs/1707.06347
    """
    check_above_zero("clip", clip)

    def objective(log_prob: Array, before: Array, advantage: Array) -> Array:
        ratio = jnp.exp(log_prob - before)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)

    return objective


def actor_critic() -> Objective:
    """The plain policy gradient, A2C's: `log_prob * advantage`. One pass over the data is all that it is right for.

    Source: Mnih et al. 2016, Asynchronous Methods for Deep Reinforcement Learning. https://arxiv.org/abs/1602.01783
    """
    return lambda log_prob, before, advantage: log_prob * lax.stop_gradient(advantage)


Surrogate = Callable[[Array, Array, Array], Array]
"""`(log_prob [n, steps], advantage [n, steps], weight [n, steps]) -> []`, the larger the better.

Advantages and weights are constants of it. A weight is how much a step counts: 1 / n for a sum over the steps of n
trajectories, one over all of their steps for a mean, a trajectory's probability for an expectation; 0 for padding.
"""


def reinforce() -> Surrogate:
    """The plain policy gradient, `sum weight A log pi`.

    Its first derivative is right. Its second, `E sum A d2 log pi`, leaves out that other actions will be taken after a
    change of the policy, so that what is learned through it is wrong, unless that is made good in another way
    (`maml_rl(credit=True)`). Nor does a baseline leave its mean as it was.

    Source: Williams 1992, Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning.
    https://doi.org/10.1007/BF00992696
    """
    return lambda log_prob, advantage, weight: _sum(weight, advantage, log_prob)


def lvc() -> Surrogate:
    """The low-variance curvature estimator: a ratio of probabilities for each step, of value 1.

        sum weight A r,   r = exp(log pi - stop(log pi))

    Its first derivative is right. Its second, `E sum A (g g' + d2 log pi)` with g for d log pi, leaves out
    `E sum g dQ' + dQ g'` with Q for the mean return of an action. That is 0 where later steps earn the same after every
    action, as in bandits, and in return the spread does not grow with the length of an episode.

    Example:
        >>> log_prob, half = jnp.array([[-1.0, -2.0]]), jnp.array([[0.5, 0.5]])
        >>> lvc()(log_prob, jnp.array([[4.0, 2.0]]), half).item()
        3.0

    Source: Rothfuss et al. 2019, ProMP: Proximal Meta-Policy Search, section 5. https://arxiv.org/abs/1810.06784
    """
    return lambda log_prob, advantage, weight: _sum(weight, advantage, _ratio(log_prob))


def dice(*, discount: float = 1.0, decay: float = 1.0) -> Surrogate:
    """Loaded DiCE: all derivatives are right, of any order, with advantages that may have a baseline.

        sum weight discount^t A_t (box(w_t) - box(decay w_{t-1}) + 1),   box(w) = exp(w - stop(w))
        w_t = decay w_{t-1} + log pi_t

    With returns for advantages it has the derivatives of DiCE, `sum_t box(log pi_0 + ... + log pi_t) r_t`. Its value is
    that of `lvc`.

    Args:
        discount: 1 weighs all steps alike, as is common; that of the returns gives the derivatives of the discounted
            return from the start.
        decay: how much of an action's influence is left a step later. At 1 derivatives are right, and their spread
            grows with the length of an episode; at 0 they are those of `lvc`.

    Raises:
        ValueError: if a number is not from 0 to 1.

    Source: Foerster et al. 2018, DiCE: The Infinitely Differentiable Monte-Carlo Estimator.
    https://arxiv.org/abs/1802.05098; Farquhar et al. 2019, Loaded DiCE: Trading off Bias and Variance in Any-Order
    Score Function Gradient Estimators. https://arxiv.org/abs/1909.10549
    """
    for name, number in (("discount", discount), ("decay", decay)):
        if known(number) and not 0 <= number <= 1:
            raise ValueError(f"{name} must be from 0 to 1, got {number}")

    def surrogate(log_prob: Array, advantage: Array, weight: Array) -> Array:
        def add(before: Array, now: Array) -> tuple[Array, tuple[Array, Array]]:
            before = decay * before
            return before + now, (before, before + now)

        _, (before, after) = lax.scan(add, jnp.zeros_like(log_prob[:, 0]), log_prob.T)
        powers = discount ** jnp.arange(log_prob.shape[1]).astype(log_prob.dtype)
        change = (_ratio(after) - _ratio(before) + 1).T
        return _sum(weight, advantage, powers[None] * change)

    return surrogate


def _sum(weight: Array, advantage: Array, term: Array) -> Array:
    return jnp.sum(lax.stop_gradient(weight * advantage) * term)


def _ratio(log_prob: Array) -> Array:
    return jnp.exp(log_prob - lax.stop_gradient(log_prob))
