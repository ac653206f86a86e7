"""The worker's side of the pipe: a JSON object a line, a reply to each."""

import contextlib
import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

Reply = dict[str, Any]


class Program(NamedTuple):
    """An implementation that is ready to take outer steps.

    Attributes:
        state: what it starts from.
        advance: `(state, first, steps) -> (state, loss)`: takes steps `first, first + 1, ...`, each on its meta-batch,
            waits for them, and gives the loss of the last one's meta-batch before its update.
        about: device and versions, as JSON values.
        device_peak: bytes of the device's memory that were in use at most; None where that is the process's.
        count: the operations of its matrix products in a step, where it can tell.
    """

    state: Any
    advance: Callable[[Any, int, int], tuple[Any, float]]
    about: Mapping[str, Any]
    device_peak: Callable[[], int | None] = lambda: None
    count: Callable[[], int | None] = lambda: None


def serve(handlers: Mapping[str, Callable[[Reply], Reply]]) -> None:
    """Answer requests `{"do": name, ...}` until the pipe is closed.

    What libraries print goes to standard error, so that it does not get between the replies. A handler that raises
    is answered with `{"error": ...}`.
    """
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    give_way()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = handlers[request["do"]](request)
        except Exception as error:
            traceback.print_exc()
            reply = {"error": f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def serve_program(prepare: Callable[[Reply], Program]) -> None:
    """`serve` for an implementation; `prepare` makes it ready for a request with a workload."""
    running: dict[str, Any] = {}

    def start(request: Reply) -> Reply:
        program = prepare(request)
        before = resident_bytes()
        losses, seconds, state = [], [], program.state
        began = time.perf_counter()
        while len(losses) < request["losses"]:
            start = time.perf_counter()
            state, loss = program.advance(state, len(losses), 1)
            seconds.append(time.perf_counter() - start)
            losses.append(loss)
            if len(losses) == 1:
                first_step_at, began = time.time(), time.perf_counter()  # what it compiles does not try the patience
            if len(losses) > 1 and time.perf_counter() - began > request["patience"]:
                break
        running.update(program=program, state=state, taken=len(losses), before=before)
        typical = sorted(seconds[1:] or seconds)[(len(seconds) - 1) // 2]
        return {
            "losses": losses,
            "step_seconds": typical,
            "compile_seconds": max(0.0, seconds[0] - typical),
            "first_step_at": first_step_at,
            "about": dict(program.about),
        }

    def timed(request: Reply) -> Reply:
        start = time.perf_counter()
        state, _ = running["program"].advance(running["state"], running["taken"], request["steps"])
        seconds = time.perf_counter() - start
        running.update(state=state, taken=running["taken"] + request["steps"])
        return {"seconds": seconds}

    def memory(_: Reply) -> Reply:
        return {
            "peak_bytes": peak_bytes(),
            "before_bytes": running["before"],
            "device_bytes": running["program"].device_peak(),
        }

    def operations(_: Reply) -> Reply:
        return {"operations": running["program"].count()}

    serve({"prepare": start, "time": timed, "memory": memory, "operations": operations})


def peak_bytes() -> int:
    """The most memory that this process has had resident.

    `ru_maxrss` alone would count what its parent had before it became this program.
    """
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


def resident_bytes() -> int:
    """The memory that this process has resident now; where the system does not say, the most that it has had."""
    return _status("VmRSS") or peak_bytes()


def _status(field: str) -> int | None:
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = [line.split() for line in status.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(lines[0][1]) * 1024 if lines else None


def give_way() -> None:
    """Be the first to be ended where memory runs out, in place of somebody else's work."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
