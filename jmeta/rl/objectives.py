"""What a policy-gradient step climbs, for each action."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

Objective = Callable[[Array, Array, Array], Array]
"""`(log_prob now, log_prob when it acted, advantage) -> value`, elementwise; the larger the better."""


def ppo_clip(clip: float = 0.2) -> Objective:
    """The clipped objective of proximal policy optimization.

        min(r A, clip(r, 1 - clip, 1 + clip) A),   r = exp(log_prob now - log_prob then)

    Args:
        clip: above 0.

    Raises:
        ValueError: if `clip` is not above 0.

    Source: Schulman et al. 2017, Proximal Policy Optimization Algorithms, eq. 7. https://arxiv.org/abs/1707.06347
    """
    if not clip > 0:
        raise ValueError(f"clip must be above 0, got {clip}")

    def objective(log_prob: Array, before: Array, advantage: Array) -> Array:
        ratio = jnp.exp(log_prob - before)
        return jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - clip, 1 + clip) * advantage)

    return objective


def actor_critic() -> Objective:
    """The plain policy gradient, A2C's: `log_prob * advantage`. One pass over the data is all that it is right for.

    Source: Mnih et al. 2016, Asynchronous Methods for Deep Reinforcement Learning. https://arxiv.org/abs/1602.01783
    """
    return lambda log_prob, before, advantage: log_prob * lax.stop_gradient(advantage)
