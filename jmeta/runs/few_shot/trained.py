"""A trained learner out of its run folder, at any way and number of inner steps."""

import reprlib
from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jmeta.datasets.catalog import path_of
from jmeta.datasets.divisions import whole
from jmeta.datasets.look import Look
from jmeta.errors import RunError
from jmeta.nets import catalog as networks
from jmeta.registry import by_files, is_command
from jmeta.runs.engine import folder
from jmeta.runs.engine.area import load_run
from jmeta.runs.engine.checkpoints import restored
from jmeta.runs.few_shot.experiment import AREA, eval_steps, learner_of, starting
from jmeta.runs.few_shot.settings import Settings
from jmeta.runs.few_shot.text import Reader, check_facts, of_facts
from jmeta.settings import INT32, names, replaced, typed
from jmeta.tasks import catalog as sources
from jmeta.types import Learner, Model, Params

_FACTS = {
    "protocol": str, "split_hash": str, "checksum": str, "input_shape": tuple[int, ...], "train_classes": int | None,
}  # fmt: skip


class Trained(NamedTuple):
    """What evaluation and prediction need of a run.

    Attributes:
        settings: the run's.
        facts: what else its `config.json` knows: `protocol`, `split_hash`, `checksum`, `input_shape`, ...
        step: of the checkpoint.
        params: meta-parameters, for the way of training.
        learner_of: `(inner_steps, way) -> Learner`.
    """

    settings: Settings
    facts: Mapping[str, Any]
    step: int
    params: Params
    learner_of: Callable[[Any, int], Learner]

    @property
    def inner_steps(self) -> int:
        """Of evaluation."""
        return eval_steps(self.settings.learner)

    def steps(self, wanted: int | None) -> int:
        """So many inner steps, or those of evaluation; RunError for a number that can't be, or no inner loop."""
        if wanted is None:
            return self.inner_steps
        if not isinstance(wanted, Integral) or isinstance(wanted, bool) or not 0 <= wanted <= INT32:
            raise RunError(f"--inner-steps must be a whole number of 0 or more, got {wanted!r}: choose another.")
        if "inner_steps" not in names(self.settings.learner):
            raise RunError(f"{self.settings.algorithm} has no inner steps: leave --inner-steps out.")
        return int(wanted)

    @property
    def reader(self) -> Reader | None:
        """How sentences become numbers; None where none were trained on."""
        return of_facts(self.facts["reader"]) if "reader" in self.facts else None

    @property
    def look(self) -> Look | None:
        """How the pictures looked that it was trained on; None where they were no pictures.

        Runs of older versions don't say it: theirs were drawings of light ink if they were gray, else photographs.
        """
        if len(self.facts["input_shape"]) != 3 or ("look" in self.facts and self.facts["look"] is None):
            return None
        height, width, channels = self.facts["input_shape"]
        kept = self.facts.get("look") or {"ink": "light" if channels == 1 else "none", "files": None}
        return Look((height, width), channels, kept["ink"], kept["files"])


def load_trained(run_dir: str | Path, checkpoint: str = "best", *, trust_code: bool = False) -> Trained:
    """Read a run folder, at the checkpoint that is `best` by validation or the `newest`.

    Args:
        run_dir: the folder.
        checkpoint: which.
        trust_code: whether to run the code that the folder names, see `load_run`.

    Raises:
        RunError: if it is no run folder of few-shot learning, has no checkpoint, or is damaged; or names code to run.
    """
    path = folder.named(run_dir)
    settings, facts = load_settings(path, trust_code=trust_code)
    with by_files(trust_code):
        dtype = facts.get("input_dtype", "float32")
        init = starting(settings, facts["train_classes"], tuple(facts["input_shape"]), dtype)
        step, state = restored(path, init, checkpoint)
    return Trained(settings, facts, step, state.params, lambda steps, way: learner_of(settings, steps, way=way))


def encoder_of(trained: Trained) -> tuple[Model, Params] | None:
    """The encoder that a learner reads examples by, and its parameters; None where the learner's have none apart."""
    encoder = networks.encoder(trained.settings.network)
    x = jnp.zeros((1, *trained.facts["input_shape"]), trained.facts.get("input_dtype", "float32"))
    needed = jax.tree.structure(jax.eval_shape(encoder.init, jax.random.key(0), x))
    for params in (trained.params, getattr(trained.params, "encoder", None)):
        if params is not None and jax.tree.structure(params) == needed:
            return encoder, params
    return None


def no_encoder(run_dir: str | Path, trained: Trained) -> RunError:
    """What to say where there is none."""
    return RunError(
        f"{run_dir} is a run of {trained.settings.algorithm}, which has no encoder of its own: name one of "
        "prototypical, anil, ridge, or another that learns features."
    )


def loaded(run_dir: Path, checkpoint: str, *, trust_code: bool) -> dict[str, Any]:
    """What `jmeta.load` returns."""
    trained = load_trained(run_dir, checkpoint, trust_code=trust_code)
    learner = trained.learner_of(trained.inner_steps, trained.settings.tasks.way)
    return {"learner": learner, **{n: getattr(trained, n) for n in ("params", "settings", "step", "facts")}}


def load_settings(run_dir: Path, *, trust_code: bool = False) -> tuple[Settings, dict[str, Any]]:
    """The settings of a run folder, and what else is known of the run; arguments and errors as `load_trained`."""
    settings, _, facts = load_run(AREA, run_dir, trust_code=trust_code)
    settings = replaced(settings, _elsewhere(settings, facts, f"{run_dir / folder.CONFIG}, in its facts,"))
    if not (trust_code or is_command()):  # whoever reads its data later is not asked again
        with by_files(trust_code):
            sources.row(settings.tasks.dataset)
    missing = [name for name in _FACTS if name not in facts]
    if missing:
        path = run_dir / folder.CONFIG
        raise RunError(f"{path} lacks {', '.join(missing)}: it was made by another version, or changed by hand.")
    where = f"{run_dir / folder.CONFIG}, in its facts,"
    for name, kind in _FACTS.items():
        typed(name, facts[name], kind, where)
    if facts.get("input_dtype", "float32") not in ("float32", "int32"):
        raise RunError(f"{where} has input_dtype {facts['input_dtype']!r:.40}, which must be float32 or int32.")
    if look := typed("look", facts.get("look"), dict | None, where):
        typed("ink", look.get("ink"), str, where)
        typed("files", look.get("files"), str | None, where)
    if "reader" in facts:
        check_facts(facts["reader"], where, facts["input_shape"])
    sizes = [*facts["input_shape"], *([] if facts["train_classes"] is None else [facts["train_classes"]])]
    if not facts["input_shape"] or not all(1 <= size <= INT32 for size in sizes):
        raise RunError(f"{where} has sizes {reprlib.repr(sizes)}, which must be 1 or more each: correct them.")
    return settings, facts


def _elsewhere(settings: Settings, facts: Mapping[str, Any], where: str) -> dict[str, str]:
    """The paths of data that settings name from another folder than this one, or that are others here."""
    kept = typed("places", facts.get("places", {}), dict, where)
    tasks = settings.tasks
    data, division = {"dataset": tasks.dataset, "test_dataset": tasks.test.test_dataset}, whole(tasks.split)
    here = {name: str(path_of(value or "")) for name, value in data.items()} | {"split": str(division)}
    for name, place in kept.items():
        typed(f"places of {name}", place, str, where)
    there = lambda name, place: whole(place) is not None if name == "split" else Path(place).exists()
    return {n: place for n, place in kept.items() if n in here and place != here[n] and there(n, place)}
