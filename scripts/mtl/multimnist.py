"""Two overlapped digits, a task each: every weighting and aggregator beside tuned baselines.

    python -m scripts.mtl.multimnist            # 19 methods, five seeds
    python -m scripts.mtl.multimnist --steps 200 --rates 0.006 --seeds 3 --pairs 500 --methods uncertainty mgda cagrad

All methods have the same network, steps and batches, and are tuned in the same way: a network of each seed is trained
at each learning rate of one grid, and the rate is that of the best mean accuracy on validation pairs. The baselines are
a network for each digit, uniform weights, and fixed weights that are tuned too. Seeds decide where a network starts and
its batches, which are the same for all methods, so that differences between methods are within seeds. Lookahead alone
sees validation pictures in training, as its weights learn from them; its network's gradients are those of training
pictures.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import datasets, nets
from jmeta.errors import RunError, unknown
from jmeta.losses import cross_entropy, hits
from jmeta.mtl import names, weightings
from jmeta.mtl.models import hard_sharing
from jmeta.mtl.tasks import predictions, task_losses
from jmeta.mtl.training import init_state, make_run, make_step
from jmeta.mtl.types import Aggregator, MultiTaskModel, Weighting
from jmeta.report.figures import figure_maker, save
from jmeta.settings import setting
from jmeta.training import one_by_one
from jmeta.types import Batch, Params
from scripts.mtl.multimnist_report import DIGITS, FIXED, SINGLE, UNIFORM, accuracy_figure, pairs_figure, report
from scripts.mtl.overlap import overlapped_sampler, parts
from scripts.study import Rows, Shown, Study, program

LOOKAHEAD = "lookahead"
UNIFORM_TOO = ("mean", "total")
"""Aggregators that are uniform weights, to a factor that Adam takes out."""
_COMPILER: dict[str, str | bool] = {"xla_backend_optimization_level": "1"}
# On a CPU, compiling takes 0.4 of the time that all optimizations take, and steps 1.2 times: less in all where there
# are nineteen programs of some ten thousand steps each.
_VALIDATION, _TEST, _TRAIN, _HELD_OUT = 1, 2, 3, 4


@dataclasses.dataclass(frozen=True)
class Config:
    """All weightings and aggregators on two overlapped digits: a table, results.json and pictures.

    Attributes:
        run_dir: where table.md, results.json, accuracy.png and pairs.png are kept.
        methods: which, beside single tasks and uniform weights; all if left out.
        dataset: pictures of ten or other classes, as `jmeta data` lists them; those of one channel.
        sizes: pictures of each class to train on, for validation and for the test.
        steps: of training, of Adam with a cosine to 0, for each network.
        batch_size: pairs of a step.
        rates: learning rates that each method is tried at.
        shares: weights of the left digit that fixed weights are tried at, beside a half; the right one has the rest.
        seeds: so many networks of each method and rate.
        pairs: in the validation and in the test set, which are the same for all.
        lookahead_rate: of the step that lookahead looks ahead, of gradient descent.
        seed: of the division of the pictures and of all that is drawn.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        draw: draw the pictures, which needs matplotlib.
    """

    run_dir: str = setting("runs/multimnist", place=True)
    methods: tuple[str, ...] = setting((), place=True)
    dataset: str = "mnist28"
    sizes: tuple[int, int, int] = setting((400, 100, 100), least=1)
    steps: int = setting(800, least=1)
    batch_size: int = setting(32, least=1)
    rates: tuple[float, ...] = setting((0.003, 0.006, 0.012), above=0)
    shares: tuple[float, ...] = setting((0.3, 0.4, 0.6, 0.7), above=0)
    seeds: int = setting(5, least=1)
    pairs: int = setting(2000, least=1)
    lookahead_rate: float = setting(0.1, above=0)
    seed: int = setting(0, least=0)
    data_dir: str | None = setting(None, place=True)
    draw: bool = setting(True, place=True)


class Method(NamedTuple):
    """How the losses of the two digits become one step.

    Attributes:
        weighting: `weights [2] -> Weighting`, of which some make use of the weights.
        aggregate: of the gradients in what the tasks share; None adds them.
        validation: whether the weighting learns from validation pictures.
    """

    weighting: Callable[[Array], Weighting]
    aggregate: Aggregator | None = None
    validation: bool = False


class Setting(NamedTuple):
    """What a method is tried at: learning rate, and weights of the two losses for those that hold them."""

    rate: float
    weights: tuple[float, float] = (0.5, 0.5)


class Data(NamedTuple):
    """Samplers of pairs of training and of validation pictures, the two sets of pairs, and what the pictures are."""

    train: Partial
    held_out: Partial
    validation: Batch
    test: Batch
    checksum: str


def study(config: Config) -> Study:
    """A row for each method, the baselines first.

    Raises:
        RunError: for methods that are not known, shares that are none, or pictures that don't serve.
        DataError: if the pictures are not there.
    """
    known = methods(config)
    for name in config.methods:
        if name not in known:
            raise unknown("method", name, known)
    if not config.rates:
        raise RunError("there must be one or more --rates: give at least one.")
    if not config.shares or not max(config.shares) < 1:
        raise RunError(f"--shares must be one or more of numbers between 0 and 1, got {config.shares}: correct them.")
    asked = {*(config.methods or known), SINGLE, UNIFORM}
    data = load(config)
    judge = _judge(network(data.test.y.shape[-1]))
    compiled = cache(lambda method: _compiled(config, method, data))  # two hold weights that they are given

    def row(name: str, rows: Rows) -> dict[str, Any]:
        found = measure(config, known[name], tries(config, name, rows), data, compiled, judge)
        return found | choose(name, found["tried"], rows)

    def show(rows: Rows) -> Shown:
        figures = {
            "accuracy.png": lambda path: save(accuracy_figure(figure_maker(), rows), path),
            "pairs.png": lambda path: save(pairs_figure(figure_maker(), data.test), path),
        }
        return Shown(report(config, rows), figures)

    return Study({name: partial(row, name) for name in known if name in asked}, show, {"data": data.checksum})


def methods(config: Config) -> dict[str, Method]:
    """All that are compared, by name."""

    def held(weights: Array) -> Weighting:
        return Weighting(lambda tasks: (), lambda state, view: weights, lambda state, *seen: state)

    found = {SINGLE: Method(held), UNIFORM: Method(lambda _: weightings.uniform()), FIXED: Method(held)}
    for name in names.weighting_names():
        found.setdefault(name, Method(lambda _, name=name: names.weighting_named(name)))
    found[LOOKAHEAD] = Method(lambda _: weightings.lookahead(inner_lr=config.lookahead_rate), validation=True)
    for name in names.aggregator_names():
        if name not in UNIFORM_TOO:
            found[name] = Method(lambda _: weightings.uniform(), names.aggregator_named(name))
    return found


def network(classes: int) -> MultiTaskModel:
    """LeNet in small: three convolutions that halve the picture and a layer, shared; two layers for each digit."""
    trunk = nets.ConvEncoder((8, 16, 32), norm=nets.NoNorm, flatten=True, dense=64)
    return hard_sharing(trunk, nets.MLP((32,), classes), tasks=len(DIGITS))


def load(config: Config) -> Data:
    """The pictures in three parts, and the validation and test pairs.

    Raises:
        RunError: for pictures in color, or fewer than are asked for.
        DataError: if they are not there.
    """
    dataset = datasets.load(config.dataset, config.data_dir)
    if dataset.examples.shape[-1] != 1:
        raise RunError(f"{config.dataset} has pictures in color: choose others.")
    least = int(dataset.counts.min())
    if sum(config.sizes) > least:
        raise RunError(f"--sizes must be {least} or fewer in all, got {config.sizes}: choose smaller ones.")
    part = parts(dataset.examples.padded()[..., 0][:, :least], config.sizes, seed=config.seed)
    key = jax.random.key(config.seed)

    def fixed_pairs(images: np.ndarray, number: int) -> Batch:
        return overlapped_sampler(images, batch_size=config.pairs)(jax.random.fold_in(key, number))

    return Data(
        overlapped_sampler(part.train, batch_size=config.batch_size),
        overlapped_sampler(part.validation, batch_size=config.batch_size),
        fixed_pairs(part.validation, _VALIDATION), fixed_pairs(part.test, _TEST), dataset.checksum,
    )  # fmt: skip


# Training and choosing.


def tries(config: Config, name: str, done: Mapping[str, Any]) -> list[Setting]:
    """What a method is tried at: the grid of rates; fixed weights at uniform's rate, and single tasks one at a time."""
    if name == FIXED:
        return [Setting(done[UNIFORM]["rate"], (share, 1 - share)) for share in config.shares]
    if name == SINGLE:  # a weight of 0 leaves the other head as it was, and nothing of it in what is shared
        return [Setting(rate, weights) for weights in ((1.0, 0.0), (0.0, 1.0)) for rate in config.rates]
    return [Setting(rate) for rate in config.rates]


