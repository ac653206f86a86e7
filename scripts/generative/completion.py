"""Pictures completed from some of their pixels: neural processes, and coordinate networks that adapt by gradients.

    python -m scripts.generative.completion

A task is a picture, an example one of its pixels: the place, and how bright it is. Each learner is trained on those of
training classes, from few to many pixels, and completes pictures of test classes. Beside them stand the mean of the
training pictures, and the nearest pixel that is seen. Errors are of all pixels, 0 to 1, those that are seen included.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jmeta import cavia, datasets, evaluation, losses, maml, nets, training
from jmeta.errors import RunError
from jmeta.generative import conditional_process, tnp
from jmeta.report.figures import figure_maker, save
from jmeta.settings import setting
from jmeta.tasks import fourier_features, pixels_sampler, places
from jmeta.types import Batch, Learner
from scripts.pieces import trained
from scripts.study import Rows, Shown, Study, interval, markdown, plus_minus, program

WAVES = fourier_features(64, scale=2.0)
STEPS = 3
EVERY = 500
"""Steps after which a training is kept."""
MEAN, NEAREST = "mean of the training pictures", "nearest pixel"


def _gradients(make: Callable[..., Learner], model: Any, rate: float, **told: Any) -> Learner:
    return make(model, inner_optimizer=optax.sgd(rate), inner_steps=STEPS, loss_fn=losses.squared_error, **told)


LEARNERS: dict[str, Callable[[], Learner]] = {
    "cnp": lambda: conditional_process(nets.MLPEncoder(()), nets.MLP((128, 128), 128), nets.MLP((128, 128), 2)),
    "tnp": lambda: tnp(nets.MLPEncoder(()), nets.ProcessTransformer(64, 4, 2)),
    "maml": lambda: _gradients(maml, nets.MLP((128, 128), 1), 0.1),
    "cavia": lambda: _gradients(cavia, nets.ContextMLP((128, 128), 1), 1.0, context_size=64),
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings.

    Attributes:
        run_dir: where results are kept.
        dataset: of gray pictures, as `jmeta train` has them.
        data_dir: the folder of data sets; otherwise $JMETA_DATA.
        shots: pixels that are seen, a column each.
        learners: of cnp, tnp, maml and cavia.
        steps: of training, each on 16 pictures.
        asked: pixels of each that are asked for in training; in the test, all are.
        pictures: of the test.
        draw: also draw completed pictures.
    """

    run_dir: str = "runs/completion"
    dataset: str = "omniglot"
    data_dir: str | None = setting(None, place=True)
    shots: tuple[int, ...] = setting((10, 50, 200), least=1)
    learners: tuple[str, ...] = setting(tuple(LEARNERS), place=True)
    steps: int = setting(3000, least=1)
    asked: int = setting(200, least=1)
    pictures: int = setting(1000, least=2)
    draw: bool = setting(True, place=True)


def parts(config: Config) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    """Pictures of training and of test classes, `[N, H, W, 1]`, and what is known of the data."""
    data = datasets.load(config.dataset, config.data_dir)
    part = data.split(datasets.whole_groups(data, "default"))
    train, test = (np.asarray(data.examples[own].rows) for own in (part.train, part.test))
    if train.ndim != 4 or train.shape[3] != 1:
        raise RunError(f"{config.dataset} has no gray pictures: choose another --dataset.")
    if max(config.shots) > train.shape[1] * train.shape[2]:
        raise RunError(f"--shots {max(config.shots)} is more than pictures of {config.dataset} have: ask for fewer.")
    return train, test, {"protocol": part.protocol, "split_hash": part.hash, "checksum": data.checksum}


def mean_of(predicted: Any) -> Array:
    """The picture that is predicted."""
    return predicted.mean if hasattr(predicted, "mean") and hasattr(predicted, "variance") else predicted


