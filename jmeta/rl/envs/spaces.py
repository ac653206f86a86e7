"""The actions and observations of environments that have spaces, as gymnax and Gymnasium do."""

from typing import Any

import numpy as np

from jmeta.rl.types import Box, Discrete


def action_of(space: Any) -> Discrete | Box:
    """The `Discrete` or `Box` of an action space, which is known by its attributes `n`, or `shape`, `low` and `high`.

    Raises:
        ValueError: if it has neither, or its bounds differ from number to number.
    """
    if hasattr(space, "n") and np.ndim(space.n) == 0:
        return Discrete(int(space.n))
    if not all(hasattr(space, name) for name in ("shape", "low", "high")):
        raise ValueError(f"an action space must be Discrete or Box, got {space!r}")
    low, high = np.unique(np.asarray(space.low)), np.unique(np.asarray(space.high))
    if len(low) != 1 or len(high) != 1:
        raise ValueError(f"the bounds of a Box of actions must be the same for all numbers, got {space!r}")
    return Box(int(np.prod(space.shape)), float(low[0]), float(high[0]))
