"""`jmeta mtl multimnist`: two overlapped digits, a task each; every weighting and aggregator beside tuned baselines.

All methods have the same network, steps and batches, and are tuned in the same way: a network of each seed is trained
at each learning rate of one grid, and the rate is that of the best mean accuracy on validation pairs. The baselines are
a network for each digit, uniform weights, and fixed weights that are tuned too. Seeds decide where a network starts and
its batches, which are the same for all methods, so that differences between methods are within seeds. Lookahead alone
sees validation pictures in training, as its weights learn from them; its network's gradients are those of training
pictures.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jmeta import datasets, nets
from jmeta.errors import RunError, unknown
from jmeta.losses import cross_entropy, hits
from jmeta.mtl import names, weightings
from jmeta.mtl.models import hard_sharing
from jmeta.mtl.overlap import overlapped_sampler, parts
from jmeta.mtl.tasks import predictions, task_losses
from jmeta.mtl.training import init_state, make_run, make_step
from jmeta.mtl.types import Aggregator, MultiTaskModel, Weighting
from jmeta.report.figures import figure_maker, save
from jmeta.runs.engine import folder
from jmeta.runs.mtl.multimnist_report import (
    DIGITS,
    FIXED,
    SINGLE,
    UNIFORM,
    accuracy_figure,
    markdown,
    pairs_figure,
)
from jmeta.training import one_by_one
from jmeta.types import Batch, Params

LOOKAHEAD = "lookahead"
UNIFORM_TOO = ("mean", "total")
"""Aggregators that are uniform weights, to a factor that Adam takes out."""
RESULTS, TABLE, ACCURACY, PAIRS = "results.json", "table.md", "accuracy.png", "pairs.png"
_COMPILER: dict[str, str | bool] = {"xla_backend_optimization_level": "1"}
# On a CPU, compiling takes 0.4 of the time that all optimizations take, and steps 1.2 times: less in all where there
# are nineteen programs of some ten thousand steps each.
_VALIDATION, _TEST, _TRAIN, _HELD_OUT = 1, 2, 3, 4


@dataclasses.dataclass(frozen=True)
class Config:
    """All weightings and aggregators on two overlapped digits: a table, results.json and pictures.

    A run that was stopped goes on where it was, after the last method that was finished.

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
    """

    run_dir: str = "runs/multimnist"
    methods: tuple[str, ...] = ()
    dataset: str = "mnist28"
    sizes: tuple[int, int, int] = (400, 100, 100)
    steps: int = 800
    batch_size: int = 32
    rates: tuple[float, ...] = (0.003, 0.006, 0.012)
    shares: tuple[float, ...] = (0.3, 0.4, 0.6, 0.7)
    seeds: int = 5
    pairs: int = 2000
    lookahead_rate: float = 0.1
    seed: int = 0
    data_dir: str | None = None


QUICK = Config(
    run_dir="runs/multimnist-quick", methods=("uncertainty", "mgda", "cagrad"), steps=200, rates=(0.006,),
    seeds=3, pairs=500,
)  # fmt: skip
"""To see whether all of it works."""


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


def main(config: Config) -> dict[str, Any]:
    """Train and test all methods, and keep a table, the numbers and pictures.

    Returns:
        What is in results.json.

    Raises:
        RunError: for settings that can't be, a folder of other ones, or without matplotlib.
        DataError: if the pictures are not there.
        OSError: if a file can't be written.
    """
    known = methods(config)
    chosen = _check(config, known)
    make_figure = figure_maker()
    data = load(config)
    place = Path(config.run_dir)
    results = _opened(place, config, data.checksum)
    todo = [name for name in chosen if name not in results["methods"]]
    judge = _judge(network(data.test.y.shape[-1]))
    compiled = functools.cache(lambda method: _compiled(config, method, data))  # two hold weights that they are given
    with _progress() as progress:
        bar = progress.add_task("", total=len(todo))
        for name in todo:
            progress.update(bar, description=name)
            tried = tries(config, name, results["methods"])
            results["methods"][name] = row = measure(config, known[name], tried, data, compiled, judge)
            row |= choose(name, row["tried"], results["methods"])
            folder.write_json(place / RESULTS, results)
            progress.advance(bar)
            progress.console.print(_line(name, row), highlight=False)
    found = {name: results["methods"][name] for name in chosen}
    table = markdown(config, found)
    folder.write_text(place / TABLE, table)
    save(accuracy_figure(make_figure, found), place / ACCURACY)
    save(pairs_figure(make_figure, data.test), place / PAIRS)
    print(table, end="")
    print(f"kept in {place}")
    return results


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
        RunError: for pictures in colour, or fewer than are asked for.
        DataError: if they are not there.
    """
    dataset = datasets.load(config.dataset, config.data_dir)
    if dataset.images.shape[-1] != 1:
        raise RunError(f"{config.dataset} has pictures in colour: choose others.")
    least = int(dataset.counts.min())
    if min(config.sizes) < 1 or sum(config.sizes) > least:
        raise RunError(f"--sizes must be 1 or more each and {least} or fewer in all, got {config.sizes}.")
    part = parts(dataset.images[..., 0][:, :least], config.sizes, seed=config.seed)
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


# The run folder.


def _check(config: Config, known: Mapping[str, Method]) -> list[str]:
    """Refuse what makes no sense; the names of the methods that are asked for, the baselines first."""
    for name in ("steps", "batch_size", "seeds", "pairs"):
        if getattr(config, name) < 1:
            raise RunError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(config, name)}.")
    if not config.rates or min(config.rates) <= 0 or not config.lookahead_rate > 0:
        raise RunError(f"rates must be above 0 and one or more, got {config.rates} and {config.lookahead_rate}.")
    if not config.shares or not all(0 < share < 1 for share in config.shares):
        raise RunError(f"--shares must be one or more of numbers between 0 and 1, got {config.shares}.")
    for name in config.methods:
        if name not in known:
            raise unknown("method", name, known)
    asked = {*(config.methods or known), SINGLE, UNIFORM}
    return [name for name in known if name in asked]


def _opened(place: Path, config: Config, checksum: str) -> dict[str, Any]:
    """Results that are there, or none."""
    # `methods` may be added to, and the others do not change a number.
    own = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("run_dir", "methods", "data_dir")}
    about = {"config": own, "data": checksum, "device": jax.devices()[0].device_kind}
    about = {key: _plain(value) for key, value in about.items()}
    place.mkdir(parents=True, exist_ok=True)
    if not (place / RESULTS).exists():
        return {**about, "methods": {}}
    results = folder.read_json(place / RESULTS)
    for key in ("config", "data"):
        if results.get(key) != about[key]:
            raise RunError(f"{place} has results of another {key}: choose another --run-dir, or remove it.")
    return results


def _plain(value: Any) -> Any:
    """As it comes back from JSON."""
    if isinstance(value, Mapping):
        return {key: _plain(own) for key, own in value.items()}
    return list(value) if isinstance(value, tuple) else value


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:.0f}/{task.total:.0f} methods"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    return Progress(*columns, console=Console(stderr=True))


def _line(name: str, row: Mapping[str, Any]) -> str:
    left, right = (100 * mean for mean in np.mean(row["test"], axis=0))
    return f"{name}: left {left:.2f} %, right {right:.2f} %, {row['seconds']:.0f} s of training"
