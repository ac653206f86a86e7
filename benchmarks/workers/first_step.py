"""`jmeta train` up to the end of its first outer step."""

import contextlib
import dataclasses

from benchmarks.learners import GLYPHS, has_omniglot
from benchmarks.protocol import Reply, serve
from jmeta.runs import from_preset, train
from jmeta.runs.compile_cache import use_compile_cache
from jmeta.runs.problems import with_dataset
from jmeta.runs.progress import silent


class Done(Exception):
    """The first step has been taken."""


def first_step(request: Reply) -> Reply:
    """Train by a preset, on glyphs where Omniglot is not at hand, and stop after a step."""
    config = from_preset(request["preset"])
    real = has_omniglot(request["data_dir"])
    config = with_dataset(config, None if real else GLYPHS, None, request["data_dir"])
    one = {"outer_steps": 1, "log_every": 1, "save_every": 1}
    config = dataclasses.replace(config, **one, run_dir=request["run_dir"], chunk_size=request["chunk_size"])

    def stop(step: int, loss: float) -> None:
        raise Done

    use_compile_cache(True)
    with contextlib.suppress(Done):
        train(config, report=silent._replace(piece=stop))
    return {"source": config.dataset}


if __name__ == "__main__":
    serve({"first_step": first_step})
