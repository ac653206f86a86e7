"""Does the join of meta-learning and multi-task learning pay? Problems of binary tasks, each from one alphabet.

A problem is a few binary tasks, which of two characters is it, of one alphabet that training has not met, with a few
examples of each. Compared on the same problems, with the same network and the same training problems: multi-task
learning without meta-training, meta-learning a task at a time, and the join: meta-training through joint steps, then
the new problem's tasks are trained on jointly.
"""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial
from rich.console import Console
from rich.progress import track

from jmeta import datasets, evaluation, nets, training
from jmeta.mtl import join
from jmeta.mtl.models import SharedParams, hard_sharing
from jmeta.mtl.tasks import predictions, task_losses
from jmeta.mtl.training import init_state, make_step
from jmeta.mtl.weightings import uniform
from jmeta.runs import RunError
from jmeta.runs.config import ALGORITHMS, NETWORKS, NORMS, ORDINARY, TrainConfig
from jmeta.errors import unknown
from jmeta.runs.folder import read_json, write_json, write_text
from jmeta.runs.learners import learner_of, training_learner
from jmeta.runs.networks import encoder
from jmeta.runs.presets import defaults
from jmeta.types import Batch, Episode, Learner, Params

RESULT, TABLE = "join.json", "join.md"
PIECE = 100


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        algorithm: the meta-learner, any of `jmeta train`.
        dataset: any data set with groups.
        split: its split; groups of the test part must not be in training for problems to be of a new group.
        tasks: binary tasks of a problem.
        shot: support examples of each class, even.
        query_shot: queries of each class, in training and in the test.
        network: as in `jmeta train`.
        features: channels of each block of the network, or units of each layer.
        norm: as in `jmeta train`; group judges every picture by itself.
        inner_lr: of the learner's own adaptation, where it has one.
        inner_steps: the same.
        joint_lr: rate of the joint steps, of gradient descent.
        joint_steps: joint steps on each problem, in training and in the test.
        outer_lr: of Adam, with a cosine.
        outer_steps: of meta-training.
        meta_batch_size: problems of a step.
        scratch_steps: candidates for the length of multi-task learning without meta-training, chosen on validation
            problems of the training alphabets.
        problems: in the test.
        scratch_problems: the first of them, on which multi-task learning without meta-training, which is slow, is
            tested; half as many choose its length.
        seeds: an independent meta-training for each.
        run_dir: the folder for results, kept after each row; started again, it goes on.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
    """

    algorithm: str = "prototypical"
    dataset: str = "omniglot"
    split: str = "lake"
    tasks: int = 5
    shot: int = 2
    query_shot: int = 5
    network: str = "conv4"
    features: tuple[int, ...] = (32,)
    norm: str = "batch"
    inner_lr: float = 0.4
    inner_steps: int = 1
    joint_lr: float = 0.1
    joint_steps: int = 1
    outer_lr: float = 1e-3
    outer_steps: int = 3000
    meta_batch_size: int = 2
    scratch_steps: tuple[int, ...] = (10, 30, 100, 300)
    problems: int = 500
    scratch_problems: int = 100
    seeds: tuple[int, ...] = (0,)
    run_dir: str = "runs/join"
    data_dir: str | None = None


def check(config: Config) -> None:
    """Refuse what makes no problems.

    Raises:
        RunError: naming it.
    """
    if config.algorithm not in ALGORITHMS:
        raise unknown("algorithm", config.algorithm, ALGORITHMS)
    if config.network not in NETWORKS:
        raise unknown("network", config.network, NETWORKS)
    if config.norm not in NORMS:
        raise unknown("norm", config.norm, NORMS)
    if config.algorithm in ORDINARY:
        raise RunError(f"{config.algorithm} is trained without episodes: choose another --algorithm.")
    if config.shot < 2 or config.shot % 2:
        raise RunError(
            f"--shot must be 2 or another even number, half to learn from and half to ask, got {config.shot}."
        )
    for name in (
        "tasks",
        "query_shot",
        "outer_steps",
        "meta_batch_size",
        "problems",
        "scratch_problems",
        "joint_steps",
    ):
        if getattr(config, name) < 1:
            raise RunError(f"--{name.replace('_', '-')} must be 1 or more, got {getattr(config, name)}.")
    if not config.seeds or not config.scratch_steps:
        raise RunError("there must be a seed and a length of --scratch-steps or more: give at least one of each.")


def settings(config: Config) -> TrainConfig:
    """Those of the learner, as `jmeta train` has them."""
    own = defaults(config.algorithm, config.dataset)
    inner = {"inner_lr": config.inner_lr, "inner_steps": config.inner_steps} if own.inner_steps else {}
    return dataclasses.replace(
        own, network=config.network, features=config.features, norm=config.norm, way=2, shot=config.shot,
        query_shot=config.query_shot, eval_inner_steps=None, **inner,
    )  # fmt: skip


def samplers(config: Config) -> dict[str, Partial]:
    """Of problems, by part of the split; validation is drawn from the training part by other keys."""
    data = datasets.load(config.dataset, config.data_dir)
    part = data.split(config.split)
    groups = np.asarray(data.groups)
    rotations = config.dataset.startswith("omniglot")

    def sampler(classes: np.ndarray) -> Partial:
        return join.pairs_sampler(
            data.images[classes], groups[classes], tasks=config.tasks, shot=config.shot,
            query_shot=config.query_shot, rotations=rotations,
        )  # fmt: skip

    try:
        return {"train": sampler(part.train), "test": sampler(part.test)}
    except ValueError as error:
        raise RunError(f"{error}: choose fewer --tasks, or another --dataset or --split.") from error


def meta_train(config: Config, learner: Learner, sample: Partial, seed: int, name: str) -> tuple[Params, float]:
    """Parameters after meta-training, and the mean accuracy of its last hundred steps."""
    optimizer = optax.adam(optax.cosine_decay_schedule(config.outer_lr, config.outer_steps))
    key = jax.random.key(seed)
    state = training.init_state(learner, optimizer, key, sample(key).support.x)
    run = training.make_run(learner, optimizer, sample, meta_batch_size=config.meta_batch_size, chunk_size=1)
    accuracy = 0.0
    pieces = [PIECE] * (config.outer_steps // PIECE) + [config.outer_steps % PIECE]
    for piece in track([p for p in pieces if p], description=name, console=Console(stderr=True)):
        state, metrics = run(state, piece)
        assert metrics.accuracy is not None
        accuracy = float(jnp.mean(metrics.accuracy))
    return state.params, accuracy


def from_scratch(config: Config, sample: Partial, key: Array, steps: int, problems: int) -> evaluation.Evaluation:
    """Multi-task learning alone: a trunk and heads that start at random, trained on the few examples of a problem."""
    model = hard_sharing(encoder(settings(config)), nets.MLP(features=(), out=2), tasks=config.tasks)
    optimizer = optax.adam(1e-3)
    step = make_step(task_losses(model), optimizer, weighting=uniform())

    def predict(problem: Episode) -> Array:
        start = model.init(jax.random.key(0), problem.support.x[0])
        state = init_state(start, optimizer, jax.random.key(1), tasks=config.tasks)
        state, _ = jax.lax.scan(lambda state, _: step(state, problem.support), state, None, length=steps)
        params: SharedParams = state.params
        return predictions(model, params, problem.query)

    return join.evaluate_problems(predict, sample, key, problems=problems)


def tested(learner: Learner, params: Params, config: Config, sample: Partial) -> list[float]:
    """Accuracy on each test problem, in one order for all that are compared."""
    found = join.evaluate_problems(
        lambda problem: learner.predict(learner.adapt(params, problem.support), problem.query.x),
        sample,
        _test_key(),
        problems=config.problems,
    )
    return found.accuracy.tolist()


def _test_key() -> Array:
    return jax.random.key(20_000)


def alone(learner: Learner) -> Learner:
    """A joined learner that is given each task of a problem as a problem of its own: joint steps without company."""

    def adapt(params: Params, support: Batch) -> Any:
        each = jax.tree.map(lambda a: a[:, None], support)
        return jax.tree.map(lambda a: a[:, 0], jax.vmap(learner.adapt, in_axes=(None, 0))(params, each))

    return learner._replace(adapt=adapt)


def rows_of(config: Config, seed: int, samples: dict[str, Partial], done: dict[str, Any]) -> dict[str, Any]:
    """Every row of one seed: accuracies of the test problems, computed if they are not there."""
    own = settings(config)
    train_learner, test_learner = training_learner(own, None), learner_of(own, own.inner_steps)
    assert isinstance(train_learner, Learner)
    rule = optax.sgd(config.joint_lr)

    def whole(learner: Learner, steps: int) -> Learner:
        return join.joined(learner, optimizer=rule, steps=steps)

    rows = dict(done)
    if "a task at a time" not in rows:
        params, _ = meta_train(config, whole(train_learner, 0), samples["train"], seed, "a task at a time")
        rows["a task at a time"] = tested(whole(test_learner, 0), params, config, samples["test"])
        rows["a task at a time, then joint steps"] = tested(
            whole(test_learner, config.joint_steps), params, config, samples["test"]
        )
    if "the join" not in rows:
        learner = whole(train_learner, config.joint_steps)
        params, _ = meta_train(config, learner, samples["train"], seed, "the join")
        test = whole(test_learner, config.joint_steps)
        rows["the join"] = tested(test, params, config, samples["test"])
        rows["the join, without joint steps"] = tested(whole(test_learner, 0), params, config, samples["test"])
        rows["the join, each task trained on alone"] = tested(alone(test), params, config, samples["test"])
    return rows


def scratch_row(config: Config, samples: dict[str, Partial]) -> dict[str, Any]:
    """Multi-task learning alone, as long as serves best on problems of the training alphabets."""
    few = max(config.scratch_problems // 2, 1)
    by_steps = {
        steps: from_scratch(config, samples["train"], jax.random.key(10_000), steps, few).mean
        for steps in track(config.scratch_steps, description="multi-task alone", console=Console(stderr=True))
    }
    best = max(by_steps, key=lambda steps: by_steps[steps])
    found = from_scratch(config, samples["test"], _test_key(), best, min(config.scratch_problems, config.problems))
    return {"accuracy": found.accuracy.tolist(), "steps": best, "validation": by_steps}


def markdown(config: Config, result: dict[str, Any]) -> str:
    """The table, with paired differences from meta-learning a task at a time."""
    seeds = result["seeds"]
    base = np.concatenate([rows["a task at a time"] for rows in seeds.values()])
    scratch = np.asarray(result["scratch"]["accuracy"])
    names = list(next(iter(seeds.values())))
    values = {"multi-task learning, no meta-training": scratch} | {
        name: np.concatenate([rows[name] for rows in seeds.values()]) for name in names
    }
    lines = ["| on a new problem | accuracy, % | minus a task at a time, paired |", "|---|---|---|"]
    for name, each in values.items():
        same = base[: len(each)] if len(each) < len(base) else base
        found, less = evaluation.summarise(each), evaluation.paired_difference(each, same)
        paired = "-" if name == "a task at a time" else f"{100 * less.mean:+.2f} +- {100 * less.ci95:.2f}"
        lines.append(f"| {name} | {100 * found.mean:.2f} +- {100 * found.ci95:.2f} | {paired} |")
    return "\n".join(lines) + "\n"


def main(config: Config) -> dict[str, Any]:
    """Train, test, and write the table; what is there from before is kept.

    Returns:
        What join.json has.

    Raises:
        RunError: for settings that make no problems, or a folder of other settings.
        DataError: for data that are missing or damaged.
    """
    check(config)
    folder = Path(config.run_dir)
    folder.mkdir(parents=True, exist_ok=True)
    own = {k: v for k, v in dataclasses.asdict(config).items() if k not in ("seeds", "run_dir", "data_dir")}
    own = {name: list(value) if isinstance(value, tuple) else value for name, value in own.items()}
    result: dict[str, Any] = {"config": own, "seeds": {}}
    if (folder / RESULT).exists():
        result = read_json(folder / RESULT)
        if result["config"] != own:
            raise RunError(f"{folder} has results of other settings: choose another --run-dir.")
    samples = samplers(config)
    if "scratch" not in result:
        result["scratch"] = scratch_row(config, samples)
        write_json(folder / RESULT, result)
    for seed in config.seeds:
        result["seeds"][str(seed)] = rows_of(config, seed, samples, result["seeds"].get(str(seed), {}))
        write_json(folder / RESULT, result)
    wanted = {str(seed) for seed in config.seeds}
    table = markdown(config, {**result, "seeds": {s: rows for s, rows in result["seeds"].items() if s in wanted}})
    write_text(folder / TABLE, table)
    print(table)
    return result
