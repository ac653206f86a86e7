"""A few-shot experiment: any learner, trained on episodes that are drawn as it goes on."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import evaluation, training
from jmeta.algorithms.row import FINITE, MOMENTUM, Wanted
from jmeta.algorithms.settings import inner_steps
from jmeta.datasets.catalog import path_of
from jmeta.datasets.divisions import whole
from jmeta.episodes import Sampler, random_shots
from jmeta.errors import RunError
from jmeta.experiment import Build, Experiment, Score, TrainState
from jmeta.nets.catalog import NETWORKS, Network
from jmeta.runs.engine import area as areas
from jmeta.runs.engine.area import Area
from jmeta.runs.engine.devices import check_memory
from jmeta.runs.few_shot import text
from jmeta.runs.few_shot.heads import fitted
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.problems import Problem, load_problem
from jmeta.runs.few_shot.settings import Choice, Outer, Settings, Tasks, check, defaults, run_dir, text_of
from jmeta.settings import replaced
from jmeta.tasks import catalog as sources
from jmeta.training import Schedule
from jmeta.types import Learner, Params

SAM_RADIUS = 0.05
VALIDATION_SEED = 0x5EED
DROPS = {1.0: 0, 0.06: 20, 0.012: 40, 0.0024: 50}
"""Shares of the outer step size, and after how many of 60 parts of the steps: Lee et al. 2019, MetaOptNet."""
HALVED_EVERY = 2_000
"""Outer steps: Bertinetto et al. 2019, R2D2, https://arxiv.org/abs/1805.08136."""


class Data(NamedTuple):
    """The data, samplers of episodes or ordinary batches to train on, and of episodes that training does not meet, None
    for a division without validation."""

    problem: Problem
    training: Partial
    validation: Partial | None


def builder() -> Build:
    """`build(settings)`, which loads the data of its tasks once, however often it is called."""
    load = functools.cache(load_data)

    def build(settings: Settings) -> Experiment:
        read = replaced(settings.tasks, {"text": text_of(settings.tasks, settings.network)})
        data = load(read, LEARNERS.get(settings.algorithm).ordinary)
        data = data._replace(training=_of_shots(settings, data.training))
        tasks, outer, problem = settings.tasks, settings.outer, data.problem
        check_network(problem, settings.network)
        way, shot = tasks.train_way or tasks.way, tasks.train_shot or tasks.shot
        check_fits(problem, outer.meta_batch_size, way, shot, tasks.query_shot)
        at_once = min(eval_chunk_size(tasks), outer.val_episodes)
        check_fits(problem, at_once, tasks.way, tasks.shot, tasks.query_shot, keys=outer.val_episodes)
        return experiment(settings, data)

    return build


def _of_shots(settings: Settings, sample: Partial) -> Partial:
    """The sampler of training, by the shots that its episodes draw, if they do."""
    tasks, least = settings.tasks, settings.outer.least_shot
    if least is None:
        return sample
    return random_shots(sample, way=tasks.train_way or tasks.way, shot=tasks.train_shot or tasks.shot, least=least)


def check_network(problem: Problem, network: Network) -> None:
    """RunError where a network of pictures, or of tokens, is given other examples."""
    row = NETWORKS.get(network.network)
    tokens = problem.input_dtype == "int32" and len(problem.input_shape) == 1
    if row.tokens and not row.vectors and not tokens:
        raise RunError(
            f"{problem.name} has examples {problem.input_dtype} {list(problem.input_shape)}, and {network.network} "
            "reads tokens, int32 [N, L]: choose another --network."
        )
    if len(problem.input_shape) != 3 and not row.vectors and not (row.tokens and tokens):
        raise RunError(
            f"{problem.name} has examples of shape {list(problem.input_shape)} and no pictures, so --network must be "
            f"mlp or linear, got {network.network}."
        )


def check_fits(problem: Problem, episodes: int, way: int, shot: int, query_shot: int, *, keys: int = 0) -> None:
    """RunError where the examples of so many episodes, and so many keys, are more than the memory has room for."""
    example = 4 * (math.prod(problem.input_shape) + way)
    check_memory(
        episodes * way * (shot + query_shot) * example + 16 * keys,
        f"{max(episodes, keys)} episodes of {way} x ({shot} + {query_shot}) examples",
        "ask for fewer episodes, or a smaller --way, --shot or --query-shot.",
    )


def load_data(tasks: Tasks, ordinary: bool) -> Data:
    """Load the data of tasks; `ordinary` is to train on ordinary batches, of as many examples as an episode has."""
    return drawn(tasks, load_problem(tasks), ordinary)


