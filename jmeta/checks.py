"""Numbers: those that are known before a program runs, those that are allowed, and the one for what can't be."""

import operator
from typing import Any

import numpy as np
from jax.core import Tracer

NEVER = -1e9
"""The logit of what can't be: small enough for a probability of 0, and finite, so that no derivative is NaN. Finite in
bfloat16 as in float32; float16 ends at -65504, so that logits in it are to be cast before they get here."""


def known(value: Any) -> bool:
    """Whether a number has a value already, and is not traced by `jit`, `vmap` or `grad`."""
    return not isinstance(value, Tracer)


def steps(number: Any) -> Any:
    """A number of steps as Python's integer, whichever integer it is; a traced one as it is.

    Raises:
        TypeError: if it is not an integer.
    """
    return operator.index(number) if known(number) else number


def check_above_zero(name: str, value: Any, purpose: str = "") -> None:
    """Refuse a hyper-parameter that is 0, negative, infinite or NaN, where it is known.

    Args:
        name: for the message.
        value: a number of any type, or an array of them.
        purpose: what it must be so for.

    Raises:
        ValueError: as above.
    """
    if known(value) and not np.all((np.asarray(value) > 0) & np.isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0{purpose and f' {purpose}'}, got {value}")
