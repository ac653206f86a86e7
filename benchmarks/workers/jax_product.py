"""The rate of a large square float32 matrix product in JAX."""

import jax
import jax.numpy as jnp

from benchmarks.learners import about_jax, device_peak, set_up
from benchmarks.protocol import Program, Reply, serve_program


def prepare(request: Reply) -> Program:
    """A step is one product."""
    set_up(request["tf32"], request["dtype"])
    a, b = jax.random.normal(jax.random.key(0), (2, request["size"], request["size"]))
    product = jax.jit(jnp.matmul)

    def advance(state: None, first: int, steps: int) -> tuple[None, float]:
        out = a
        for _ in range(steps):
            out = product(a, b)
        return None, float(jax.block_until_ready(out)[0, 0])

    return Program(None, advance, about_jax(), device_peak)


if __name__ == "__main__":
    serve_program(prepare)