def drawn(tasks: Tasks, problem: Problem, ordinary: bool) -> Data:
    """The samplers of training and of validation, of data that are loaded; as `load_data`."""
    shot, way = tasks.train_shot or tasks.shot, tasks.train_way or tasks.way
    if ordinary:
        assert problem.batches is not None, "settings.check refuses data without classes"
        training = problem.batches(way * (shot + tasks.query_shot))
    else:
        training = problem.sampler("train", way, shot, tasks.query_shot)
    if problem.split is not None and not len(problem.split.val):
        return Data(problem, training, None)
    return Data(problem, training, problem.sampler("val", tasks.way, tasks.shot, tasks.query_shot))


def _places(tasks: Tasks) -> dict[str, dict[str, str]]:
    """Where data are that settings name by a path, perhaps from the folder that training was started in."""
    named = {"dataset": tasks.dataset, "test_dataset": tasks.test.test_dataset}
    found = {name: path_of(value) for name, value in named.items() if value is not None} | {"split": whole(tasks.split)}
    return {"places": {name: str(place) for name, place in found.items() if place is not None}}


def experiment(settings: Settings, data: Data) -> Experiment:
    """What the engine trains; swept settings may be traced numbers."""
    outer, problem = settings.outer, data.problem
    learner, optimizer = training_learner(settings, problem.train_classes), outer_optimizer(outer)

    size = functools.partial(tasks_at_once, outer)
    step = training.drawing(learner, optimizer, meta_batch_size=outer.meta_batch_size, chunk_size=size)
    name, sign = ("error", -1.0) if problem.numbers else ("accuracy", 1.0)
    return Experiment(
        init=starting(settings, problem.train_classes, problem.input_shape, problem.input_dtype),
        update=Partial(step, data.training),
        validate=None if data.validation is None else Partial(_validator(settings), data.validation),
        score=None if data.validation is None else Score(name, sign),
        steps=outer.outer_steps,
        tasks=outer.meta_batch_size,
        light=sources.row(settings.tasks.dataset).light,
        counts={"tasks": outer.meta_batch_size},
        smaller="give a smaller --chunk-size",
        facts={
            "protocol": problem.protocol,
            "split_hash": problem.split_hash,
            "checksum": problem.checksum,
            **_places(settings.tasks),
            "input_shape": list(problem.input_shape),
            "input_dtype": problem.input_dtype,
            "train_classes": problem.train_classes,
            "look": _look(problem),
            **({} if problem.reader is None else {"reader": text.as_facts(problem.reader)}),
        },
        about=" ".join(filter(None, (problem.about, _fewer_steps(settings.learner)))),
    )


def _fewer_steps(learner: Any) -> str:
    """What may not have been meant: a preset's number of inner steps in the test, beside more of them in training."""
    steps, tested = inner_steps(learner, training=True), eval_steps(learner)
    if tested >= steps:
        return ""
    return f"Trained with {steps} inner steps, and tested after {tested}: --eval-inner-steps {steps} has as many."


def _look(problem: Problem) -> dict[str, Any] | None:
    seen = None if problem.dataset is None else problem.dataset.look
    return None if seen is None else {**seen._asdict(), "size": list(seen.size)}


def starting(
    settings: Settings, classes: int | None, input_shape: tuple[int, ...], input_dtype: str = "float32"
) -> Callable[[Array], TrainState]:
    """`key -> state`, for inputs like those of a support set, which of tasks that are drawn may be a tree."""
    learner, optimizer, tasks = training_learner(settings, classes), outer_optimizer(settings.outer), settings.tasks
    way, shot = tasks.train_way or tasks.way, tasks.train_shot or tasks.shot
    x: Any = jax.ShapeDtypeStruct((way * shot, *input_shape), input_dtype)
    if (drawn := sources.row(tasks.dataset).sampler) is not None:
        x = jax.eval_shape(drawn(shot, tasks.query_shot), jax.random.key(0)).support.x
    zeros = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), x)
    return lambda key: training.init_state(learner, optimizer, key, zeros)


def measured(tasks: Tasks) -> tuple[str, evaluation.Metric]:
    """What a learner is judged by: its error where targets are numbers, else its accuracy."""
    if sources.row(tasks.dataset).numbers:
        return "error", evaluation.mean_squared_error
    return "accuracy", evaluation.accuracy


def _validator(settings: Settings) -> Callable[[Sampler, Params], dict[str, Array]]:
    """`(sample, params) -> {"accuracy": [episodes]}`."""
    name, metric = measured(settings.tasks)
    learner = learner_of(settings, eval_steps(settings.learner))
    episodes, size = settings.outer.val_episodes, eval_chunk_size(settings.tasks)

    def validate(sample: Sampler, params: Params) -> dict[str, Array]:
        def one(key: Array) -> Array:
            episode = sample(key)
            return metric(evaluation.transductive(learner, params, episode), episode.query)

        # One key for all runs, so that all of them are judged by the same episodes.
        keys = jax.random.split(jax.random.key(VALIDATION_SEED), episodes)
        return {name: jax.lax.map(one, keys, batch_size=size)}

    return validate


