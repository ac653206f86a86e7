"""The official one-shot test of Omniglot: a trained learner's errors in each of its 20 runs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta import evaluation
from jmeta.datasets import cache, make_dataset
from jmeta.datasets.omniglot_runs import NAME, RUNS, WAY, OneShotRuns, load_runs
from jmeta.datasets.pictures import match
from jmeta.errors import RunError
from jmeta.ragged import ragged
from jmeta.runs.few_shot.heads import at_way
from jmeta.runs.few_shot.readings import ONE, reading
from jmeta.runs.few_shot.trained import Trained
from jmeta.runs.few_shot.transfer import Known, known_to, seen
from jmeta.tasks import catalog as sources
from jmeta.types import Batch, Episode, Learner, Params


class OneShotTest(NamedTuple):
    """The 20 runs as episodes with a leading axis, what was done to the drawings so that they look like those of
    training, and how many of the 400 characters were trained on, None where the training data can't be read.
    """

    episodes: Episode
    changes: tuple[str, ...]
    seen: int | None


def one_shot_test(trained: Trained, data_dir: str | None = None) -> OneShotTest:
    """The test, for a trained learner of pictures, from a folder of data sets or the run's."""
    tasks = trained.settings.tasks
    if sources.row(tasks.dataset).sampler is not None:
        raise RunError(f"a learner of {tasks.dataset} can't be shown {NAME}: choose another --dataset.")
    if trained.look is None:
        raise RunError(f"a learner of {tasks.dataset} can't be shown the pictures of {NAME}: choose another --dataset.")
    runs = load_runs(cache.data_root(data_dir or tasks.data_dir))
    both, changes = match(make_dataset(NAME, np.concatenate([runs.support, runs.query], axis=1)), trained.look)
    shown = OneShotRuns(both.images[:, :WAY], both.images[:, WAY:], runs.labels)
    return OneShotTest(episodes_of(shown), changes, _characters_seen(known_to(trained, data_dir), shown))


def episodes_of(runs: OneShotRuns) -> Episode:
    """The runs as episodes with a leading axis, in their order."""
    support, query = (jnp.asarray(images, jnp.float32) / 255 for images in (runs.support, runs.query))
    return Episode(
        Batch(support, jnp.tile(jnp.eye(support.shape[1]), (len(support), 1, 1))),
        Batch(query, jax.nn.one_hot(runs.labels, support.shape[1])),
    )


def errors(
    learner: Learner, params: Params, episodes: Episode, predict: evaluation.Predict = evaluation.transductive
) -> np.ndarray:
    """The share of queries that a learner gets wrong in each episode, `[T]`; parameters are for their way."""

    @jax.jit
    def run(params: Params, episodes: Episode) -> Array:
        wrong = lambda episode: 1 - evaluation.accuracy(predict(learner, params, episode), episode.query)
        return jax.lax.map(wrong, episodes)

    # Shares of a few queries are short numbers, but for float32.
    return np.round(np.asarray(run(params, episodes), np.float64), 6) + 0.0


def measure(
    trained: Trained,
    test: OneShotTest,
    *,
    inner_steps: int,
    transductive: bool = False,
    both: bool = True,
    views: str = ONE,
) -> dict[str, Any]:
    """Take the test: accuracy and interval over runs, `errors` of each, and the other reading under its name.

    Args:
        trained: the learner.
        test: as `one_shot_test` makes it.
        inner_steps: how many.
        transductive: whether the queries of a run are seen together, where the network tells it apart.
        both: where it does, take the other reading too.
        views: of each drawing, see `readings.VIEWS`.
    """
    batch = trained.settings.network.norm == "batch"
    together = transductive or not batch
    learner, params = trained.learner_of(inner_steps, WAY), at_way(trained.params, trained.settings.tasks.way, WAY)
    predict, other_predict = reading(together, views), reading(not together, views)
    found = errors(learner, params, test.episodes, predict)
    summary = evaluation.summarize(1 - found)
    result: dict[str, Any] = {
        "accuracy": summary.mean, "ci95": summary.ci95, "episodes": RUNS, "errors": found.tolist(),
        "reading": "transductive" if batch and together else "inductive",
    }  # fmt: skip
    if batch and both:
        other = evaluation.summarize(1 - errors(learner, params, test.episodes, other_predict))
        name = reading(not together).__name__
        result |= {f"{name}_accuracy": other.mean, f"{name}_ci95": other.ci95}
    return result


def _characters_seen(known: Known | None, runs: OneShotRuns) -> int | None:
    # The drawing of each class beside the query of the same class.
    order = np.argsort(runs.labels, axis=1)[:, :, None, None, None]
    pairs = np.stack([runs.support, np.take_along_axis(runs.query, order, axis=1)], axis=2)
    pairs = pairs.reshape(-1, *pairs.shape[2:])
    return seen(known, ragged(pairs))
