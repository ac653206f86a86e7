"""Meta-Dataset's protocol on a laptop: trained on some sources, tested on all, episodes of varied way and shot.

    python -m scripts.few_shot.meta_dataset
    python -m scripts.few_shot.meta_dataset --learners nearest prototypical --steps 500 --episodes 100

Pictures of all sources are brought to one size and three channels, and all episodes to one shape, so that each learner
is compiled once. Training draws a source for each episode. Sources that are trained on are tested on classes of their
own that training has not met, the others on all their classes. A learner's rank at a source is that among all learners.
Those that are not told apart, by the interval of their paired difference on the same episodes, share it.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.tree_util import Partial

from jmeta import datasets, training
from jmeta.datasets.look import Look
from jmeta.datasets.pictures import match
from jmeta.errors import RunError, unknown
from jmeta.evaluation import accuracy, summarize, transductive
from jmeta.mixed import mixed_sampler, padded_sampler
from jmeta.ragged import Ragged
from jmeta.report.statistics import paired
from jmeta.runs.few_shot.experiment import eval_steps, learner_of, training_learner
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.runs.few_shot.settings import Settings, settings_of
from jmeta.settings import setting
from jmeta.types import Episode
from jmeta.varied import varied_sampler
from scripts.study import Rows, Shown, Study, finite, interval, markdown, percent, program

TRAINED = ("omniglot", "glyphs:400", "cifar-fs", "letters62.npz")
OTHERS = (
    "mnist28.npz", "chinese_mnist.npz", "sign_digits.zip", "gtsrb32.npz", "caltech101.zip", "flowers17.zip",
    "grocery.zip", "clothing.zip", "resisc12.zip", "rsscn7.zip",
)  # fmt: skip
OWN: Mapping[str, Mapping[str, Any]] = {
    "fomaml": {"inner_lr": 0.1, "inner_steps": 5},
    "proto-maml": {"inner_lr": 0.1, "inner_steps": 5},
}
"""Settings of learners, where they are not those of `jmeta train`."""
FLOOR = "nearest"


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Episodes.

    Attributes:
        max_way: the most classes of an episode; 50 in Meta-Dataset.
        max_support: the most support examples of an episode; 500 there.
        max_query_shot: the most queries of a class; 10 there.
        image_size: height and width of all pictures; 84 there.
    """

    max_way: int = setting(20, least=5)
    max_support: int = setting(100, least=5)
    max_query_shot: int = setting(5, least=1)
    image_size: int = setting(32, least=8)


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results.json and table.md are kept.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        learners: which, of those that are trained on episodes and tell classes apart.
        trained: sources to train on.
        others: sources to test on beside them.
        sizes: of episodes.
        features: channels of the four convolutions.
        steps: outer steps of each learner, of `meta_batch_size` episodes.
        meta_batch_size: episodes of a step.
        outer_lr: of Adam, at the start of a cosine.
        episodes: of the test, at each source; the same for all learners.
        seed: of training; the test has keys of its own.
    """

    run_dir: str = setting("runs/meta-dataset", place=True)
    data_dir: str | None = setting(None, place=True)
    learners: tuple[str, ...] = setting(
        ("nearest", "prototypical", "matching-cosine", "ridge", "proto-maml", "meta-qda", "relation", "fomaml"),
        place=True,
    )
    trained: tuple[str, ...] = TRAINED
    others: tuple[str, ...] = OTHERS
    sizes: Sizes = Sizes()
    features: tuple[int, ...] = setting((64,), least=1)
    steps: int = setting(5000, least=1)
    meta_batch_size: int = setting(2, least=1)
    outer_lr: float = setting(1e-3, above=0)
    episodes: int = setting(300, least=2)
    seed: int = setting(0, least=0)


class Source(NamedTuple):
    """A source: what draws episodes to train on, None for one of the test alone, and to test on; its data's hashes."""

    name: str
    train: Partial | None
    test: Callable[[Array], Episode]
    hashes: str


def source(config: Config, name: str) -> Source:
    """A source by its name; RunError where it has too few classes.

    Classes of Omniglot are of one alphabet an episode, as in Meta-Dataset.
    """
    sizes, learned = config.sizes, name in config.trained
    like = Look((sizes.image_size, sizes.image_size), 3, "none")
    data = match(datasets.load(name, config.data_dir), like)[0]
    split = data.split("lake" if name == "omniglot" else "default" if learned else "all")
    grouped = name == "omniglot"

    def sampler(part: np.ndarray) -> Partial:
        examples: Ragged = data.examples[part]
        if len(part) < 5 or examples.counts.min() < 2:
            raise RunError(f"{name} has {len(part)} classes for a part, and 5 are needed: leave it out.")
        groups = [data.groups[i] for i in part] if grouped else None
        drawn = varied_sampler(
            examples, max_way=sizes.max_way, max_support=sizes.max_support, max_query_shot=sizes.max_query_shot,
            groups=groups,
        )  # fmt: skip
        rows = sizes.max_way * sizes.max_query_shot
        return padded_sampler(drawn, way=sizes.max_way, support=sizes.max_support, query=rows)

    hashes = f"{split.protocol} {split.hash}, {data.checksum}"
    return Source(name, sampler(split.train) if learned else None, jax.jit(sampler(split.test)), hashes)


