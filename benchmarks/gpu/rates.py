"""How many operations a second a large square matrix product makes, which nothing can be faster than."""

import importlib.util
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.gpu.protocol import Ask, Outcome

SIZE, SMALL = 8192, 1024
SECONDS = 1.5
PRECISIONS = {"float32": ("float32", "highest"), "tf32": ("float32", None), "bfloat16": ("bfloat16", None)}
"""The dtype of the factors, and JAX's precision of the product, by name."""


def measured(ask: Ask) -> Outcome:
    """Operations a second by JAX and by PyTorch, in each precision: 2 n^3 a product."""
    size = SIZE if ask.platform != "cpu" else max(256, ask.length(SMALL))
    value: dict[str, Any] = {"size": size, "jax": {}, "torch": {}}
    for name, (dtype, precision) in PRECISIONS.items():
        value["jax"][name] = rate(by_jax(size, dtype, precision), size, SECONDS * max(ask.scale, 0.1))
        ask.keep(value)
    if importlib.util.find_spec("torch") is None:
        return Outcome({**value, "torch": "not installed"})
    for name in PRECISIONS:
        value["torch"][name] = rate(by_torch(size, name), size, SECONDS * max(ask.scale, 0.1))
        ask.keep(value)
    return Outcome(value)


def rate(products: Callable[[int], Any], size: int, seconds: float) -> float:
    """Operations a second: the best of three, each of about so many seconds."""
    products(2)
    start = time.perf_counter()
    products(3)
    count = max(1, round(seconds / 3 / ((time.perf_counter() - start) / 3)))
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        products(count)
        best = min(best, (time.perf_counter() - start) / count)
    return 2 * size**3 / best


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


def by_torch(size: int, name: str) -> Callable[[int], Any]:
    """The same in PyTorch."""
    import torch  # pyright: ignore[reportMissingImports]

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    dtype = torch.bfloat16 if name == "bfloat16" else torch.float32
    a, b = torch.randn(2, size, size, device=device, dtype=dtype)

    def products(count: int) -> None:
        for _ in range(count):
            torch.matmul(a, b)
        if device == "cuda":
            torch.cuda.synchronize()

    return products
