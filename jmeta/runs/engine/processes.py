"""Several processes as one run: how they find each other, and what all of them must agree on.

The first process keeps the run folder and talks to the user. An error or a signal that one of them meets is told to the
others at the next of these calls, so that none waits for a process that has gone.
"""

import json
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jmeta.errors import RunError, first_line
from jmeta.runs.engine.devices import use_cores
from jmeta.runs.engine.leaves import as_stored, plain
from jmeta.runs.engine.options import OWN, Options, Place
from jmeta.runs.engine.progress import complain
from jmeta.runs.engine.signals import Stop
from jmeta.settings import differences, flag, names, read, replaced, to_dict

T = TypeVar("T")
PATIENCE = 5.0
"""Seconds of waiting for other processes, after which it is said."""
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


def place_in(given: Place, environment: Mapping[str, str]) -> Place | None:
    """The place that flags name, or an empty one where JAX finds it by itself, or None for a process on its own."""
    place = check_place(given)
    if place is not None or given.num_processes == 1:
        return place
    return Place() if _cluster(environment) else None


def check_place(given: Place) -> Place | None:
    """A place that is whole; None if nothing was given, or one process; RunError for one that makes no sense."""
    coordinator, num_processes, process_id = given.coordinator, given.num_processes, given.process_id
    missing = [flag(name) for name, value in to_dict(given).items() if value is None]
    if len(missing) == 3 or (num_processes == 1 and len(missing) == 2):
        return None
    if coordinator is None or num_processes is None or process_id is None:
        raise RunError(
            "several processes need --coordinator HOST:PORT, --num-processes N and --process-id I together, "
            f"got no {' and no '.join(missing)}: give all three, or none."
        )
    port = re.fullmatch(r"(?:\[[0-9a-fA-F:.]+\]|[^\s:\[\]/]+):(\d{1,5})", coordinator)
    if port is None or not 0 < int(port[1]) < 2**16:
        raise RunError(
            f"--coordinator must be HOST:PORT of the first process, such as 10.0.0.1:1234, got {coordinator}."
        )
    if num_processes < 1:
        raise RunError(f"--num-processes must be 1 or more, got {num_processes}: choose another.")
    if not 0 <= process_id < num_processes:
        raise RunError(
            f"--process-id must be 0 to {num_processes - 1} for --num-processes {num_processes}, got {process_id}: "
            "give each process its own."
        )
    return given


def _cluster(environment: Mapping[str, str]) -> bool:
    """Whether this is one of several processes that JAX can find; decided without asking any other machine."""
    if all(name in environment for name in _SLURM):
        # In an interactive shell of a job, the job has several tasks and this step one: nobody else would come.
        return int(environment.get("SLURM_STEP_NUM_TASKS", environment["SLURM_NTASKS"])) > 1
    if int(environment.get("OMPI_COMM_WORLD_SIZE", 1)) > 1:
        if "OMPI_MCA_orte_hnp_uri" in environment:
            return True
        raise RunError(
            "this Open MPI does not tell its processes where they meet: give --coordinator HOST:PORT "
            "--num-processes $OMPI_COMM_WORLD_SIZE --process-id $OMPI_COMM_WORLD_RANK, or --num-processes 1 for runs "
            "apart."
        )
    hosts = environment.get("TPU_PROCESS_ADDRESSES", environment.get("TPU_WORKER_HOSTNAMES"))
    if hosts is not None:
        return "," in hosts
    # JAX sets the first on a machine with TPUs, where the second tells it that there is no server to ask about others.
    tpu = environment.get("TPU_ML_PLATFORM") == "JAX" and "TPU_SKIP_MDS_QUERY" not in environment
    return tpu and environment.get("JAX_PLATFORMS", "tpu").startswith("tpu")


def join(place: Place | None) -> bool:
    """Meet the other processes, before any computation; whether they have met in this call. None does nothing."""
    if place is None or jax.distributed.is_initialized():
        return False
    if jax.config.jax_cpu_collectives_implementation is None:  # pyright: ignore[reportAttributeAccessIssue]
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    awaited = place.num_processes or os.environ.get("SLURM_STEP_NUM_TASKS", os.environ.get("SLURM_NTASKS", "several"))
    where = f" at {place.coordinator}" if place.coordinator else ""
    waiting = threading.Timer(
        PATIENCE, complain, [f"waiting for {awaited} processes to meet{where}: --num-processes 1 runs this one alone."]
    )
    waiting.daemon = True
    waiting.start()
    try:
        jax.distributed.initialize(place.coordinator, place.num_processes, place.process_id)
        number = jax.process_count()
        meet(Mesh(np.asarray(jax.devices()).reshape(number, -1), ("process", "device")))
    except (RuntimeError, ValueError, OSError) as error:
        raise RunError(
            f"the processes could not meet{where} ({first_line(error)}): start all of them within five minutes, with "
            "the same --coordinator and --num-processes, or give --num-processes 1 for a run by itself."
        ) from error
    finally:
        waiting.cancel()
    return True