def measure(
    config: Config,
    method: Method,
    tried: Sequence[Setting],
    data: Data,
    compiled: Callable[[Method], Callable[[Setting], tuple[Params, Array]]],
    judge: Callable[[Params, Batch], Array],
) -> dict[str, Any]:
    """Train networks of all seeds at each setting, in one program.

    Args:
        config: for the number of seeds.
        method: what makes the steps.
        tried: settings.
        data: to validate and test with.
        compiled: `method -> (setting -> params of R networks, their last weights [R, 2])`.
        judge: `(params of R networks, pairs) -> accuracies [R, 2]`.

    Returns:
        `"tried"`, for each setting accuracies `[seeds, 2]` and weights at the end, and times.
    """
    began = time.perf_counter()
    train = compiled(method)
    compile_seconds = time.perf_counter() - began
    began, cpu = time.perf_counter(), time.process_time()
    trained = [jax.block_until_ready(train(setting)) for setting in tried]
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "compile_seconds": compile_seconds,
        "networks": len(tried) * config.seeds,
        "tried": [
            {
                "rate": setting.rate,
                "weights": list(setting.weights),
                "last_weights": np.asarray(weights).tolist(),
                "validation": np.asarray(judge(params, data.validation)).tolist(),
                "test": np.asarray(judge(params, data.test)).tolist(),
            }
            for setting, (params, weights) in zip(tried, trained, strict=True)
        ],
    }


