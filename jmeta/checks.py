"""Numbers: those that are known before a program runs, those that are allowed, and the one for what can't be."""

import operator
from typing import Any

import numpy as np
from jax.core import Tracer

NEVER = -(2.0**126)
"""The logit of what can't be: small enough for a probability of 0, and finite, so that no derivative is NaN. The same
in bfloat16 as in float32; float16 ends at -65504, so cast its logits before they get here."""


def known(value: Any) -> bool:
    """Whether a number has a value already, and is not traced by `jit`, `vmap` or `grad`."""
    return not isinstance(value, Tracer)


def steps(number: Any) -> Any:
    """Any integer as Python's; a traced one as it is. Raises TypeError for what is no integer."""
    return operator.index(number) if known(number) else number


def check_above_zero(name: str, value: Any, purpose: str = "") -> None:
    """Raise ValueError for a number, or an array, that is known and is not finite and above 0; `purpose` says why."""
    if known(value) and not np.all((np.asarray(value) > 0) & np.isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0{purpose and f' {purpose}'}, got {value}")


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for the first of some sizes, given by name, that is below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be 1 or more, got {size}")