def meet(mesh: Mesh | None) -> None:
    """Let devices of several processes find each other along the first axis; Gloo, on a CPU, prints lines about it."""
    if mesh is None or jax.process_count() == 1:
        return
    one_each = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    ones = jax.make_array_from_callback((mesh.devices.shape[0],), one_each, lambda index: np.ones(1, np.float32))
    everywhere = NamedSharding(mesh, PartitionSpec())
    with _no_output():
        jax.jit(jnp.sum, out_shardings=everywhere)(ones).block_until_ready()


@contextmanager
def joined(given: Place) -> Iterator[None]:
    """Be one of several processes while inside, if flags or the cluster say so; all but the first fall silent.

    A process that is alone gets a device for each core of its CPU.
    """
    if not join(place_in(given, os.environ)):
        use_cores()
        yield
        return
    if not is_first():
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, sys.stdout.fileno())
    try:
        yield
    except KeyboardInterrupt:
        complain("stopped.")
        _leave_at_once(130)
    except (ValueError, OSError, SystemExit):
        raise
    except jax.errors.JaxRuntimeError as error:
        complain(f"another process has gone ({first_line(error)}): start all of them again, with --resume.")
        _leave_at_once(2)
    except BaseException:
        traceback.print_exc()
        _leave_at_once(1)
    finally:
        sys.stdout.flush()
        with suppress(RuntimeError):
            jax.distributed.shutdown()


def _leave_at_once(code: int) -> None:
    """Without the goodbye that would wait for the others, who wait for this process."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextmanager
def _no_output() -> Iterator[None]:
    """Nothing to standard output, by anybody in this process."""
    sys.stdout.flush()
    kept, silence = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(silence)


def is_first() -> bool:
    """Whether this process keeps the run folder."""
    return jax.process_index() == 0


def together(work: Callable[..., T], *args: Any) -> T:
    """Do `work(*args)` in every process, or fail in all: where it failed in another, by a RunError with the reason."""
    if jax.process_count() == 1:
        return work(*args)
    try:
        found = work(*args)
    except Exception as error:
        _all_texts(str(error) or type(error).__name__)
        raise
    for index, text in enumerate(_all_texts("")):
        if text:
            raise RunError(f"process {index} could not go on: {text}")
    return found


def on_first(work: Callable[..., T], *args: Any) -> T | None:
    """Do `work(*args)` in the first process while the others wait, or fail in all; None in the others."""
    return together(lambda: work(*args) if is_first() else None)


def said_by_first(value: Any) -> Any:
    """A JSON value of the first process, in every process."""
    return value if jax.process_count() == 1 else json.loads(_all_texts(json.dumps(value))[0])


def same_settings(settings: Any, options: Options) -> tuple[Any, Options]:
    """The first process's settings and options, with this one's own places; RunError in all if others differ."""
    if jax.process_count() == 1:
        return settings, options
    mine = {**to_dict(settings), **to_dict(options)}
    each = [json.loads(text) for text in _all_texts(json.dumps(mine))]
    places = [*names(settings, "place"), *names(options, "place")]
    for index, other in enumerate(each):
        different = differences(each[0], other, places)
        if different:
            raise RunError(
                f"process {index} was started with other settings than process 0 ({'; '.join(different)}): "
                "start all with the same, or each with --num-processes 1 for runs apart."
            )
    given = to_dict(options)
    own = {name: given[name] for name in OWN}
    firsts = {name: each[0][name] for name in names(options)}
    return settings, replaced(read(options, firsts, "process 0"), own)


def agreed(stop: Stop) -> Stop:
    """The question that all processes get one answer to: the signal that any of them was asked to stop by."""
    if jax.process_count() == 1:
        return stop
    return lambda: int(np.max(multihost_utils.process_allgather(np.int32(stop() or 0)))) or None


def from_first(tree: Any, like: Any) -> Any:
    """Arrays of the first process in every process, bit for bit; `like` has their shapes, PRNG keys among them."""
    if jax.process_count() == 1:
        return tree
    shapes = [jax.eval_shape(plain, leaf) for leaf in jax.tree.leaves(like)]
    sizes = [shape.size * shape.dtype.itemsize for shape in shapes]
    sent = np.zeros(sum(sizes), np.uint8)
    if is_first():
        sent = np.concatenate([np.asarray(plain(leaf)).reshape(-1).view(np.uint8) for leaf in jax.tree.leaves(tree)])
    # As bytes, since they are sent as a sum with zeros, which makes 0.0 of -0.0.
    parts = np.split(np.asarray(multihost_utils.broadcast_one_to_all(sent)), np.cumsum(sizes)[:-1])
    plain_leaves = [part.view(shape.dtype).reshape(shape.shape) for part, shape in zip(parts, shapes, strict=True)]
    leaves = [as_stored(a, leaf) for a, leaf in zip(plain_leaves, jax.tree.leaves(like), strict=True)]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _all_texts(text: str) -> list[str]:
    """A text of each process, in every process."""
    mine = np.frombuffer(text.encode(), np.uint8)
    lengths = np.asarray(multihost_utils.process_allgather(np.int32(len(mine))))
    if not lengths.any():
        return [""] * len(lengths)
    padded = np.pad(mine, (0, int(lengths.max()) - len(mine)))
    gathered = np.asarray(multihost_utils.process_allgather(padded))
    return [row[:length].tobytes().decode() for row, length in zip(gathered, lengths, strict=True)]