def _compiled(config: Config, method: Method, data: Data) -> Callable[[Setting], tuple[Params, Array]]:
    """The program of a method, for any rate and weights."""
    start = jax.random.fold_in(jax.random.key(config.seed), _TRAIN)
    keys = jnp.stack([jax.random.fold_in(start, n) for n in range(config.seeds)])
    sample = Partial(_both, data.train, data.held_out) if method.validation else data.train

    def floats(setting: Setting) -> tuple[Array, Array]:
        return jnp.float32(setting.rate), jnp.asarray(setting.weights, jnp.float32)

    train = jax.jit(trainer(config, method, data.test.y.shape[-1]))
    program = train.lower(sample, keys, *floats(Setting(1.0))).compile(_COMPILER)
    return lambda setting: program(sample, keys, *floats(setting))


def trainer(config: Config, method: Method, classes: int) -> Callable[..., tuple[Params, Array]]:
    """`(sample, keys [R], rate, weights [2]) -> (params of R networks, their mean weights [R, 2] in the last tenth)`.

    On a CPU networks are trained in turn, in the cache; elsewhere together.
    """
    model = network(classes)
    losses = task_losses(model, cross_entropy)
    over = one_by_one if jax.default_backend() == "cpu" else jax.vmap

    def train(sample: Partial, keys: Array, rate: Array, weights: Array) -> tuple[Params, Array]:
        weighting = method.weighting(weights)
        optimizer = optax.adam(optax.cosine_decay_schedule(cast(float, rate), config.steps))
        step = make_step(losses, optimizer, weighting=weighting, aggregate=method.aggregate, shared=model.shared)
        run = make_run(step, sample, validation=method.validation)
        drawn = jax.eval_shape(sample, keys[0])
        x = jnp.zeros_like((drawn[0] if method.validation else drawn).x)

        def one(key: Array) -> tuple[Params, Array]:
            init_key, run_key = jax.random.split(key)
            state = init_state(model.init(init_key, x), optimizer, run_key, tasks=len(DIGITS), weighting=weighting)
            state, metrics = run(state, config.steps)
            return state.params, jnp.mean(metrics.weights[-max(config.steps // 10, 1) :], axis=0)

        return over(one)(keys)

    return train


def choose(name: str, tried: Sequence[Mapping[str, Any]], done: Mapping[str, Any]) -> dict[str, Any]:
    """The setting of the best mean accuracy on validation pairs, and its accuracies; of single tasks, one for each."""

    def best(among: Sequence[Mapping[str, Any]], digits: slice) -> Mapping[str, Any]:
        return max(among, key=lambda one: np.mean(np.asarray(one["validation"])[:, digits]))

    def summary(found: Mapping[str, Any]) -> dict[str, Any]:
        return {key: found[key] for key in ("rate", "weights", "validation", "test")}

    if name != SINGLE:
        among = [*tried, done[UNIFORM]] if name == FIXED else tried
        return summary(best(among, slice(None)))
    each = [best([one for one in tried if one["weights"][i]], slice(i, i + 1)) for i in range(len(DIGITS))]
    columns = {
        part: np.stack([np.asarray(one[part])[:, i] for i, one in enumerate(each)], axis=1).tolist()
        for part in ("validation", "test")
    }
    return {"rate": [one["rate"] for one in each], "weights": None, **columns}


def _both(train: Partial, held_out: Partial, key: Array) -> tuple[Batch, Batch]:
    return train(key), held_out(jax.random.fold_in(key, _HELD_OUT))  # the training pairs are those of other methods


def _judge(model: MultiTaskModel) -> Callable[[Params, Batch], Array]:
    def one(params: Params, batch: Batch) -> Array:
        return jnp.mean(jax.vmap(hits)(predictions(model, params, batch), batch.y), axis=1)

    return jax.jit(lambda params, batch: jax.lax.map(lambda own: one(own, batch), params))


if __name__ == "__main__":
    program("mtl.multimnist", Config, study)
