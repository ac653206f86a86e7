"""What rules that look at each parameter by itself see of it, and the step they make of what they say."""

import jax
import jax.numpy as jnp
from jax import Array, lax

from jmeta.types import Params

TIMES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0, 30000.0, 100000.0)
"""Time scales, in steps."""


def times(step: Array) -> Array:
    """`[11]`, tanh(t / tau - 1) for each time scale tau, of the number of steps that were taken before."""
    return jnp.tanh(step.astype(jnp.float32) / jnp.array(TIMES) - 1.0)


def normalized(features: Array) -> Array:
    """Features `[..., F]` of a tensor, each divided by its root mean square over the tensor.

    x / sqrt(1e-5 + mean x^2)
    """
    over = tuple(range(features.ndim - 1))
    return features * lax.rsqrt(1e-5 + jnp.mean(jnp.square(features), axis=over, keepdims=True))


def with_times(features: Array, step: Array) -> Array:
    """Features `[..., F]` of a tensor, and beside them the same 11 times for each of its parameters."""
    clock = times(step)
    same = jnp.broadcast_to(clock.reshape((1,) * (features.ndim - 1) + clock.shape), (*features.shape[:-1], len(TIMES)))
    return jnp.concatenate([features, same], axis=-1)


def averaged(decays: Array, old: Array, new: Array) -> Array:
    """Exponential averages `[..., D]` after one more value `[...]`, each by its own decay `[D]`."""
    decays = decays.reshape((1,) * new.ndim + decays.shape)
    return decays * old + (1.0 - decays) * new[..., None]


def step_of(outputs: Array, step_scale: float) -> Array:
    """The update that a network's two outputs `[..., 2]` stand for: `-step_scale direction exp(magnitude / 1000)`."""
    return -step_scale * outputs[..., 0] * jnp.exp(0.001 * outputs[..., 1])


def check_told(params: Params | None) -> None:
    """Raise ValueError where an optimizer that sees parameters is not told them."""
    if params is None:
        raise ValueError("this rule sees the parameters too: call optimizer.update(grads, state, params)")


def without_head(params: Params) -> Params:
    """Parameters of a network of Flax whose last layer is `head`, with that at 0, so that it says 0 to all."""
    layers = dict(params["params"])
    return {"params": layers | {"head": jax.tree.map(jnp.zeros_like, layers["head"])}}


def wide(tree: Params) -> Params:
    """Floats of any tree in float32."""
    return jax.tree.map(lambda a: a.astype(jnp.float32), tree)


def like(updates: Params, tree: Params) -> Params:
    """Updates in the dtypes of another tree."""
    return jax.tree.map(lambda u, a: u.astype(a.dtype), updates, tree)
