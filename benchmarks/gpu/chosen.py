"""What the first parts have found best, for those that come later."""

from typing import Any

from benchmarks.gpu.protocol import Ask


def chunk_size(ask: Ask, tasks: int, *, pictures: bool) -> int | None:
    """Tasks at once: about the same share of a step's as was found best; None for jmeta's own choice, which stays on a
    CPU, whose cores are devices of their own."""
    found = ask.found.get("convolution", {})
    if "chunk" not in found or not pictures or ask.platform == "cpu":
        return None
    size = max(1, round(tasks * found["chunk"] / found["tasks"]))
    return next(n for n in range(size, 0, -1) if tasks % n == 0)


def uses_tf32(ask: Ask) -> bool:
    """Whether products are rounded to TF32, which was found faster; without a measurement, yes."""
    return bool(ask.found.get("convolution", {}).get("tf32", True))


def set_precision(ask: Ask) -> dict[str, Any]:
    """Have JAX multiply as precisely as was chosen; for the record."""
    import jax  # which would take hold of a device that others are to share

    if not uses_tf32(ask):
        jax.config.update("jax_default_matmul_precision", "highest")
    return {"tf32": uses_tf32(ask)}
