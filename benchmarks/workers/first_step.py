"""`jmeta train` up to the end of its first outer step."""

import contextlib
import dataclasses
import gc
from collections.abc import Mapping

from benchmarks.learners import GLYPHS, has_omniglot
from benchmarks.protocol import Reply, serve
from jmeta.cli import RARE
from jmeta.runs.engine.compile_cache import use_compile_cache
from jmeta.runs.engine.progress import silent
from jmeta.runs.few_shot import from_preset, train
from jmeta.runs.few_shot.problems import with_dataset


class Done(Exception):
    """The first step has been taken."""


def first_step(request: Reply) -> Reply:
    """Train by a preset, on glyphs where Omniglot is not at hand, and stop after a step."""
    settings, options = from_preset(request["preset"])
    real = has_omniglot(request["data_dir"])
    tasks = with_dataset(settings.tasks, None if real else GLYPHS, None, request["data_dir"])
    outer = dataclasses.replace(settings.outer, outer_steps=1, chunk_size=request["chunk_size"])
    settings = dataclasses.replace(settings, tasks=tasks, outer=outer)
    options = dataclasses.replace(options, log_every=1, save_every=1, run_dir=request["run_dir"])

    def stop(step: int, metrics: Mapping[str, float]) -> None:
        raise Done

    gc.set_threshold(*RARE)
    use_compile_cache(True)
    with contextlib.suppress(Done):
        train(settings, options, report=silent._replace(piece=stop))
    return {"source": tasks.dataset}


if __name__ == "__main__":
    serve({"first_step": first_step})
