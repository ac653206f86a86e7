"""Draws the meta-batches that all implementations of a workload see, and the parameters that they start from."""

from pathlib import Path

import jax

from benchmarks.learners import learner_of, sample_input, source_of, write_meta_batches
from benchmarks.protocol import Reply, serve
from benchmarks.workloads import from_request
from jmeta.datasets import cache


def draw(request: Reply) -> Reply:
    """Write the file that a request names; reply with the source of its episodes."""
    workload = from_request(request["workload"])
    source = source_of(workload, request["data_dir"])
    params = learner_of(workload).init(jax.random.key(0), sample_input(workload))
    keys = jax.random.split(jax.random.key(1), (request["meta_batches"], request["tasks"]))
    write_meta_batches(Path(request["path"]), params, jax.jit(jax.vmap(jax.vmap(source.sample)))(keys))
    return {"source": source.name}


def about(request: Reply) -> Reply:
    """The folder of data sets, whichever way it was named."""
    return {"data_dir": str(cache.data_root(request["data_dir"]))}


if __name__ == "__main__":
    serve({"draw": draw, "about": about})
