"""Devices with too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax

from jmeta.errors import RunError


@contextmanager
def enough_memory(otherwise: str) -> Iterator[None]:
    """RunError with the message `otherwise` where a device has too little memory."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise RunError(otherwise) from error
