"""Trains jmeta piece by piece and validates in between, each timed apart."""

import time
from typing import Any

import jax
import optax

import jmeta
from benchmarks.learners import about_jax, learner_of, sample_input, source_of
from benchmarks.protocol import Reply, serve
from benchmarks.workloads import OUTER_LR, from_request
from jmeta import evaluation


def main() -> None:
    """Serve `begin` and `go`."""
    running: dict[str, Any] = {}

    def begin(request: Reply) -> Reply:
        workload = from_request(request["workload"])
        source, optimizer = source_of(workload, request["data_dir"]), optax.adam(OUTER_LR)
        learner = learner_of(workload)
        start = time.perf_counter()
        state = jmeta.init_state(learner, optimizer, jax.random.key(0), sample_input(workload))
        tasks, chunk = request["tasks"], request["chunk_size"]
        run = jmeta.make_run(learner, optimizer, source.sample, meta_batch_size=tasks, chunk_size=chunk)
        jax.block_until_ready(run(state, 0))
        compiled = time.perf_counter() - start
        evaluated = learner_of(workload, inner_steps=request["inner_steps"])
        at_once = 1 if about_jax()["platform"] == "cpu" else 16

        def validate(params: Any) -> evaluation.Evaluation:
            key, episodes = jax.random.key(1), request["episodes"]
            return jmeta.evaluate(evaluated, params, source.validate, key, episodes=episodes, chunk_size=at_once)

        running.update(state=state, run=run, validate=validate)
        return {"source": source.name, "compile_seconds": compiled}

    def go(request: Reply) -> Reply:
        start = time.perf_counter()
        state, _ = jax.block_until_ready(running["run"](running["state"], request["steps"]))
        seconds = time.perf_counter() - start
        running.update(state=state)
        result = running["validate"](state.params)
        return {"seconds": seconds, "accuracy": result.mean, "ci95": result.ci95}

    serve({"begin": begin, "go": go})


if __name__ == "__main__":
    main()
