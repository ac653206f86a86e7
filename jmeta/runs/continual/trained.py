"""Encoders out of run folders, frozen: of a learner of streams, or of any few-shot learner that has one."""

from pathlib import Path
from typing import Any, NamedTuple

from jmeta.continual import encoders, experiment
from jmeta.continual.experiment import Data
from jmeta.continual.online import experiment as online
from jmeta.continual.settings import Settings, Streams
from jmeta.errors import RunError
from jmeta.nets import catalog as networks
from jmeta.registry import by_files
from jmeta.runs.continual import AREA, of_sequence
from jmeta.runs.engine import record
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.few_shot.trained import encoder_of, load_trained, no_encoder
from jmeta.settings import replaced
from jmeta.types import Model, Params


class Trained(NamedTuple):
    """What evaluation and pictures need of a run.

    Attributes:
        data: its data.
        encoder: a frozen one.
        params: of the encoder, with what it keeps of background examples.
        step: of the checkpoint.
        algorithm: of a learner of streams; None for a run of another kind.
        own: what that was told.
        head: its parameters, without the encoder's.
        rotations: whether turned classes were classes of their own.
    """

    data: Data
    encoder: Model
    params: Params
    step: int
    algorithm: str | None
    own: Any
    head: Params
    rotations: bool


def load_sequence(run_dir: Path, checkpoint: str, *, data_dir: str | None = None, trust_code: bool = False) -> Any:
    """The settings, data, step and state of an online learner's run, or None for a run of another kind."""
    if record.load(run_dir).kind != AREA.kind:
        return None
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    if not of_sequence(settings):
        return None
    settings = settings if data_dir is None else replaced(settings, {"data_dir": data_dir})
    with by_files(trust_code):
        data = online.load_data(settings.sequence)
        step, state = restored(run_dir, online.experiment(settings, data).init, checkpoint)
    return settings, data, step, online.whole(state)


def load(run_dir: Path, checkpoint: str, *, data_dir: str | None = None, trust_code: bool = False) -> Trained:
    """Read a run folder, of `jmeta continual train` or of `jmeta train`.

    Args:
        run_dir: the folder.
        checkpoint: the `best` by validation, or the `newest`.
        data_dir: the folder of data sets; None for the run's.
        trust_code: whether to run the code that the folder names.

    Raises:
        RunError: if it is a run of another kind, has no encoder to freeze, has no checkpoint, or is damaged.
    """
    kind = record.load(run_dir).kind
    read = {AREA.kind: _of_streams, "few-shot": _of_few_shot}.get(kind)
    if read is None:
        raise RunError(f"{run_dir} is a run of {kind}, which has no encoder of pictures: name another --run-dir.")
    return read(run_dir, checkpoint, data_dir, trust_code)


def _of_streams(run_dir: Path, checkpoint: str, data_dir: str | None, trust_code: bool) -> Trained:
    settings = load_run(AREA, run_dir, trust_code=trust_code).settings
    settings = settings if data_dir is None else replaced(settings, {"data_dir": data_dir})
    with by_files(trust_code):
        data = experiment.load_data(settings.streams)
        step, state = restored(run_dir, experiment.experiment(settings, data).init, checkpoint)
        encoder, params = experiment.encoder_with(settings, state.params, data.background)
    head = encoders.replaced(state.params, {}) if hasattr(state.params, "_replace") else {}
    return Trained(data, encoder, params, step, settings.algorithm, settings.learner, head, settings.streams.rotations)


def _of_few_shot(run_dir: Path, checkpoint: str, data_dir: str | None, trust_code: bool) -> Trained:
    found = load_trained(run_dir, checkpoint, trust_code=trust_code)
    if (own := encoder_of(found)) is None:
        raise no_encoder(run_dir, found)
    tasks = found.settings.tasks
    encoder = networks.encoder(encoders.frozen(found.settings.network))
    streams = Streams(tasks.dataset, data_dir or tasks.data_dir, tasks.split, tasks.rotations, classes=2, shot=1)
    streams = replaced(streams, {"query_shot": 1, "val_classes": 2, "val_shot": 1})
    with by_files(trust_code):
        data = experiment.load_data(streams)
    if data.facts["split_hash"] != found.facts["split_hash"]:
        raise RunError(f"{run_dir} was trained on other classes than --split {tasks.split} has here: restore its data.")
    params = encoders.conditioned(encoder, own[1], encoders.read(data.background))
    return Trained(data, encoder, params, found.step, None, None, {}, tasks.rotations)


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns: the learner for streams of the training's number of classes, or the online learner."""
    stored = load_run(AREA, run_dir, trust_code=trust_code)
    if (found := load_sequence(run_dir, checkpoint, trust_code=trust_code)) is not None:
        sequence, tasks, step, state = found
        learner, params = online.learner_of(sequence, tasks.train.y.shape[-1]), state.params
    else:
        settings: Settings = stored.settings
        with by_files(trust_code):
            data = experiment.load_data(settings.streams)
            step, state = restored(run_dir, experiment.experiment(settings, data).init, checkpoint)
            learner, params = experiment.trained(settings, state.params, data.background, settings.streams.classes)
    return {"learner": learner, "params": params, "settings": stored.settings, "step": step, "facts": stored.facts}
