"""The same rates by PyTorch: `python -m benchmarks.gpu.torch_rates SIZE SECONDS` prints them as JSON."""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

PRECISIONS = ("float32", "tf32", "bfloat16")


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


def by_torch(size: int, name: str) -> Callable[[int], Any]:
    """`count -> ` that many products in a precision, waited for."""
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


if __name__ == "__main__":
    size, seconds = int(sys.argv[1]), float(sys.argv[2])
    print(json.dumps({name: rate(by_torch(size, name), size, seconds) for name in PRECISIONS}))
