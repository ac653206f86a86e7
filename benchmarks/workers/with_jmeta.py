"""jmeta: `make_step` on given meta-batches, and `make_run`, which draws its own inside the program."""

import functools
from typing import Any

import jax
import optax
from jax.sharding import Mesh

import jmeta
from benchmarks.learners import (
    about_jax,
    device_peak,
    learner_of,
    read_meta_batches,
    sample_input,
    set_up,
    source_of,
    with_values,
)
from benchmarks.operations import matrix_operations
from benchmarks.protocol import Program, Reply, serve_program
from benchmarks.workloads import OUTER_LR, Workload, from_request
from jmeta.runs.engine.devices import use_cores, use_one_thread
from jmeta.sharding import replicate, spread


def mesh_of(workload: Workload, tasks: int) -> Mesh | None:
    """What `jmeta train` computes on: of a CPU's cores as many as divide the tasks, and one for sine curves."""
    devices = jax.devices()
    most = 1 if devices[0].platform == "cpu" and not workload.way else len(devices)
    number = max(n for n in range(1, most + 1) if tasks % n == 0)
    return None if number == 1 else jmeta.sharding.task_mesh(devices[:number])


def prepare(request: Reply) -> Program:
    """The program of one of jmeta's two implementations."""
    workload = from_request(request["workload"])
    use_cores()
    if not workload.way:  # which has curves, and no pictures
        use_one_thread()
    set_up(request["tf32"], request["dtype"])
    mesh = mesh_of(workload, request["tasks"])
    learner, optimizer = learner_of(workload), optax.adam(OUTER_LR)
    state = jax.jit(functools.partial(jmeta.init_state, learner, optimizer))(
        jax.random.key(0), sample_x=sample_input(workload)
    )
    chunk = request["chunk_size"]
    if request["implementation"] == "jmeta-run":
        sample = source_of(workload, request["data_dir"]).sample
        run = jmeta.make_run(learner, optimizer, sample, meta_batch_size=request["tasks"], chunk_size=chunk, mesh=mesh)

        def draw_and_advance(state: Any, first: int, steps: int) -> tuple[Any, float]:
            state, metrics = jax.block_until_ready(run(state, steps))
            return state, float(metrics.loss[-1])

        return Program(state, draw_and_advance, about_jax(), device_peak)
    values, meta_batches = read_meta_batches(request["path"], request["dtype"])
    params = with_values(state.params, values)
    state = state._replace(params=params, opt_state=optimizer.init(params))
    step = jmeta.make_step(learner, optimizer, chunk_size=chunk, mesh=mesh)
    if mesh is not None:
        state, meta_batches = replicate(state, mesh), [spread(batch, mesh) for batch in meta_batches]

    def advance(state: Any, first: int, steps: int) -> tuple[Any, float]:
        metrics = None
        for i in range(first, first + steps):
            state, metrics = step(state, meta_batches[i % len(meta_batches)])
        assert metrics is not None
        jax.block_until_ready(state)
        return state, float(metrics.loss)

    return Program(state, advance, about_jax(), device_peak, lambda: matrix_operations(step, state, meta_batches[0]))


if __name__ == "__main__":
    serve_program(prepare)
