"""Models of Flax NNX and Equinox as `init`/`apply` pairs."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx
from jax import Array

from jmeta.types import Params


class PureModel(NamedTuple):
    """A `jmeta.types.Model` made of two functions."""

    init: Callable[[Array, Array], Params]
    apply: Callable[[Params, Array], Array]


def from_nnx(build: Callable[[nnx.Rngs], Any]) -> PureModel:
    """A Flax NNX module as a model.

    Args:
        build: `rngs -> module`; the module maps `[N, ...]` to `[N, way]`. All its state must be `nnx.Param`.

    Returns:
        `init(key, x)`, which does not need x, and `apply(params, x)`.

    Raises:
        ValueError: if the module has other state, such as running statistics or dropout keys.
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
        build: `key -> module`; the module maps one example to its output, as Equinox's do.

    Returns:
        `init(key, x)`, which does not need x, and `apply(params, x)` for `x [N, ...]`. Every array of floats is a
        parameter.
    """
    import equinox as eqx  # optional: needed by those alone who have such modules

    _, static = eqx.partition(build(jax.random.key(0)), eqx.is_inexact_array)

    def init(key: Array, x: Array) -> Params:
        return eqx.filter(build(key), eqx.is_inexact_array)

    def apply(params: Params, x: Array) -> Array:
        return jax.vmap(eqx.combine(params, static))(x)

    return PureModel(init, apply)