def measured(config: Config, complete: Callable[[Batch, Array], Array], test: np.ndarray) -> dict[str, Any]:
    """The mean squared error by the number of pixels, and two pictures from the middle number."""
    result: dict[str, Any] = {}
    for shot in config.shots:
        sample = pixels_sampler(test, shot=shot, features=WAVES)
        judge = lambda episode: jnp.mean(jnp.square(complete(episode.support, episode.query.x) - episode.query.y))
        found = evaluation.of_each(judge, sample, jax.random.key(1), episodes=config.pictures, chunk_size=20)
        result[str(shot)] = interval(np.asarray(found))
    sample = pixels_sampler(test, shot=sorted(config.shots)[len(config.shots) // 2], features=WAVES)
    episodes = [sample(jax.random.key(k)) for k in range(4)]
    pictures = [complete(one.support, one.query.x) for one in episodes]
    return result | {"pictures": np.stack(pictures).reshape(4, *test.shape[1:3]).round(3).tolist()}


def learned(config: Config, name: str, load: Any, rows: Rows) -> dict[str, Any]:
    """Trained on from a few pixels to the most, then measured."""
    train, test, _ = load()
    learner, most = LEARNERS[name](), max(config.shots)
    asked = min(config.asked, train.shape[1] * train.shape[2])
    sample = pixels_sampler(train, shot=most, least=min(config.shots), asked=asked, features=WAVES)
    rate = optax.cosine_decay_schedule(1e-3, config.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    x = sample(jax.random.key(0)).support.x
    state = training.init_state(learner, optimizer, jax.random.key(0), x)
    run = training.make_run(learner, optimizer, sample, meta_batch_size=16)
    place = Path(config.run_dir) / f"{name}.npz"
    state, seconds = trained(run, state, config.steps, place, of=f"{name}, {asked} pixels asked for", every=EVERY)
    complete = lambda support, x: mean_of(learner.predict(learner.adapt(state.params, support), x))
    return measured(config, complete, test) | {"seconds": seconds}


def average(config: Config, load: Any, rows: Rows) -> dict[str, Any]:
    """The same picture for all."""
    train, test, _ = load()
    mean = jnp.asarray(train.mean(axis=0) / (255 if train.dtype == np.uint8 else 1), jnp.float32).reshape(-1, 1)
    return measured(config, lambda support, x: mean, test)


def nearest(config: Config, load: Any, rows: Rows) -> dict[str, Any]:
    """Each pixel as the nearest one that is seen; waves of places are as near as the places are."""
    _, test, _ = load()
    where = WAVES(places(*test.shape[1:3]))

    def complete(support: Batch, x: Array) -> Array:
        near = lambda one: jnp.argmin(jnp.sum(jnp.square(support.x - one[None]), axis=1))
        return support.y[jax.lax.map(near, x, batch_size=len(where))]

    return measured(config, complete, test)


def study(config: Config) -> Study:
    """A row of each learner, after what needs no learning; RunError for a name that there is not."""
    for name in config.learners:
        if name not in LEARNERS:
            raise RunError(f"there is no learner {name!r} here: choose of {', '.join(LEARNERS)}.")
    load = functools.cache(partial(parts, config))
    rows: dict[str, Any] = {MEAN: partial(average, config, load), NEAREST: partial(nearest, config, load)}
    rows |= {name: partial(learned, config, name, load) for name in config.learners}
    return Study(rows, partial(show, config), load()[2])


def show(config: Config, rows: Rows) -> Shown:
    """Errors by the number of pixels, and four pictures as each row completes them."""
    head = ["mean squared error, x 1000, after", *(f"{shot} pixels" for shot in config.shots)]
    thousand = lambda found: plus_minus(*(1000 * value for value in found.values()), digits=1)
    lines = [[name, *(thousand(row[str(shot)]) for shot in config.shots)] for name, row in rows.items()]
    return Shown(markdown(head, lines), {"completed.png": partial(draw, rows)})


def draw(rows: Rows, path: Path) -> Path:
    """A column for each row of the table."""
    figure = figure_maker()(1.5 * len(rows), 6.0)
    panels = figure.subplots(4, len(rows), squeeze=False)
    for column, (name, row) in enumerate(rows.items()):
        for axes, picture in zip(panels[:, column], row["pictures"], strict=True):
            axes.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
        panels[0, column].set_title(name.partition(" of ")[0], fontsize=9)
    return save(figure, path)


if __name__ == "__main__":
    program("generative.completion", Config, study)
