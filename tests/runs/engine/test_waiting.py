"""Devices of a CPU wait for each other for as long as it takes, where XLA ends the process after 40 s."""

import os
import subprocess
import sys

import pytest

UNBALANCED = """
import time, jax, jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec as P
from jmeta.runs.engine.devices import use_cores
use_cores()

def slow(x):
    rounds = jnp.where(jax.lax.axis_index("d") == 1, {rounds}, 1)
    m = jax.lax.fori_loop(0, rounds, lambda i, m: jnp.tanh(m @ m), jnp.ones((300, 300)) * x[0])
    return jax.lax.psum(m.sum() + x, "d")

mesh = Mesh(jax.devices()[:2], ("d",))
start = time.monotonic()
each = jax.jit(jax.shard_map(slow, mesh=mesh, in_specs=P("d"), out_specs=P(), check_vma=False))
each(jnp.ones(2)).block_until_ready()
print(time.monotonic() - start)
"""


def run(rounds, flags=""):
    emulated = f"--xla_force_host_platform_device_count=2 {flags}"
    return subprocess.run(
        [sys.executable, "-c", UNBALANCED.format(rounds=rounds)],
        env={**os.environ, "XLA_FLAGS": emulated}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip


def test_what_the_environment_says_of_waiting_stays():
    """Its limit is met: so the flag is one that this XLA obeys, and jmeta's does not come after it."""
    limits = "--xla_cpu_collective_call_{}_timeout_seconds=1"
    found = run(20_000, f"{limits.format('warn_stuck')} {limits.format('terminate')}")
    assert found.returncode != 0 and "Termination timeout" in found.stderr


@pytest.mark.long
def test_a_device_that_is_late_by_more_than_a_minute_is_waited_for():
    """A busy computer ended a training that had an hour behind it."""
    found = run(300_000)
    assert found.returncode == 0, found.stderr[-500:]
    assert float(found.stdout) > 60
