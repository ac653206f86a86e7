"""Numbers: those that are known before a program runs, those that are allowed, and the one for what can't be."""

import operator
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

NEVER = -(2.0**126)
"""The logit of what can't be: small enough for a probability of 0, and finite, so that no derivative is NaN. The same
in bfloat16 as in float32; float16 ends at -65504, so cast its logits before they get here."""


def known(value: Any) -> bool:
    """Whether a number has a value already, and is not traced by `jit`, `vmap` or `grad`."""
    return not isinstance(value, Tracer)


def native(a: Any) -> Any:
    """An array of NumPy in this machine's order of bytes: a compiled program takes the bytes of others as they are."""
    return a.astype(a.dtype.newbyteorder("=")) if isinstance(a, np.ndarray) and not a.dtype.isnative else a


def steps(number: Any) -> Any:
    """Any integer as Python's; a traced one as it is. Raises TypeError for what is no integer."""
    return operator.index(number) if known(number) else number


def check_above_zero(name: str, value: Any, purpose: str = "") -> None:
    """Raise ValueError for a number, or an array, that is known and is not finite and above 0; `purpose` says why."""
    if known(value) and not np.all((np.asarray(value) > 0) & np.isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0{purpose and f' {purpose}'}, got {value}")


def bytes_of(images: Any) -> Any:
    """Pictures of bytes, 0 to 255, of integers or bools that can mean nothing else; floats as they are.

    bool is 0 and 255, uint16 is 0 to 65535, and other integers are 0 to 255.

    Raises:
        ValueError: for values that are none of these, or could be two, and for other types.
    """
    images = images if hasattr(images, "dtype") else np.asarray(images)
    kind = np.dtype(images.dtype)
    if jnp.issubdtype(kind, jnp.floating):
        return native(images)
    if kind == np.uint8 and not known(images):
        return images
    if kind.kind not in "biu" or not known(images):
        raise ValueError(f"images must be uint8, 0 to 255, or floats, got {kind}: convert them")
    if kind.kind == "b":
        return np.where(np.asarray(images), np.uint8(255), np.uint8(0))
    low, high = (int(images.min()), int(images.max())) if images.size else (0, 0)
    wide = kind.itemsize == 2 and kind.kind == "u"
    if high == 1 and low == 0:
        raise ValueError(f"images are {kind} of 0 and 1 alone, where 255 is white: multiply them by 255")
    if low < 0 or high > (65535 if wide else 255) or (wide and 0 < high < 256):
        meant = "uint16 is 0 to 65535" if wide else "integers are 0 to 255"
        raise ValueError(f"images of {meant}, and these, {kind}, are {low} to {high}: give uint8, 0 to 255")
    if kind == np.uint8:
        return images
    return (np.asarray(images) // (256 if wide else 1)).astype(np.uint8)


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for the first of some sizes, given by name, that is no whole number of 1 or more."""
    for name, size in sizes.items():
        if not hasattr(size, "__index__"):
            raise ValueError(f"{name} must be a whole number, got {size!r}")
        if size < 1:
            raise ValueError(f"{name} must be 1 or more, got {size}")


def check_intervals(**intervals: Any) -> None:
    """Raise ValueError for the first of some intervals, given by name, that is not `(low, high)`, both finite."""
    for name, ends in intervals.items():
        if np.shape(ends) != (2,) or not np.all(np.isfinite(ends)) or ends[0] > ends[1]:
            raise ValueError(f"{name} must be two finite numbers, the smaller first, got {ends}")