def training_learner(settings: Settings, classes: int | None) -> Learner | Schedule:
    """The learner to be trained; `classes` are those to train on, for a learner that tells all of them apart."""
    steps = inner_steps(settings.learner, training=True)
    wanted = _wanted(settings, steps)._replace(outer_steps=settings.outer.outer_steps, classes=classes)
    return LEARNERS.get(settings.algorithm).make(settings.learner, wanted)


def learner_of(settings: Settings, steps: Any, *, way: int | None = None) -> Learner:
    """The learner once it is trained, with any number of inner steps, which may be traced, and any way."""
    wanted = _wanted(settings, steps)._replace(way=settings.tasks.way if way is None else way)
    learner = LEARNERS.get(settings.algorithm).make(settings.learner, wanted)
    assert isinstance(learner, Learner), f"{settings.algorithm} must not change with the step outside training"
    return learner


def _wanted(settings: Settings, steps: Any) -> Wanted:
    numbers, smoothing = sources.row(settings.tasks.dataset).numbers, settings.outer.label_smoothing
    return Wanted(settings.network, settings.tasks.way, steps, numbers, label_smoothing=smoothing)


def eval_steps(learner: Any) -> int:
    """Inner steps outside training, by the settings of a learner."""
    return inner_steps(learner, training=False)


def outer_optimizer(outer: Outer) -> optax.GradientTransformation:
    """The rule of the outer loop, with its schedule; weight decay is added to the gradient that it is given."""
    rate = {
        "constant": lambda: optax.constant_schedule(outer.outer_lr),
        "cosine": lambda: optax.cosine_decay_schedule(outer.outer_lr, outer.outer_steps),
        "linear": lambda: optax.linear_schedule(outer.outer_lr, 0.0, outer.outer_steps),
        "drops": lambda: optax.join_schedules(
            [optax.constant_schedule(outer.outer_lr * share) for share in DROPS],
            [-(-part * outer.outer_steps // 60) for part in list(DROPS.values())[1:]],
        ),
        "halving": lambda: optax.exponential_decay(outer.outer_lr, HALVED_EVERY, 0.5, staircase=True),
    }[outer.outer_schedule]()

    def decayed(rule: optax.GradientTransformation) -> optax.GradientTransformation:
        return rule if outer.weight_decay is None else optax.chain(optax.add_decayed_weights(outer.weight_decay), rule)

    return {
        "sgd": lambda: decayed(optax.sgd(rate)),
        "nesterov": lambda: decayed(optax.sgd(rate, momentum=MOMENTUM, nesterov=True)),
        "adam": lambda: decayed(optax.adam(rate)),
        "sam": lambda: optax.contrib.sam(decayed(optax.adam(rate)), _climb(SAM_RADIUS), opaque_mode=True),
    }[outer.outer_optimizer]()


def _climb(radius: float) -> optax.GradientTransformation:
    """The step that SAM takes uphill, of length `radius`; given as if it went downhill, since SAM turns it round."""

    def update(grads: Params, _: Params | None) -> Params:
        scale = -radius / (optax.tree.norm(grads) + FINITE)
        return jax.tree.map(lambda g: scale * g, grads)

    return optax.stateless(update)


def tasks_at_once(outer: Outer, devices: int) -> int | None:
    """Episodes that each device computes at once: `chunk_size`, or all of its own if they are fewer; None: open."""
    if outer.chunk_size is None:
        return None
    each = outer.meta_batch_size // devices
    size = min(outer.chunk_size, each)
    if each % size:
        raise RunError(
            f"--chunk-size must divide the {each} episodes of each of the {devices} devices, got {size}: "
            f"choose {max(n for n in range(1, size) if each % n == 0)}, or another --devices."
        )
    return size


def eval_chunk_size(tasks: Tasks) -> int:
    """Episodes of an evaluation that are computed at once."""
    if sources.row(tasks.dataset).light:
        return 100
    return 1 if jax.default_backend() == "cpu" else 16


AREA = Area(
    kind="few-shot",
    prog="jmeta train",
    description=(
        "Meta-train a learner and keep it in a run folder. Without flags: MAML on glyphs, 5-way 1-shot. --preset NAME "
        "starts from a published setting, --config FILE from a file, and a flag beside it wins. Ctrl-C or SIGTERM "
        "saves and stops; the same command with --resume goes on as if nothing had happened. What is shown is what "
        "the algorithm has: ask with --algorithm NAME for that of another."
    ),
    choice=Choice,
    choices=lambda: {"algorithm": LEARNERS},
    defaults=defaults,
    build=builder,
    run_dir=run_dir,
    check=check,
    presets="few_shot",
    evaluate="jmeta evaluate",
    light=lambda settings: sources.row(settings.tasks.dataset).light,
    fit=fitted,
    shaped_by="--network, --features and --norm, and data of the same shape",
)
from_preset = functools.partial(areas.from_preset, AREA)
train = functools.partial(areas.train, AREA)
