"""What a run learns from: a data set with its split, or a sampler of curves or planes, in one form."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.tree_util import Partial

from jmeta import augment, datasets, episodes
from jmeta.datasets import Dataset, Split
from jmeta.datasets.convert import Look, match, resize
from jmeta.errors import RunError, closest
from jmeta.runs.config import VECTOR_TASKS, TrainConfig

LINEAR_FEATURES = 10
AUGMENTS: dict[str, augment.Augment | None] = {"none": None, "affine": augment.random_affine()}
NAMES = ("omniglot", "omniglot-small1", "omniglot-small2", "glyphs", "digits", *VECTOR_TASKS)


class Problem(NamedTuple):
    """A source of episodes.

    Attributes:
        name: of the data set.
        input_shape: of one example.
        regression: whether targets are numbers and not classes.
        protocol: of the split.
        split_hash: of the classes in each part of the split.
        checksum: of the data.
        sampler: `(part, way, shot, query_shot) -> sample`, for the part train, val or test.
        batches: `batch size -> sample`, of ordinary batches of all training classes; None where there are none.
        train_classes: classes to train on, four of each with rotations; None where there are none.
        dataset: the images, where there are some.
        split: their split.
        changes: what was done to the images, so that they look like those that a learner was trained on.
    """

    name: str
    input_shape: tuple[int, ...]
    regression: bool
    protocol: str
    split_hash: str
    checksum: str
    sampler: Callable[[str, int, int, int], Partial]
    batches: Callable[[int], Partial] | None = None
    train_classes: int | None = None
    dataset: Dataset | None = None
    split: Split | None = None
    changes: tuple[str, ...] = ()


def load_problem(config: TrainConfig, input_shape: tuple[int, ...] | None = None) -> Problem:
    """Load what `config` names.

    Args:
        config: a training run's settings; `dataset`, `data_dir`, `split` and `rotations` count.
        input_shape: the (H, W, C) that images are brought to; None leaves them as they are.

    Raises:
        DataError: for data that are missing or damaged.
        RunError: for episodes that the data can't give.
    """
    if config.dataset == "sinusoid":
        return _made_up("sinusoid", (1,), lambda shot, query: episodes.sinusoid_sampler(shot=shot, query_shot=query))
    if config.dataset == "linear":
        return _made_up(
            "linear",
            (LINEAR_FEATURES,),
            lambda shot, query: episodes.linear_sampler(features=LINEAR_FEATURES, shot=shot, query_shot=query),
        )
    dataset = load_images(config.dataset, config.data_dir)
    images = dataset.images if input_shape is None else resize(dataset.images, input_shape)
    return _of_images(config, dataset, images, ())


def problem_like(config: TrainConfig, dataset: Dataset, like: Look) -> Problem:
    """Images that are to look like those that a learner was trained on.

    Args:
        config: settings; `split` and `rotations` count.
        dataset: the images.
        like: the look of those that the learner knows.

    Raises:
        DataError: for a split that the images don't have, or a number of channels that can't be brought to another.
    """
    return _of_images(config, dataset, *match(dataset.images, like, dataset.counts))


def _of_images(config: TrainConfig, dataset: Dataset, images: np.ndarray, changes: tuple[str, ...]) -> Problem:
    split, shown = dataset.split(config.split), dataset._replace(images=images)
    return Problem(
        dataset.name,
        images.shape[2:],
        False,
        split.protocol,
        split.hash,
        dataset.checksum,
        lambda part, way, shot, query: _few_shot(shown, split, config, part, way, shot, query),
        lambda size: episodes.classification_sampler(
            shown.images[split.train],
            batch_size=size,
            rotations=config.rotations,
            counts=shown.counts[split.train],
            augment=AUGMENTS[config.augment],
        ),
        len(split.train) * (4 if config.rotations else 1),
        shown,
        split,
        changes,
    )


def load_images(name: str, data_dir: str | None, *, download: bool = True) -> Dataset:
    """A data set of images by its name.

    Args:
        name: of the data.
        data_dir: the folder that they are looked for in.
        download: whether they may be downloaded if they are not there.

    Raises:
        DataError: for data that are missing or damaged.
        RunError: for a misspelt name.
    """
    try:
        return datasets.load(name, data_dir, download=download)
    except datasets.DataError as error:
        close = closest(name, NAMES)
        if close is None or name in NAMES or not str(error).startswith("there is no data set"):
            raise
        raise RunError(f"there is no data set {name!r}: did you mean {close!r}? jmeta data list shows all.") from error


def _made_up(name: str, shape: tuple[int, ...], draw: Callable[[int, int], Partial]) -> Problem:
    # Train, validation and test draw from one distribution; a run's key never meets those of the other two.
    return Problem(name, shape, name == "sinusoid", "distribution", name, name, lambda _, way, s, q: draw(s, q))


def _few_shot(
    dataset: Dataset, split: Split, config: TrainConfig, part: str, way: int, shot: int, query_shot: int
) -> Partial:
    classes = getattr(split, part)
    images, counts = dataset.images[classes], dataset.counts[classes]
    if way > len(classes):
        raise RunError(
            f"{way}-way episodes need {way} classes, and the {part} part of {dataset.name} ({split.protocol}) has "
            f"{len(classes)}: ask for a smaller --way, or another --split."
        )
    fewest = int(counts.min())
    if shot + query_shot > fewest:
        raise RunError(
            f"{shot} support and {query_shot} query examples of each class are {shot + query_shot}, and a class of "
            f"{dataset.name} has {fewest}: ask for a smaller --shot or --query-shot."
        )
    if config.rotations and images.shape[2] != images.shape[3]:
        raise RunError(
            f"rotations need square pictures, got {images.shape[2]} x {images.shape[3]}: use --no-rotations."
        )
    return episodes.few_shot_sampler(
        images,
        way=way,
        shot=shot,
        query_shot=query_shot,
        rotations=config.rotations,
        counts=counts,
        groups=_groups(dataset, classes, part, way) if config.within_groups else None,
        augment=AUGMENTS[config.augment] if part == "train" else None,
    )


def _groups(dataset: Dataset, classes: np.ndarray, part: str, way: int) -> list[str]:
    """The group of each class, if one of them is large enough."""
    groups = [dataset.groups[i] for i in classes]
    largest = max(Counter(groups).values())
    if largest < way:
        raise RunError(
            f"{way}-way episodes within a group need {way} classes in it, and the largest of the {part} part of "
            f"{dataset.name} has {largest}: ask for a smaller --way, or --no-within-groups."
        )
    return groups


def with_dataset(config: TrainConfig, dataset: str | None, split: str | None, data_dir: str | None) -> TrainConfig:
    """The settings on other data: another data set comes with its default split, and without rotations and groups."""
    if dataset is not None and dataset != config.dataset:
        config = dataclasses.replace(
            config,
            dataset=dataset,
            split="default",
            rotations=dataset.startswith("omniglot"),
            within_groups=False,
        )
    if split is not None:
        config = dataclasses.replace(config, split=split)
    return config if data_dir is None else dataclasses.replace(config, data_dir=data_dir)
