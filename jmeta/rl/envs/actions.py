"""What actions of an environment look like, and some at random."""

import math

import jax
import jax.numpy as jnp
from jax import Array

from jmeta.rl.types import Discrete, Env


def action_like(env: Env) -> jax.ShapeDtypeStruct:
    """Shape and dtype of an action."""
    if isinstance(env.action, Discrete):
        return jax.ShapeDtypeStruct((), jnp.int32)
    return jax.ShapeDtypeStruct((env.action.size,), jnp.float32)


def random_action(key: Array, env: Env) -> Array:
    """An action, each as likely as another; a bound of a `Box` that is infinite counts as -1 or 1."""
    if isinstance(env.action, Discrete):
        return jax.random.randint(key, (), 0, env.action.n, jnp.int32)
    low, high = (bound if math.isfinite(bound) else math.copysign(1, bound) for bound in env.action[1:])
    return jax.random.uniform(key, (env.action.size,), jnp.float32, low, high)
