"""Tabular MDPs with a finite horizon, solved exactly (Bellman 1957)."""

import jax.numpy as jnp
from jax import Array, lax


def value_iteration(reward: Array, transition: Array, horizon: int) -> tuple[Array, Array]:
    """The largest mean return from each state, and what to do for it.

        Q_h(s, a) = r(s, a) + sum_s' P(s' | s, a) V_{h+1}(s'),   V_h(s) = max_a Q_h(s, a),   V_horizon = 0

    Args:
        reward: mean of r, `[states, actions]`, or `[horizon, states, actions]` where it depends on the time.
        transition: `[states, actions, states]`.
        horizon: steps, 1 or more.

    Returns:
        `(values, q)`, V `[horizon + 1, states]` and Q `[horizon, states, actions]`; the best action is the largest Q.

    Raises:
        ValueError: if the shapes do not fit, or `horizon` is below 1.

    Example:
        Stay for 1, or move on once to a state that pays 5.

        >>> reward = jnp.array([[1.0, 0.0], [5.0, 5.0]])
        >>> transition = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 1.0]]])
        >>> value_iteration(reward, transition, 3)[0][0].tolist()
        [10.0, 15.0]
    """
    states, actions = transition.shape[:2]
    if transition.shape != (states, actions, states) or reward.shape[-2:] != (states, actions):
        raise ValueError(
            f"reward must be [states, actions] and transition [states, actions, states], got {list(reward.shape)} "
            f"and {list(transition.shape)}"
        )
    if horizon < 1:
        raise ValueError(f"horizon must be 1 or more, got {horizon}")

    def backup(value: Array, reward: Array) -> tuple[Array, tuple[Array, Array]]:
        q = reward + jnp.sum(transition * value[None, None], axis=-1)
        value = jnp.max(q, axis=-1)
        return value, (value, q)

    rewards = jnp.broadcast_to(reward, (horizon, states, actions))
    last = jnp.zeros((states,), rewards.dtype)
    _, (values, q) = lax.scan(backup, last, rewards, reverse=True)
    return jnp.concatenate([values, last[None]]), q
