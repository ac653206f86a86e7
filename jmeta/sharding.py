"""Where arrays lie on many devices: tasks spread over a mesh, everything else replicated."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.core import Tracer
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def task_mesh(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of one axis, over which the tasks of a meta-batch are spread; None takes all devices of all processes.

    Raises:
        ValueError: if there are no devices.

    Example:
        >>> mesh = task_mesh(jax.devices()[:1])
        >>> mesh.axis_names, mesh.size
        (('task',), 1)
    """
    chosen = list(jax.devices() if devices is None else devices)
    if not chosen:
        raise ValueError("a mesh of tasks needs a device or more, got none")
    # Under Explicit axes, JAX's default of late, a vmapped inner loop does not type-check.
    return Mesh(np.asarray(chosen), ("task",), axis_types=(AxisType.Auto,))


def check_mesh(mesh: Mesh) -> None:
    """Raise ValueError for a mesh that tasks can't be spread over: it must have one axis, of type Auto."""
    if len(mesh.axis_names) != 1 or mesh.axis_types != (AxisType.Auto,):
        kinds = ", ".join(f"{name} {kind}" for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True))
        raise ValueError(f"mesh must have one axis, of type Auto, got ({kinds}): make it by jmeta.sharding.task_mesh()")


def tasks_of_each(tasks: int, mesh: Mesh | None) -> int:
    """How many of a meta-batch's tasks each device has, all without a mesh; ValueError if devices don't divide them."""
    devices = 1 if mesh is None else mesh.size
    if tasks % devices:
        raise ValueError(f"{devices} devices must divide the tasks of a meta-batch, got {tasks} tasks")
    return tasks // devices


def replicate(tree: Any, mesh: Mesh) -> Any:
    """The same arrays on every device of a mesh. In several processes, all must give the same."""
    return _place(tree, NamedSharding(mesh, PartitionSpec()))


def replicated(shapes: Any, mesh: Mesh) -> Any:
    """The shapes of what `replicate` returns: what is traced with these is not traced again for the arrays."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=everywhere, weak_type=a.weak_type), shapes
    )


def spread(tree: Any, mesh: Mesh) -> Any:
    """Arrays `[T, ...]` with T/D tasks on each of the D devices. In several processes, all must give the same."""
    return _place(tree, NamedSharding(mesh, PartitionSpec(*mesh.axis_names)))


def draw(sample: Callable[[Array], Any], keys: Array, mesh: Mesh) -> Any:
    """`vmap(sample)(keys)` with each device at its own of the keys `[T]`, and so its own episodes.

    `sample` is a pytree, such as a `jax.tree_util.Partial`, of replicated arrays.
    """
    # Partitioned by XLA, the devices would exchange the random numbers that `top_k` chooses by. `shard_map`, which must
    # stay away from inner gradients, does no harm here: nothing is differentiated.
    tasks = PartitionSpec(*mesh.axis_names)
    each = jax.shard_map(
        lambda sample, keys: jax.vmap(sample)(keys),
        mesh=mesh,
        in_specs=(PartitionSpec(), tasks),
        out_specs=tasks,
        check_vma=False,
    )
    return each(sample, keys)


def by_device(tree: Any, mesh: Mesh) -> Any:
    """Arrays `[T, ...]` as `[D, T/D, ...]` with the first axis on the devices; moves nothing that `spread` placed."""
    kept = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
    split = jax.tree.map(lambda a: a.reshape(mesh.size, -1, *a.shape[1:]), spread(tree, mesh))
    return lax.with_sharding_constraint(split, kept)


def local(tree: Any) -> Any:
    """This process's own copy, on one device, of arrays that are replicated."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)


def _place(tree: Any, sharding: NamedSharding) -> Any:
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda a: _place_global(a, sharding), tree)


def _place_global(array: Any, sharding: NamedSharding) -> Array:
    """`device_put` would compare the values of all processes each time."""
    if isinstance(array, Tracer):
        return lax.with_sharding_constraint(array, sharding)
    if isinstance(array, Array) and array.sharding.is_equivalent_to(sharding, array.ndim):
        return array
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        data = _place_global(jax.random.key_data(array), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(array))
    values = np.asarray(array)
    return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])
