"""What dashboards read of a run: a file of events in its folder, with the numbers of `metrics.jsonl`."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jmeta.errors import RunError
from jmeta.runs.engine import folder

SUFFIX = ".jmeta"


def check() -> None:
    """RunError where what writes them isn't installed."""
    _written_by()


@contextmanager
def opened(run_dir: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """What adds a row, as scalars by their names at its step, to the events of a run folder.

    The file is made anew from the rows that there are, in the place of an earlier one: a run that goes on has each step
    once, also where it goes on from before its last row. A dashboard that is open drops what it has seen, since the
    file says that the run starts at step 0.
    """
    made = _written_by()
    for earlier in run_dir.glob(f"events.out.tfevents.*{SUFFIX}"):
        earlier.unlink(missing_ok=True)
    writer = made.EventsWriter(str(run_dir / "events"), SUFFIX)
    proto, start = made.event_pb2, made.event_pb2.SessionLog.START

    def add(row: Mapping[str, Any], at: float) -> None:
        for name, value in row.items():
            if name != "step":
                scalars = {"value": [{"tag": name, "simple_value": value}]}
                writer.write_event(proto.Event(wall_time=at, step=row["step"], summary=scalars))

    try:
        writer.write_event(proto.Event(wall_time=time.time(), step=0, session_log=proto.SessionLog(status=start)))
        rows = folder.read_rows(run_dir / folder.METRICS)
        left, now = sum(row.get("seconds", 0.0) for row in rows), time.time()
        for row in rows:
            left -= row.get("seconds", 0.0)
            add(row, now - left)
        writer.flush()

        def append(row: Mapping[str, Any]) -> None:
            add(row, time.time())
            writer.flush()

        yield append
    finally:
        writer.close()


def _written_by() -> Any:
    """The module of tensorboardX that writes events at once; its `SummaryWriter` does in a thread, which loses errors
    such as a full disk."""
    try:
        from tensorboardX import event_file_writer
    except ImportError as error:
        needed = "--tensorboard needs tensorboardX, which is not installed"
        raise RunError(f"{needed}: pip install 'jmeta[tensorboard]', or leave it out.") from error
    return event_file_writer
