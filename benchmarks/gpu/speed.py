"""One workload of the speed table: jmeta beside PyTorch and TorchOpt, as far as they are there, all on one device."""

import json
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.driver import Plan, compare
from benchmarks.gpu.chosen import chunk_size, uses_tf32
from benchmarks.gpu.protocol import Ask, Outcome
from benchmarks.peers import pythons
from benchmarks.results import Results, to_json
from benchmarks.workloads import IMPLEMENTATIONS, find

LEFT_OUT = "flax-vmap"
"""Convolutions of groups, some hundred times slower than all others."""
SIZE = 8192


def compared(ask: Ask, *, workload: str, tasks: int) -> Outcome:
    """`results.Results` of one comparison, as JSON, whose `unavailable` has what is not installed.

    The process itself leaves the device alone, which its workers share.
    """
    there, missing = pythons(sys.executable, print)
    there = {name: python for name, python in there.items() if name != LEFT_OUT}
    tasks = ask.length(tasks, least=4)
    whole = ask.scale == 1
    own, tf32 = chunk_size(ask, tasks, pictures=find(workload).way > 0), uses_tf32(ask)
    request = {
        "data_dir": ask.data_dir, "meta_batches": 2, "chunk_size": own, "threads": cores(), "tf32": tf32,
        "size": SIZE if whole else 512,
    }  # fmt: skip
    rounds, seconds, losses = (5, 1.0, 3) if whole else (1, 0.1, 1)
    with tempfile.TemporaryDirectory() as folder:
        patience = min(30.0, ask.seconds_left / 8)
        plan = Plan(there, rounds, seconds, losses, patience, False, request, Path(folder), print)
        found = compare(find(workload), tasks, plan)
    absent = {name: f"not installed ({why})" for name, why in missing.items() if name in IMPLEMENTATIONS}
    return Outcome({**json.loads(to_json(Results({}, (found,), absent))), "tf32": tf32, "chunk": own})


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
