"""What was trained, in a script of one's own, and as a file that other programs read."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jmeta.errors import RunError
from jmeta.report.files import writing
from jmeta.runs.engine import checkpoints, record
from jmeta.runs.engine.folder import check_output, named
from jmeta.runs.engine.progress import say
from jmeta.runs.engine.words import read_words
from jmeta.settings import check, setting

_LOADERS = {
    "few-shot": "jmeta.runs.few_shot.trained",
    "join": "jmeta.runs.mtl.trained",
    "table": "jmeta.runs.mtl.kept",
    "rl": "jmeta.runs.rl.trained",
    "continual": "jmeta.runs.continual.trained",
    "active": "jmeta.runs.active.trained",
    "optimizers": "jmeta.runs.optimizers.trained",
    "generative": "jmeta.runs.generative.trained",
}
"""By the kind of a run, the module whose `loaded(run_dir, checkpoint, trust_code=)` reads it."""
FORMATS = (".npz", ".safetensors")


class Loaded(NamedTuple):
    """A trained run.

    Attributes:
        learner: as it is evaluated: a `Learner`, for episodes of the run's way; of `jmeta rl`, an `Agent`; of `jmeta
            optimizers`, a `Rule`; of `jmeta generative`, a `Generator`; of a table, an estimator of
            `jmeta.mtl.estimators`, as it was fitted.
        params: its meta-parameters; of an estimator none, since it has its own.
        settings: of the run, nested dataclasses; of an estimator, its parameters by name.
        step: of the checkpoint.
        facts: what else the run knows: of few-shot learning, `split_hash`, `checksum`, `input_shape` and others.
    """

    learner: Any
    params: Any
    settings: Any
    step: int
    facts: Mapping[str, Any]


def load(run_dir: str | Path, checkpoint: str = "best", *, trust_code: bool = False) -> Loaded:
    """A trained run, for a script of one's own.

    Args:
        run_dir: the folder of a run of `jmeta train`, or of `jmeta mtl`, `rl` or `continual train`.
        checkpoint: best (by validation) or newest.
        trust_code: whether to run the code that the folder names, `FILE.py:NAME`, which is that of whoever wrote it.

    Raises:
        RunError: if it is no run folder, holds a group of runs, has no checkpoint, is damaged, or names code to run.

    Example:
        >>> run = load("runs/first")  # doctest: +SKIP
        >>> adapted = run.learner.adapt(run.params, jmeta.Batch(x, y))  # doctest: +SKIP
        >>> logits = run.learner.predict(adapted, new)  # doctest: +SKIP
    """
    kind = record.load(named(run_dir)).kind
    if kind not in _LOADERS:
        raise RunError(f"{run_dir} is a run of {kind}, whose learner is yours: build it, and read params by export.")
    found = importlib.import_module(_LOADERS[kind]).loaded(Path(run_dir), checkpoint, trust_code=trust_code)
    return Loaded(**found)


def export(run_dir: str | Path, output: str | Path | None = None, checkpoint: str = "best") -> Path:
    """Write the parameters of a run to one file, under the names of a flat Flax tree, such as `params/Conv_0/kernel`.

    Floats that only JAX has, such as bfloat16, become float32, of the same values.

    Args:
        run_dir: the folder of any run, whose code is not needed.
        output: the file, `.npz` or `.safetensors`; None for params.npz in the run folder.
        checkpoint: best (by validation) or newest.

    Returns:
        The file.

    Raises:
        RunError: if it is no run folder, holds a group of runs, has no checkpoint or is damaged; for another format, or
            where safetensors is not installed.
        OSError: if the file can't be written.
    """
    place = named(run_dir) / "params.npz" if output is None else Path(output)
    if place.suffix not in FORMATS:
        raise RunError(f"--output must end in {' or '.join(FORMATS)}, got {place}: choose another.")
    if record.load(Path(run_dir)).kind == "table":
        raise RunError(f"{run_dir} is of a table, whose arrays are in {Path(run_dir) / 'model.npz'} already.")
    check_output("--output", place)
    arrays = {name or "params": _plain(a) for name, a in checkpoints.params_of(Path(run_dir), checkpoint).items()}
    if place.suffix == ".npz":
        with writing(place) as file:
            np.savez(file, allow_pickle=False, **arrays)  # type: ignore[arg-type]
        return place
    try:
        from safetensors.numpy import save
    except ImportError as error:
        raise RunError("safetensors is not installed: pip install 'jmeta[safetensors]', or write an .npz.") from error
    with writing(place) as file:
        file.write(save({name: np.ascontiguousarray(a) for name, a in arrays.items()}))
    return place


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype.kind == "V" else array


@dataclasses.dataclass(frozen=True)
class ExportConfig:
    """Write the parameters of a run to a file, under the names of a flat Flax tree. Three lines read them back:

    import flax, numpy; flat = dict(numpy.load("params.npz")); params = flax.traverse_util.unflatten_dict(flat, sep="/")

    Attributes:
        run_dir: the folder of the run.
        output: the file, .npz or .safetensors; otherwise params.npz in the run folder.
        checkpoint: best (by validation) or newest.
    """

    run_dir: str
    output: str | None = None
    checkpoint: str = setting("best", choices=("best", "newest"))


def export_command(words: Sequence[str]) -> int:
    """`jmeta export`: the file that is written."""
    config = read_words(ExportConfig, words, prog="jmeta export")
    check(config)
    say(str(export(config.run_dir, config.output, config.checkpoint)))
    return 0
