"""A workload's learner, its episodes and their file, on jmeta's side."""

import importlib.metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jmeta
from benchmarks.parameters import neutral_name
from benchmarks.workloads import CHANNELS, HIDDEN, SIZE, Workload
from jmeta.datasets import cache, omniglot
from jmeta.losses import squared_error

GLYPHS = "glyphs:400"


class Source(NamedTuple):
    """Where episodes come from: their sampler for training, the one for validation, and words for it."""

    sample: Any
    validate: Any
    name: str


def learner_of(workload: Workload, *, inner_steps: int | None = None) -> jmeta.Learner:
    """The learner of a workload, with its own number of inner steps or another."""
    steps = workload.inner_steps if inner_steps is None else inner_steps
    rule = optax.sgd(workload.inner_lr)
    if not workload.way:
        net = jmeta.nets.MLP(features=HIDDEN, out=1)
        return jmeta.maml(net, inner_optimizer=rule, inner_steps=steps, loss_fn=squared_error)
    if workload.algorithm == "anil":
        encoder = jmeta.nets.ConvEncoder(features=(CHANNELS,) * 4)
        return jmeta.anil(encoder, jmeta.nets.Head(workload.way), inner_optimizer=rule, inner_steps=steps)
    net, first_order = jmeta.nets.Conv4(workload.way, features=CHANNELS), workload.algorithm == "fomaml"
    return jmeta.maml(net, inner_optimizer=rule, inner_steps=steps, first_order=first_order)


def sample_input(workload: Workload) -> jax.Array:
    """Zeros of the shape of a support set's inputs."""
    return jnp.zeros((workload.support, *((SIZE, SIZE, 1) if workload.way else (1,))))


def source_of(workload: Workload, data_dir: str | None) -> Source:
    """Episodes of a workload: of Omniglot's training classes where its archives are at hand, else of glyphs."""
    if not workload.way:
        sample = jmeta.sinusoid_sampler(shot=workload.shot, query_shot=workload.query_shot)
        return Source(sample, sample, "sine curves")
    real = has_omniglot(data_dir)
    data = jmeta.datasets.load("omniglot" if real else GLYPHS, data_dir)
    split = data.split("default")

    def sampler(classes: np.ndarray) -> Any:
        return jmeta.few_shot_sampler(
            data.images[classes],
            way=workload.way,
            shot=workload.shot,
            query_shot=workload.query_shot,
            rotations=real,
            counts=data.counts[classes],
        )

    return Source(sampler(split.train), sampler(split.val), f"{data.name}, split {split.protocol} {split.hash}")


def has_omniglot(data_dir: str | None) -> bool:
    """Whether its archives are at hand, without a look at the network."""
    root = cache.data_root(data_dir)
    return all(omniglot.find(file, root) for file in omniglot.ARCHIVES["omniglot"])


def with_values(params: Any, values: dict[str, np.ndarray]) -> Any:
    """A tree of parameters with the values of their neutral names."""
    return jax.tree_util.tree_map_with_path(lambda path, _: jnp.asarray(values[_name(path)]), params)


def named(params: Any) -> dict[str, np.ndarray]:
    """A tree of parameters by neutral names."""
    return {_name(path): np.asarray(leaf) for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]}


def _name(path: tuple[Any, ...]) -> str:
    return neutral_name(tuple(str(getattr(key, "key", getattr(key, "name", ""))) for key in path))


def write_meta_batches(path: Path, params: Any, meta_batches: jmeta.Episode) -> None:
    """Initial parameters and meta-batches `[meta-batches, tasks, ...]`, without padding, as an .npz file."""
    arrays: dict[str, Any] = {f"params/{name}": value for name, value in named(params).items()}
    for part, batch in meta_batches._asdict().items():
        arrays |= {f"{part}_x": np.asarray(batch.x), f"{part}_y": np.asarray(batch.y)}
    np.savez(path, **arrays)


def read_meta_batches(path: str, dtype: str) -> tuple[dict[str, np.ndarray], list[jmeta.Episode]]:
    """What `write_meta_batches` wrote: parameters by name, and meta-batches on the device."""
    with np.load(path) as file:
        parts = {name: file[name].astype(dtype) for name in ("support_x", "support_y", "query_x", "query_y")}
        named = {name: file[name].astype(dtype) for name in file.files if name.startswith("params/")}
    values = {name.removeprefix("params/"): value for name, value in named.items()}
    meta_batches = [
        jax.block_until_ready(
            jmeta.Episode(
                jmeta.Batch(jnp.array(parts["support_x"][i]), jnp.array(parts["support_y"][i])),
                jmeta.Batch(jnp.array(parts["query_x"][i]), jnp.array(parts["query_y"][i])),
            )
        )
        for i in range(len(parts["support_x"]))
    ]
    return values, meta_batches


def set_up(tf32: bool, dtype: str) -> None:
    """Tell JAX how precise to be."""
    jax.config.update("jax_enable_x64", dtype == "float64")
    if not tf32:
        jax.config.update("jax_default_matmul_precision", "highest")


def about_jax() -> dict[str, Any]:
    """The device, and versions."""
    device = jax.devices()[0]
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", "flax", "numpy")}
    return {"platform": device.platform, "device": device.device_kind, "versions": versions}


def device_peak() -> int | None:
    """Bytes of the device's memory in use at most; None on a CPU, where that is the process's."""
    device = jax.devices()[0]
    return None if device.platform == "cpu" else (device.memory_stats() or {}).get("peak_bytes_in_use")
