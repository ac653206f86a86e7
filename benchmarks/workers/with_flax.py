"""Plain JAX as most people write it: Flax convolutions, `vmap` over tasks, one `jit` around all."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from benchmarks.learners import about_jax, device_peak, read_meta_batches, sample_input, set_up, with_values
from benchmarks.protocol import Program, Reply, serve_program
from benchmarks.workloads import BLOCKS, CHANNELS, OUTER_LR, Workload, from_request


class Encoder(nn.Module):
    """Four strided blocks and the mean over positions."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """`[N, H, W, C]` to `[N, D]`."""
        for _ in range(BLOCKS):
            x = nn.Conv(CHANNELS, (3, 3), strides=2)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=False)(x))
        return jnp.mean(x, axis=(1, 2))


class Net(nn.Module):
    """The encoder and a linear head."""

    way: int

    def setup(self) -> None:
        """Name the parts."""
        self.encoder = Encoder()
        self.head = nn.Dense(self.way)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[N, H, W, C]` to `[N, way]`."""
        return self.head(self.encoder(x))

    def encode(self, x: jax.Array) -> jax.Array:
        """`[N, H, W, C]` to `[N, D]`."""
        return self.encoder(x)


def task_loss(net: Net, workload: Workload) -> Any:
    """`(params, episode) -> loss` of MAML, FOMAML or ANIL."""

    def apply(params: Any, x: jax.Array, **method: Any) -> Any:
        return net.apply({"params": params}, x, mutable=["batch_stats"], **method)[0]

    def loss(params: Any, batch: Any) -> jax.Array:
        return jnp.mean(optax.softmax_cross_entropy(apply(params, batch.x), batch.y))

    def step(params: Any, grads: Any) -> Any:
        return jax.tree.map(lambda p, g: p - workload.inner_lr * g, params, grads)

    def maml(params: Any, episode: Any) -> jax.Array:
        adapted = params
        for _ in range(workload.inner_steps):
            grads: Any = jax.grad(loss)(adapted, episode.support)
            grads = jax.lax.stop_gradient(grads) if workload.algorithm == "fomaml" else grads
            adapted = step(adapted, grads)
        return loss(adapted, episode.query)

    def anil(params: Any, episode: Any) -> jax.Array:
        head, dense = params["head"], nn.Dense(workload.way)

        def head_loss(head: Any, z: jax.Array, y: jax.Array) -> jax.Array:
            logits: Any = dense.apply({"params": head}, z)
            return jnp.mean(optax.softmax_cross_entropy(logits, y))

        z = apply(params, episode.support.x, method="encode")
        for _ in range(workload.inner_steps):
            head = step(head, jax.grad(head_loss)(head, z, episode.support.y))
        return head_loss(head, apply(params, episode.query.x, method="encode"), episode.query.y)

    return anil if workload.algorithm == "anil" else maml


def prepare(request: Reply) -> Program:
    """The program of a workload."""
    set_up(request["tf32"], request["dtype"])
    workload = from_request(request["workload"])
    net, optimizer = Net(workload.way), optax.adam(OUTER_LR)
    values, meta_batches = read_meta_batches(request["path"], request["dtype"])
    shapes = jax.eval_shape(net.init, jax.random.key(0), sample_input(workload))
    params = with_values(shapes["params"], values)
    loss = task_loss(net, workload)

    def meta_loss(params: Any, episodes: Any) -> jax.Array:
        return jnp.mean(jax.vmap(loss, in_axes=(None, 0))(params, episodes))

    @jax.jit
    def step(params: Any, state: Any, episodes: Any) -> tuple[Any, Any, jax.Array]:
        value, grads = jax.value_and_grad(meta_loss)(params, episodes)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(params, updates), state, value

    def advance(carry: Any, first: int, steps: int) -> tuple[Any, float]:
        value = jnp.nan
        for i in range(first, first + steps):
            *carry, value = step(*carry, meta_batches[i % len(meta_batches)])
        jax.block_until_ready(carry)
        return carry, float(value)

    return Program((params, optimizer.init(params)), advance, about_jax(), device_peak)


if __name__ == "__main__":
    serve_program(prepare)
