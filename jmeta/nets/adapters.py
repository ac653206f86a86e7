"""Models of Flax NNX and Equinox as `init`/`apply` pairs, and any model in lower precision."""

from collections.abc import Callable, Iterator, Mapping
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
        ValueError: if the module has state beside `nnx.Param`, such as running statistics, or dropout.
    """
    module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph, _, rest = nnx.split(module, nnx.Param, ...)
    layers = {path: node for path, node in nnx.iter_graph(module) if isinstance(node, nnx.Module)}
    odd = [
        path for path, node in layers.items() if isinstance(node, nnx.Dropout) and _drops(node.rate, node.deterministic)
    ]
    for path, _ in nnx.to_flat_state(rest):
        odd.append(max((own for own in layers if own == path[: len(own)]), key=len))
    _refuse({".".join(map(str, path)): layers[path] for path in odd})

    def init(key: Array, x: Array) -> Params:
        return nnx.as_pure(nnx.state(build(nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, x: Array) -> Array:
        return nnx.merge(graph, params)(x)

    return PureModel(init, apply)


def from_equinox(build: Callable[[Array], Any]) -> PureModel:
    """An Equinox module as a model.

    Args:
        build: `key -> module`; the module maps one example to its output, as Equinox's do. Every array of floats is a
            parameter, one at several places is one parameter, `init(key, x)` does not need x, and `apply(params, x)`
            takes `x [N, ...]`.

    Raises:
        ValueError: if the module has layers with state, such as batch normalization, or dropout.
    """
    import equinox as eqx  # optional: needed by those alone who have such modules

    module = build(jax.random.key(0))
    is_layer = lambda node: isinstance(node, eqx.Module)

    def layers(place: str, node: Any) -> Iterator[tuple[str, Any]]:
        yield place, node
        below = jax.tree_util.tree_leaves_with_path(node, is_leaf=lambda each: each is not node and is_layer(each))
        for path, each in below:
            if is_layer(each):
                yield from layers(place + jax.tree_util.keystr(path), each)

    stateful = lambda layer: any(isinstance(value, eqx.nn.StateIndex) for value in vars(layer).values())
    dropout = lambda layer: isinstance(layer, eqx.nn.Dropout) and _drops(layer.p, layer.inference)
    _refuse({place.lstrip("."): layer for place, layer in layers("", module) if stateful(layer) or dropout(layer)})

    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, structure = jax.tree.flatten(arrays)
    first: dict[int, int] = {}
    places = [first.setdefault(id(leaf), i) for i, leaf in enumerate(leaves)]
    own = sorted(first.values())

    def init(key: Array, x: Array) -> Params:
        made = jax.tree.leaves(eqx.filter(build(key), eqx.is_inexact_array))
        return jax.tree.unflatten(structure, [leaf if i in own else None for i, leaf in enumerate(made)])

    def apply(params: Params, x: Array) -> Array:
        kept = dict(zip(own, jax.tree.leaves(params), strict=True))
        return jax.vmap(eqx.combine(jax.tree.unflatten(structure, [kept[i] for i in places]), static))(x)

    return PureModel(init, apply)


def _drops(rate: Any, off: Any) -> bool:
    return not off and (not isinstance(rate, int | float) or rate > 0)


def _refuse(layers: Mapping[str, Any]) -> None:
    """ValueError for layers, by their places, if there are some."""
    if layers:
        said = ", ".join(f"{type(layer).__name__} at {place or 'the top'}" for place, layer in layers.items())
        raise ValueError(
            f"only parameters are meta-learned, and adaptation has neither state nor keys for {said}: leave these "
            "layers out, or normalize by nets.BatchNorm in a Flax linen module"
        )
