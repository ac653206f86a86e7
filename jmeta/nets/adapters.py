"""Models of Flax NNX and Equinox as `init`/`apply` pairs, and any model in lower precision."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from jmeta import calls
from jmeta.types import Model, Params


class PureModel(NamedTuple):
    """A `jmeta.types.Model` made of two functions."""

    init: Callable[[Array, Array], Params]
    apply: Callable[[Params, Array], Array]


class ConditionedModel(NamedTuple):
    """A `PureModel` with the two more functions of `jmeta.types.Model`."""

    init: Callable[[Array, Array], Params]
    apply: Callable[[Params, Array], Array]
    apply_weighted: Callable[[Params, Array, Array], Array]
    condition: Callable[..., Params]


def in_precision(model: Model, dtype: Any = jnp.bfloat16) -> Model:
    """A model that computes in another floating dtype, with parameters and outputs that keep theirs.

        apply(params, x) = float32(model.apply(bfloat16(params), bfloat16(x)))

    Inner and outer updates, losses, sums of gradients over tasks, and the statistics of `jmeta.nets`' normalization
    stay in float32.

    Example:
        >>> from jmeta import nets
        >>> model = in_precision(nets.Linear(2))
        >>> params = model.init(jax.random.key(0), jnp.ones((1, 3)))
        >>> model.apply(params, jnp.ones((1, 3))).dtype.name, jax.tree.leaves(params)[0].dtype.name
        ('float32', 'float32')
    """

    def cast(tree: Any, dtype: Any) -> Any:
        return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)

    def apply(params: Params, x: Array, weight: Array | None = None) -> Array:
        given = jax.tree.leaves(x)[0].dtype
        outside = given if jnp.issubdtype(given, jnp.floating) else jnp.float32
        return cast(calls.apply(model, cast(params, dtype), cast(x, dtype), weight), outside)

    condition = getattr(model, "condition", None)
    if condition is None and not hasattr(model, "apply_weighted"):
        return PureModel(model.init, apply)

    def conditioned(params: Params, x: Array, weight: Array | None = None) -> Params:
        # What it adds keeps its own dtype, and what was there is not rounded.
        return params if condition is None else {**condition(cast(params, dtype), cast(x, dtype), weight), **params}

    return ConditionedModel(model.init, apply, apply, conditioned)


def from_nnx(build: Callable[[nnx.Rngs], Any]) -> PureModel:
    """A Flax NNX module as a model.

    Args:
        build: `rngs -> module`; the module maps `[N, ...]` to `[N, way]`. `init(key, x)` does not need x.

    Raises:
        ValueError: if the module has state beside `nnx.Param`, such as running statistics or dropout keys.
    """
    graph, _, rest = nnx.split(nnx.eval_shape(lambda: build(nnx.Rngs(0))), nnx.Param, ...)
    if jax.tree.leaves(rest):
        kinds = sorted({type(v).__name__ for _, v in nnx.to_flat_state(rest)})
        raise ValueError(f"only nnx.Param state can be meta-learned, got {', '.join(kinds)}: leave these layers out")

    def init(key: Array, x: Array) -> Params:
        return nnx.as_pure(nnx.state(build(nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, x: Array) -> Array:
        return nnx.merge(graph, params)(x)

    return PureModel(init, apply)


def from_equinox(build: Callable[[Array], Any]) -> PureModel:
    """An Equinox module as a model.

    Args:
        build: `key -> module`; the module maps one example to its output, as Equinox's do. Every array of floats is a
            parameter, `init(key, x)` does not need x, and `apply(params, x)` takes `x [N, ...]`.
    """
    import equinox as eqx  # optional: needed by those alone who have such modules

    _, static = eqx.partition(build(jax.random.key(0)), eqx.is_inexact_array)

    def init(key: Array, x: Array) -> Params:
        return eqx.filter(build(key), eqx.is_inexact_array)

    def apply(params: Params, x: Array) -> Array:
        return jax.vmap(eqx.combine(params, static))(x)

    return PureModel(init, apply)
