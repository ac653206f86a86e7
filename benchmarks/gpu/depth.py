"""Memory and time of a meta-gradient from 1 to 1,000 inner steps, for each way to differentiate the inner loop."""

from typing import Any

import jax

from benchmarks import memory
from benchmarks.gpu.chosen import set_precision
from benchmarks.gpu.protocol import Ask, Outcome
from jmeta.runs.engine.compile_cache import use_compile_cache

NETWORKS, RULE, STEPS = ("conv4", "transformer"), "sgd", (1, 10, 100, 1000)
ROOM = 45.0
"""Seconds that have to be left to begin with a number of steps."""


def measured(ask: Ask) -> Outcome:
    """Rows of `benchmarks.memory`, network by network, fewest steps first; what stopped goes on.

    Where a way needs more memory or time than there is, `too_large` names the network and the steps.
    """
    set_precision(ask)
    use_compile_cache()
    before = ask.before
    value: dict[str, Any] = {
        "rows": list(before.get("rows", [])), "too_large": list(before.get("too_large", [])),
        "begun": dict(before.get("begun", {})),
    }  # fmt: skip
    wanted = [(name, ask.length(steps)) for name in NETWORKS for steps in STEPS]
    for network, steps in dict.fromkeys(wanted):
        name = f"{network}, {steps} steps"
        known = [(row["network"], row["steps"]) for row in value["rows"]]
        if name in value["too_large"] or (network, steps) in known:
            continue
        if ask.seconds_left < ROOM * max(ask.scale, 0.1):
            return Outcome(value, f"stopped before {name}")
        try:
            if not ask.begins(value, name):
                raise TimeoutError
            found = memory.measure(network, RULE, steps, rounds=3 if ask.scale == 1 else 1)
            value["rows"] += [row._asdict() for row in found]
        except (jax.errors.JaxRuntimeError, TimeoutError) as error:
            if not isinstance(error, TimeoutError) and "RESOURCE_EXHAUSTED" not in str(error):
                raise
            value["too_large"].append(name)
        ask.keep(value)
    return Outcome(value)