def own_settings(config: Config, name: str) -> Settings:
    """A learner's settings: those of `jmeta train`, on one network for all."""
    own = {"network": "conv4-flat", "features": config.features, "way": config.sizes.max_way}
    return settings_of(algorithm=name, dataset="cifar-fs", **own, **OWN.get(name, {}))


def measured(config: Config, sources: Any, name: str, rows: Rows) -> dict[str, Any]:
    """Train a learner on the mixture of sources, and test it on each: accuracy of each episode."""
    every, own = sources(), own_settings(config, name)
    sample = mixed_sampler([one.train for one in every if one.train is not None])
    learner = training_learner(own, None)
    optimizer = optax.adam(optax.cosine_decay_schedule(config.outer_lr, config.steps))
    x = jax.eval_shape(sample, jax.random.key(0)).support.x
    state = training.init_state(learner, optimizer, jax.random.key(config.seed), jnp.zeros(x.shape, x.dtype))
    began = time.perf_counter()
    if jax.tree.leaves(state.params):
        run = training.make_run(learner, optimizer, sample, meta_batch_size=config.meta_batch_size)
        state, metrics = run(state, config.steps)
        finite(np.asarray(metrics.loss), "the losses")
    seconds = time.perf_counter() - began
    judged = learner_of(own, eval_steps(own.learner), way=config.sizes.max_way)
    judge = jax.jit(lambda params, episode: accuracy(transductive(judged, params, episode), episode.query))
    keys = jax.random.split(jax.random.key(0x7E57), config.episodes)
    # Sources differ in how many pictures they have, so that each draws by a program of its own; one judges them all.
    found = {one.name: jnp.stack([judge(state.params, one.test(key)) for key in keys]) for one in every}
    rounded = {source: np.asarray(values, np.float64).round(6).tolist() for source, values in found.items()}
    return {"accuracy": rounded, "seconds": seconds}


def ranks(values: Sequence[Any]) -> list[float]:
    """The rank of each learner, 1 for the best, from its accuracies `[episodes]`, the same episodes for all.

    The best of those that are left is tied with all whose paired difference from it has an interval with 0 in it; they
    share the mean of their places.
    """
    order = [int(i) for i in np.argsort([-np.mean(own) for own in values], kind="stable")]
    found = [0.0] * len(order)
    place = 1
    while order:
        best = order[0]
        tied = [i for i in order if i == best or _level(values[i], values[best])]
        for i in tied:
            found[i] = place + (len(tied) - 1) / 2
        place, order = place + len(tied), [i for i in order if i not in tied]
    return found


def _level(own: Any, best: Any) -> bool:
    mean, ci95 = paired(own, best)
    return abs(mean) <= (ci95 or 0.0)


def study(config: Config) -> Study:
    """A row for each learner.

    Raises:
        RunError: for a learner that is not there, is not trained on episodes, or a source of too few classes.
        DataError: for data that are missing or damaged.
    """
    for name in config.learners:
        if name not in LEARNERS:
            raise unknown("learner", name, LEARNERS)
        if LEARNERS.get(name).ordinary or not LEARNERS.get(name).classes:
            raise RunError(f"{name} is not trained on episodes of classes: leave it out.")
    if not config.trained:
        raise RunError("training needs a source: give at least one to --trained.")
    if config.sizes.max_support < config.sizes.max_way:
        raise RunError(
            f"--max-support must be --max-way, {config.sizes.max_way}, or more, got {config.sizes.max_support}: each "
            "class has an example."
        )
    names = dict.fromkeys((*config.trained, *config.others))
    sources = cache(lambda: [source(config, name) for name in names])
    rows = {name: partial(measured, config, sources, name) for name in config.learners}
    return Study(rows, partial(show, config), {one.name: one.hashes for one in sources()})


def show(config: Config, rows: Rows) -> Shown:
    """Accuracy of each learner at each source, and its mean rank over all of them, and over those not trained on."""
    names = list(next(iter(rows.values()))["accuracy"])
    of_source = {name: ranks([row["accuracy"][name] for row in rows.values()]) for name in names}
    lines = [
        [
            f"{name}{'' if name in config.trained else ' *'}",
            *(percent(summarize(np.array(row["accuracy"][name]))) for row in rows.values()),
        ]
        for name in names
    ]
    mean = lambda kind: [f"{np.mean([of_source[n][i] for n in names if kind(n)]):.2f}" for i in range(len(rows))]
    lines.append(["mean rank", *mean(lambda name: True)])
    if any(name not in config.trained for name in names):
        lines.append(["mean rank, *", *mean(lambda name: name not in config.trained)])
    lines.append(["minutes of training", *(f"{row['seconds'] / 60:.1f}" for row in rows.values())])
    summary = {name: {n: interval(row["accuracy"][n]) for n in names} for name, row in rows.items()}
    table = markdown(["accuracy, %", *rows], lines)
    return Shown(f"{table}\n* not trained on. {config.episodes} episodes each, the same for all.\n", summary=summary)


if __name__ == "__main__":
    program("few_shot.meta_dataset", Config, study)
