"""Split and permuted MNIST: what is left of a task after others were learned, in three scenarios.

    python -m scripts.continual.mnist
    python -m scripts.continual.mnist --sequence permuted --run-dir runs/continual-permuted

Ten digits as five tasks of two classes each, or as ten tasks, each with its own order of pixels. Whether the task is
told (task), or not and not asked for (domain), or asked for (class), decides most of the accuracy: the same method has
85 or 20 %. All seeds of a row are one compiled program. Strengths and rates are chosen by the accuracy on examples that
are neither trained nor tested on, with seeds of their own. Rows are: no means against forgetting, EWC, replay, La-MAML,
and all tasks at once, which is what the others can reach at best.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta import datasets, nets
from jmeta.continual.metrics import draw_accuracies, task_metrics
from jmeta.continual.online import Online, ewc, la_maml, learn_sequence, replay, sgd
from jmeta.errors import RunError
from jmeta.settings import setting
from jmeta.tasks.sequences import SCENARIOS, masked, permutations, permuted_tasks, split_tasks
from jmeta.types import Batch
from scripts.study import Rows, Shown, Study, finite, interval, markdown, percent, program

PUBLISHED = {
    ("split", "none"): (85.15, 57.33, 19.90),
    ("split", "ewc"): (85.48, 57.80, 19.90),
}
"""Task, domain and class: van de Ven and Tolias 2018, Generative replay with feedback connections, table 3, of all of
MNIST, 2 x 400 units and 2,000 steps a task. https://arxiv.org/abs/1809.10635"""
METHODS = ("none", "ewc", "replay", "la-maml", "joint")


@dataclasses.dataclass(frozen=True)
class Training:
    """What learns the tasks.

    Attributes:
        hidden: units of the layers of the network.
        steps: on each task.
        batch_size: examples of a step; La-MAML, which goes through them one by one, takes 10.
        fisher_examples: of each task, for the Fisher matrix of EWC.
        memory_size: examples that replay and La-MAML hold.
    """

    hidden: tuple[int, ...] = setting((400, 400), least=1)
    steps: int = setting(2000, least=1)
    batch_size: int = setting(128, least=1)
    fisher_examples: int = setting(100, least=1)
    memory_size: int = setting(200, least=1)


@dataclasses.dataclass(frozen=True)
class Config:
    """Learn digits as a sequence of tasks.

    Attributes:
        run_dir: where table.md, results.json and a picture of each row's accuracies are kept.
        dataset: any data set of pictures with as many examples of each class.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        sequence: split, into tasks of two classes, or permuted.
        scenarios: of task, domain and class.
        methods: of none, ewc, replay, la-maml and joint.
        tasks: of permuted digits.
        training: what learns the tasks.
        sizes: examples of each class to train on, to choose settings with, and to test with.
        seeds: of each row, 2 or more.
        tune_seeds: others, for each candidate of a setting.
        draw: draw the pictures, which needs matplotlib.
    """

    run_dir: str = setting("runs/continual-split", place=True)
    dataset: str = "mnist28"
    data_dir: str | None = setting(None, place=True)
    sequence: str = setting("split", choices=("split", "permuted"))
    scenarios: tuple[str, ...] = setting(SCENARIOS, place=True)
    methods: tuple[str, ...] = setting(METHODS, place=True)
    tasks: int = setting(10, least=2)
    training: Training = Training()
    sizes: tuple[int, int, int] = setting((400, 100, 100), least=1)
    seeds: int = setting(10, least=2)
    tune_seeds: int = setting(2, least=1)
    draw: bool = setting(True, place=True)


class Parts(NamedTuple):
    """Pictures `[classes, examples, ...]` to train on, to choose settings with and to test with."""

    train: Array
    validation: Array
    test: Array


CANDIDATES: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "ewc": ((1e1,), (1e2,), (1e3,), (1e4,), (1e5,), (1e6,), (1e7,)),
    "la-maml": ((0.02, 0.05), (0.05, 0.1), (0.15, 0.3)),
}
"""A strength; a rate and the rate of rates."""


def study(config: Config) -> Study:
    """A row for each scenario and method: R of each seed, and what was chosen.

    Raises:
        RunError: for scenarios or methods that are not known, or more examples than there are.
        DataError: for data that are missing or damaged.
    """
    for what, given, there in (("scenarios", config.scenarios, SCENARIOS), ("methods", config.methods, METHODS)):
        if not given or not set(given) <= set(there):
            raise RunError(f"--{what} must be of {', '.join(there)}, got {', '.join(given) or 'none'}.")
    data = datasets.load(config.dataset, config.data_dir)
    if sum(config.sizes) > data.counts.min():
        raise RunError(f"--sizes add up to {sum(config.sizes)}, and a class has {data.counts.min()}: give less.")
    if config.sequence == "split" and len(data.counts) % 2:
        raise RunError(f"tasks have two classes each, and there are {len(data.counts)}: take another --dataset.")
    order = np.random.default_rng(0).permutation(data.counts.min())[: sum(config.sizes)]
    images = np.stack([data.examples[c][order] for c in range(len(data.counts))])
    ends = np.cumsum(config.sizes)[:-1]
    parts = Parts(*map(jnp.asarray, np.split(images, ends, axis=1)))
    names = [(scenario, method) for scenario in config.scenarios for method in config.methods]
    rows = {" ".join(name): partial(measured, config, parts, *name) for name in names}
    return Study(rows, partial(show, config), {"checksum": data.checksum})


