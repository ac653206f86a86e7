"""Which devices a run computes on, and those with too little memory."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import jax
from jax.sharding import Mesh

from jmeta.errors import RunError
from jmeta.report.arrays import memory_at_hand
from jmeta.sharding import task_mesh

_NEXT_UNTRIED = (0, 13)


def use_cores() -> None:
    """Let each core of a CPU be a device of its own, before JAX starts; unless the environment says how many there are.

    Two devices that each compute half of the tasks are 1.2 to 1.4 times as fast as one that shares each operation out
    to two cores, since most operations of a small network are too short to share.
    """
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        with suppress(RuntimeError):  # JAX has started already, with the devices that it has
            jax.config.update("jax_num_cpu_devices", _cores())
    _wait_for_each_other()


def _wait_for_each_other() -> None:
    """Let devices of a CPU wait an hour for each other, and not 40 s, after which XLA ends the process: a computer that
    sleeps, or is busy with other work, takes longer. A version of XLA that does not know the flag would not start."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "xla_cpu_collective_call" not in flags and jax.__version_info__ < _NEXT_UNTRIED:
        waits = "--xla_cpu_collective_call_warn_stuck_timeout_seconds=600"
        ends = "--xla_cpu_collective_call_terminate_timeout_seconds=3600"
        os.environ["XLA_FLAGS"] = f"{flags} {waits} {ends}".strip()


def use_one_thread() -> None:
    """Let a CPU compute with one thread, before JAX starts; unless the environment says how many.

    Operations of tasks without pictures are too short to share: two threads take 1.3 times as long as one for MAML on
    sine curves.
    """
    os.environ.setdefault("NPROC", "1")


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number_of(asked: int | None, tasks: int, *, named: str, light: bool, kept: int | None = None) -> int:
    """How many devices share the tasks of a step.

    Args:
        asked: how many, if that is settled.
        tasks: of a step.
        named: the flag that says how many tasks.
        light: whether a task is too small for a CPU to share out to its cores.
        kept: how many a run that goes on had before; they are taken again where they can be.
    """
    processes, there, number = jax.process_count(), jax.device_count(), asked
    one_cpu = processes == 1 and jax.default_backend() == "cpu"
    if number is None and isinstance(kept, int) and 1 <= kept <= there and not kept % processes:
        number = kept
    if number is None and one_cpu:
        most = 1 if light else min(there, _cores())
        number = max(n for n in range(1, most + 1) if tasks % n == 0)
    elif number is None:
        number = there
    if number > there:
        emulated = f", or set XLA_FLAGS=--xla_force_host_platform_device_count={number} to emulate them"
        emulate = emulated if one_cpu else ""
        raise RunError(
            f"--devices must be at most {there}, which is all there are, got {number}: ask for fewer{emulate}."
        )
    if number % processes:
        raise RunError(f"--devices must be a multiple of the {processes} processes, got {number}: choose another.")
    if tasks % number:
        sizes = [str(size) for size in (tasks // number * number, (tasks // number + 1) * number) if size]
        fewer = [n for n in range(number, 0, -1) if tasks % n == 0 and n % processes == 0]
        choices = " or ".join(sizes) + (f", or --devices {fewer[0]}" if fewer else "")
        raise RunError(f"{named} must be a multiple of the {number} devices, got {tasks}: choose {choices}.")
    return number


def mesh_of(number: int) -> Mesh | None:
    """The mesh of so many devices, as many of each process; None for one."""
    processes = jax.process_count()
    if number == 1 and processes == 1:
        return None
    each = [[device for device in jax.devices() if device.process_index == i] for i in range(processes)]
    return task_mesh([device for devices in each for device in devices[: number // processes]])


def check_memory(needed: int, what: str, advice: str) -> None:
    """RunError where what takes so many bytes is more than a device has free, before any of it is taken."""
    there = _memory()
    if needed > there:
        raise RunError(f"{what} take {needed / 2**30:.3g} GiB, and {there / 2**30:.3g} GiB are free: {advice}")


def check_number(number: int, named: str) -> None:
    """RunError where so many test tasks, as the flag says, are too many for the memory: two keys and a number each."""
    check_memory(24 * number, f"the tasks of {named} {number}", "ask for fewer.")


def _memory() -> float:
    """Bytes that a device has free: of a CPU those of the machine."""
    stats = jax.local_devices()[0].memory_stats()
    if stats:
        return stats.get("bytes_limit", math.inf)
    return memory_at_hand()


@contextmanager
def enough_memory(otherwise: str) -> Iterator[None]:
    """RunError with the message `otherwise` where a device, or NumPy, has too little memory."""
    try:
        yield
    except MemoryError as error:
        raise RunError(otherwise) from error
    except jax.errors.JaxRuntimeError as error:
        if not any(said in str(error) for said in ("RESOURCE_EXHAUSTED", "Out of memory")):
            raise
        raise RunError(otherwise) from error
