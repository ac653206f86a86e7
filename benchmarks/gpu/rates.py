"""How many operations a second a large square matrix product makes, which nothing can be faster than."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu.protocol import Ask, Outcome
from benchmarks.gpu.torch_rates import rate

SIZE, SMALL = 8192, 1024
SECONDS = 1.5
OF_JAX = {"float32": ("float32", "highest"), "tf32": ("float32", None), "bfloat16": ("bfloat16", None)}
"""The dtype of the factors, and JAX's precision of the product, by name."""


def measured(ask: Ask) -> Outcome:
    """Operations a second by JAX and by PyTorch, in each precision: 2 n^3 a product."""
    size = SIZE if ask.platform != "cpu" else max(256, ask.length(SMALL))
    value: dict[str, Any] = {"size": size, "jax": {}, "torch": {}}
    for name, (dtype, precision) in OF_JAX.items():
        value["jax"][name] = rate(by_jax(size, dtype, precision), size, SECONDS * max(ask.scale, 0.1))
        ask.keep(value)
    return Outcome({**value, "torch": by_torch(size, SECONDS * max(ask.scale, 0.1), ask.seconds_left)})


def by_torch(size: int, seconds: float, limit: float) -> dict[str, float] | str:
    """Its rates, in a process of its own, since the libraries may want different CUDA; or why there are none."""
    if importlib.util.find_spec("torch") is None:
        return "not installed"
    command = [sys.executable, "-m", "benchmarks.gpu.torch_rates", str(size), str(seconds)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=max(1.0, limit))
        return json.loads(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, ValueError) as error:
        return f"failed ({type(error).__name__})"


def by_jax(size: int, dtype: str, precision: Any) -> Callable[[int], Any]:
    """`count -> ` that many products, waited for."""
    a, b = jax.random.normal(jax.random.key(0), (2, size, size), jnp.dtype(dtype))
    product = jax.jit(lambda a, b: jnp.matmul(a, b, precision=precision))

    def products(count: int) -> None:
        out = a
        for _ in range(count):
            out = product(a, b)
        out.block_until_ready()

    return products