def measured(config: Config, parts: Parts, scenario: str, method: str, rows: Rows) -> dict[str, Any]:
    """R and what was before of each seed, with the settings that were best on the validation part."""
    began, chosen, tried = time.perf_counter(), (), {}
    run = partial(learned, config, scenario, method)
    if method in CANDIDATES:
        keys = jax.random.split(jax.random.key(1), config.tune_seeds)
        candidates = jnp.array(CANDIDATES[method])
        every = jax.vmap(jax.vmap(run, (None, None, 0, None)), (None, None, None, 0))
        found = jax.jit(every)(parts.train, parts.validation, keys, candidates)[0]
        score = np.nan_to_num(np.asarray(found)[:, :, -1].mean((1, 2)))
        chosen = CANDIDATES[method][int(score.argmax())]
        tried = {" ".join(f"{v:g}" for v in one): float(s) for one, s in zip(CANDIDATES[method], score, strict=True)}
    keys = jax.random.split(jax.random.key(0), config.seeds)
    every = jax.vmap(run, (None, None, 0, None))
    accuracy, before = jax.jit(every)(parts.train, parts.test, keys, jnp.array(chosen))
    finite(accuracy, "the accuracies")
    seconds = time.perf_counter() - began
    kept = {"accuracy": np.asarray(accuracy).tolist(), "before": np.asarray(before).tolist()}
    return {**kept, "chosen": chosen, "validation": tried, "seconds": seconds}


def learned(
    config: Config, scenario: str, method: str, train: Array, test: Array, key: Array, chosen: Array
) -> tuple[Array, Array]:
    """R `[T, T]` and b `[T]` of one seed."""
    data_key, key = jax.random.split(key)
    tasks, judged = (sequence(config, scenario, data_key, part) for part in (train, test))
    model: Any = nets.MLP(config.training.hidden, tasks.y.shape[-1])
    learner = learner_of(config, method, masked(model) if scenario == "task" else model, chosen)
    size = 10 if method == "la-maml" else config.training.batch_size
    found = learn_sequence(
        learner,
        key,
        tasks,
        judged,
        steps=config.training.steps,
        batch_size=size,
        finish_size=config.training.fisher_examples,
        mixed=method == "joint",
    )
    return found.accuracy, found.before


def sequence(config: Config, scenario: str, key: Array, images: Array) -> Batch:
    """The tasks: digits in their order, or permutations that the key decides."""
    if config.sequence == "split":
        return split_tasks(images, np.arange(len(images)).reshape(-1, 2), scenario=scenario)
    orders = permutations(key, config.tasks, int(np.prod(images.shape[2:])))
    return permuted_tasks(images, orders, scenario=scenario)


def learner_of(config: Config, method: str, model: Any, chosen: Array) -> Online:
    """The learner of a row, with what was chosen."""
    optimizer, size = optax.adam(1e-3), config.training.memory_size
    makes: dict[str, Callable[[], Online]] = {
        "none": lambda: sgd(model, optimizer=optimizer),
        "joint": lambda: sgd(model, optimizer=optimizer),
        "ewc": lambda: ewc(model, optimizer=optimizer, strength=chosen[0]),
        "replay": lambda: replay(model, optimizer=optimizer, memory_size=size, replay_size=config.training.batch_size),
        "la-maml": lambda: la_maml(model, lr=chosen[0], rate_lr=chosen[1], memory_size=size, replay_size=10),
    }
    return makes[method]()


def show(config: Config, rows: Rows) -> Shown:
    """A line for each method, with the accuracy that is retained in each scenario, what is forgotten, and pictures."""
    lines, summary = [], {}
    for name, row in rows.items():
        found = task_metrics(row["accuracy"], row["before"])
        summary[name] = {metric: interval(value) for metric, value in found._asdict().items()}
    for method in config.methods:
        published = PUBLISHED.get((config.sequence, method))
        for scenario in config.scenarios:
            own = summary[f"{scenario} {method}"]
            chosen = " ".join(f"{v:g}" for v in rows[f"{scenario} {method}"]["chosen"]) or "-"
            there = "-" if published is None else f"{published[SCENARIOS.index(scenario)]:.2f}"
            shown = [percent(own[metric]) for metric in ("retained", "learning", "backward", "forward", "forgetting")]
            lines.append([scenario, method, *shown, chosen, there])
    lines.sort(key=lambda line: SCENARIOS.index(line[0]))
    head = ["scenario", "method", "retained, %", "as learned", "backward", "forward", "forgetting", "chosen"]
    head.append("published, %")
    figures = {
        f"{name.replace(' ', '-')}.png": partial(_draw, f"{config.sequence} digits, {name}", row["accuracy"])
        for name, row in rows.items()
    }
    return Shown(markdown(head, lines), figures, summary)


def _draw(title: str, accuracy: Any, path: Any) -> None:
    draw_accuracies(np.mean(accuracy, axis=0), path, title=title)


if __name__ == "__main__":
    program("continual.mnist", Config, study)
