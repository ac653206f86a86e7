"""The form of an experiment: what the engine trains, whatever the area."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jax import Array

from jmeta.types import Params


class TrainState(NamedTuple):
    """All that training carries from step to step: one pytree.

    An area may have a state of its own with more in it. The engine needs `params`, `key` and `step`.

    Attributes:
        params: meta-parameters.
        opt_state: the outer optimizer's.
        key: PRNG key of the run; what step n draws comes from `fold_in(key, n)`.
        step: int32 `[]`, outer steps taken.
    """

    params: Params
    opt_state: Any
    key: Array
    step: Array


class Score(NamedTuple):
    """What the best checkpoint is chosen by: a name in what `Experiment.validate` returns; -1.0 if less is better."""

    name: str
    sign: float = 1.0


class Experiment(NamedTuple):
    """What the engine trains: pure functions, all of which can be compiled.

    Data belongs into a `jax.tree_util.Partial`, whose arrays are arguments of a program and not a part of it.

    Attributes:
        init: `key -> state`.
        update: `(state, mesh=None) -> (state, metrics)`, one outer step, whose tasks the devices of the mesh share. It
            draws its own data by the key and the step. Metrics are a NamedTuple of numbers `[]`, `loss` among them, and
            None for what there is not.
        validate: `params -> {name: [values]}`, on data that training does not meet; None where nothing is held out.
        score: by which a checkpoint is the best; None where nothing is held out.
        steps: outer steps.
        tasks: of each outer step, which devices may share.
        light: whether a task is too small for a CPU to share out to its cores.
        counts: what an outer step does, as in `{"tasks": 32}`, of which rows tell how much a second.
        smaller: what to do where a device has too little memory for a step, as in "give a smaller --chunk-size".
        facts: what the record holds beside the settings, as JSON: checksum of the data, hash of the split, sizes.
            `checksum` and `split_hash` must be the same for a run to go on.
        tasks_setting: the name of the setting that says how many tasks a step has.
        about: what is learned from, in a sentence that is said before training; empty for nothing to say.
    """

    init: Callable[[Array], Any]
    update: Callable[..., tuple[Any, Any]]
    validate: Callable[[Params], Mapping[str, Array]] | None
    score: Score | None
    steps: int
    tasks: int
    light: bool
    counts: Mapping[str, float]
    smaller: str
    facts: Mapping[str, Any]
    tasks_setting: str = "meta_batch_size"
    about: str = ""


Build = Callable[[Any], Experiment]
"""`settings -> Experiment`: all that an area writes. In a sweep, some settings are traced numbers."""
