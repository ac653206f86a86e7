"""Settings of a few-shot run: what tasks are of, what learns, and how it is trained."""

import dataclasses
from typing import Any

from jmeta import settings as flat
from jmeta.errors import RunError
from jmeta.nets import catalog as nets
from jmeta.nets.catalog import NETWORKS, Network
from jmeta.registry import short, spelled
from jmeta.runs.engine.members import suffix
from jmeta.runs.engine.options import Options
from jmeta.runs.few_shot.learners import LEARNERS
from jmeta.settings import setting
from jmeta.tasks import catalog as sources

AUGMENTS = ("none", "affine", "crop-flip", "photo")
TEXTS = ("tokens", "tfidf")
OUTER_OPTIMIZERS = ("adam", "nesterov", "sgd", "sam")
SCHEDULES = ("constant", "cosine", "linear", "drops", "halving")


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        algorithm: how to learn.
        dataset: what tasks are made of.
    """

    algorithm: str = "maml"
    dataset: str = "glyphs"


@dataclasses.dataclass(frozen=True)
class Test:
    """What the test is of, where a split does not say it.

    Attributes:
        test_classes: names of the classes for the test, as a,b,c; most of the others are trained on, and some are for
            validation.
        test_dataset: other data to test on, all classes of it; most classes of the data set are trained on, and some
            are for validation, as --split divides them or, without it, four fifths and one.
    """

    test_classes: str | None = None
    test_dataset: str | None = None


@dataclasses.dataclass(frozen=True)
class Reading:
    """How files are read, and how sentences become numbers, by those of the training classes alone.

    Attributes:
        strict: refuse files of a folder that are no pictures or can't be read, in place of leaving them out.
        text: of sentences, tokens (of words), or tfidf (of pieces of words, of 2 to 5 letters); otherwise tokens for a
            network that reads them, and tfidf for others.
        text_length: tokens of a sentence, of which the rest is left out; otherwise as many as the longest has, or 64.
        text_features: pieces of words that tfidf has, the most frequent; otherwise 4096.
    """

    strict: bool = setting(False, place=True)
    text: str | None = setting(None, choices=TEXTS)
    text_length: int | None = setting(None, least=1)
    text_features: int | None = setting(None, least=1)


@dataclasses.dataclass(frozen=True)
class Tasks:
    """What is learned from.

    Attributes:
        dataset: what tasks are made of: omniglot, glyphs, glyphs:N, digits; cifar-fs, fc100, mini-imagenet,
            tiny-imagenet, eurosat, resisc45, uc-merced, medmnist:NAME (of your own copy); tfds:NAME; a file .npz of
            arrays with labels, a table .csv or .tsv of files, or of numbers, and labels, a folder (or .zip) with a
            sub-folder of pictures for each class; sentences with labels, as lines of JSON .jsonl or .jsonl.gz, or a
            table; sinusoid, sinusoid-e, sinusoid-h (curves to regress), linear (binary tasks); or FILE.py:NAME or
            MODULE:NAME, your own. `jmeta list` has all, `jmeta data list` shows what is there.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        split: which classes are for training, validation and test: finn, lake, small1, small2, cifar-fs, fc100, ravi,
            meta-dataset, classes, folders (those called train, val and test) or default, which is finn for Omniglot,
            the published one of other known sets, and folders where there are such; or your own FILE.json, of lists of
            class names called train, val and test.
        test: what the test is of, where the split does not say it.
        reading: how files and sentences are read.
        image_size: height and width that pictures are brought to, filled up to a square with the color of their border;
            otherwise their own, or 84 for a folder of pictures of several sizes.
        rotations: turn each class of an episode by its own multiple of 90 degrees, in all parts of the split; within
            groups, all classes of an episode by the same one.
        within_groups: draw the classes of an episode from one group, such as the characters of an alphabet, in all
            parts of the split; harder, and closer to Omniglot's official test.
        augment: how each picture is changed in training: none, affine (turned, stretched, slanted, moved a little),
            crop-flip (a crop out of zeros around it, and mirrored half the time), or photo (the same, with brightness,
            contrast and saturation changed).
        way: classes in an episode.
        shot: support examples of each class: what is learned from.
        query_shot: query examples of each class: what the adapted learner is judged by.
        train_way: classes in an episode of training, if not way, for algorithms without a head for each class:
            training with more classes an episode makes fewer classes easier.
        train_shot: support examples of each class in training, if not shot; for Reptile more than in tests.
    """

    dataset: str = "glyphs"
    data_dir: str | None = setting(None, place=True)
    split: str = "default"
    test: Test = Test()
    reading: Reading = Reading()
    image_size: int | None = setting(None, least=1)
    rotations: bool = False
    within_groups: bool = False
    augment: str = setting("none", choices=AUGMENTS)
    way: int = setting(5, least=1)
    shot: int = setting(1, least=1)
    query_shot: int = setting(5, least=1)
    train_way: int | None = setting(None, least=1)
    train_shot: int | None = setting(None, least=1)


@dataclasses.dataclass(frozen=True)
class Outer:
    """The outer loop.

    Attributes:
        outer_lr: step size of the outer loop, before its schedule.
        outer_steps: how many outer steps to train for.
        meta_batch_size: episodes in each outer step.
        outer_optimizer: adam, nesterov, sgd, or sam (sharpness-aware Adam).
        outer_schedule: of the outer step size: constant; cosine or linear, which end at zero; drops, to 6, 1.2 and 0.24
            % of it after 20, 40 and 50 of 60 parts of the steps (MetaOptNet's, for 0.1 of nesterov); halving, every
            2,000 steps (R2D2's, for 0.005 of adam).
        chunk_size: episodes computed at once, on each device. Otherwise 1 for pictures on a CPU, where that is
            fastest, else all.
        val_episodes: episodes of each validation.
        weight_decay: so many times the parameters are added to their gradient; otherwise nothing.
        least_shot: in training, each class of an episode has a number of support examples from this to all of them,
            which each episode draws; otherwise always all.
        label_smoothing: the share of a label that is spread over all classes, in the inner loop too; otherwise none.
    """

    outer_lr: float = setting(1e-3, above=0, swept=True)
    outer_steps: int = setting(2000, least=1, grows=True)
    meta_batch_size: int = setting(32, least=1)
    outer_optimizer: str = setting("adam", choices=OUTER_OPTIMIZERS)
    outer_schedule: str = setting("constant", choices=SCHEDULES)
    chunk_size: int | None = setting(None, least=1)
    val_episodes: int = setting(100, least=1)
    weight_decay: float | None = setting(None, above=0)
    least_shot: int | None = setting(None, least=1)
    label_smoothing: float | None = setting(None, above=0, most=0.99)


@dataclasses.dataclass(frozen=True)
class Settings:
    """Meta-train a learner and keep it in a run folder.

    Attributes:
        algorithm: how to learn. With an inner loop: maml, fomaml (MAML without second derivatives), maml++, meta-sgd
            (learns a rate for every parameter), reptile, imaml, bootstrapped, anil (adapts the last layer only), boil
            (all others only), cavia (a context only), proto-maml (from prototypes). By comparison with the support set:
            prototypical, matching, matching-cosine, matching-fce, siamese, relation, ridge, neural-process, attention.
            Without episodes: baseline, baseline++, rfs. Those of `jmeta bayes`: deep-kernel, alpaca, bayesian-maml,
            platipus, abml, versa, meta-qda. Or FILE.py:NAME or MODULE:NAME, your own; `jmeta list learners` and
            `jmeta list bayesian-learners`.
        learner: what the algorithm can be told, and no more.
        tasks: what is learned from.
        network: what learns.
        outer: how it is trained.
    """

    algorithm: str
    learner: Any
    tasks: Tasks
    network: Network
    outer: Outer

    def __post_init__(self) -> None:
        object.__setattr__(self, "algorithm", spelled(self.algorithm))


def defaults(choice: Choice) -> tuple[Settings, Options]:
    """What to start from, for an algorithm on a kind of data: what is usual, then what the data have of their own, then
    what the algorithm has.
    """
    row, source = LEARNERS.get(choice.algorithm), sources.row(choice.dataset)
    tasks = Tasks(choice.dataset, rotations=source.turned)
    start = Settings(choice.algorithm, row.settings(), tasks, source.network, Outer())
    own = {**source.start, **(row.on_vectors if source.light else row.on_pictures)}
    known = flat.names(start)
    start = flat.replaced(start, {name: value for name, value in own.items() if name in known})
    return start, Options(log_every=1000, save_every=5000) if source.light else Options()


def settings_of(**values: Any) -> Settings:
    """The settings of an algorithm on a kind of data, with some of them changed, by their flat names.

    Example:
        >>> settings = settings_of(algorithm="imaml", way=20, regularization=1.0)
        >>> settings.tasks.way, settings.learner.regularization, settings.learner.inner.inner_steps
        (20, 1.0, 1)

    Raises:
        RunError: for an algorithm that isn't there, or a setting that it doesn't have.
    """
    chosen = {field.name: values[field.name] for field in dataclasses.fields(Choice) if field.name in values}
    return flat.replaced(defaults(Choice(**chosen))[0], values)


def check(settings: Settings, options: Options | None = None) -> None:
    """Refuse settings that no data could make sense of; the RunError names the setting and what it may be."""
    name, tasks, network = settings.algorithm, settings.tasks, settings.network
    row, source = LEARNERS.get(name), sources.row(tasks.dataset)
    if type(settings.learner) is not row.settings:
        raise RunError(
            f"{name} has settings {row.settings.__name__}, got {type(settings.learner).__name__}: "
            "leave --algorithm or what it was chosen by, such as a preset of another, out."
        )
    flat.check(settings)
    nets.check(network)
    if row.ordinary and source.sampler is not None:
        raise RunError(
            f"{name} learns from all training classes at once, and {tasks.dataset} has none: "
            "choose another --algorithm or --dataset."
        )
    if not row.numbers and source.numbers:
        raise RunError(f"{name} tells classes apart, and {tasks.dataset} has none: choose another --algorithm.")
    if not row.classes and not source.numbers:
        raise RunError(f"{name} predicts numbers, and {tasks.dataset} has classes: choose --dataset sinusoid-e, say.")
    if row.fixed_way and tasks.train_way not in (None, tasks.way):
        raise RunError(f"{name} has parameters for each of its {tasks.way} classes: leave --train-way out.")
    if NETWORKS.get(network.network).dense and not row.dense:
        raise RunError(f"{name} has no network with a 512-unit layer: choose another --network.")
    if settings.outer.label_smoothing is not None and (source.numbers or not row.told_loss):
        raise RunError(f"{name} on {tasks.dataset} has no loss of labels to smooth: leave --label-smoothing out.")
    chunk, size = settings.outer.chunk_size, settings.outer.meta_batch_size
    if chunk is not None and size % chunk:
        raise RunError(f"--chunk-size must divide --meta-batch-size, got {chunk} and {size}: choose another.")
    _check_source(tasks, source, network)
    _check_least_shot(settings, row.ordinary or source.sampler is not None)


def _check_least_shot(settings: Settings, no_shots: bool) -> None:
    least, most = settings.outer.least_shot, settings.tasks.train_shot or settings.tasks.shot
    if least is not None and no_shots:
        raise RunError("--least-shot needs episodes of a data set, of which training has none: leave it out.")
    if least is not None and least > most:
        raise RunError(f"--least-shot must be 1 to {most}, the shots of training, got {least}: choose another.")


def _check_source(tasks: Tasks, source: sources.Row, network: Network) -> None:
    name = tasks.dataset
    changed = tasks.within_groups or tasks.augment != "none" or tasks.rotations or tasks.image_size is not None
    named, elsewhere = tasks.test.test_classes is not None, tasks.test.test_dataset is not None
    if named and (elsewhere or tasks.split != "default"):
        other = "--test-dataset" if elsewhere else "--split"
        raise RunError(f"--test-classes and {other} each say what the test is: give one of them.")
    if tasks.test.test_classes is not None and not tasks.test.test_classes.strip(" ,"):
        raise RunError("--test-classes must name classes, as in --test-classes oak,elm: got none.")
    if source.sampler is not None and (named or elsewhere):
        raise RunError(f"{name} draws its tasks, so that none are for the test alone: leave --test-... out.")
    if source.sampler is not None and changed:
        raise RunError(f"{name} has no pictures: leave --within-groups, --augment, --rotations and --image-size out.")
    if tasks.within_groups and not source.groups:
        raise RunError(f"{name} has no groups of classes: leave --within-groups out.")
    if source.way is not None and tasks.way != source.way:
        raise RunError(f"{name} has tasks of one way, {source.way}, got --way {tasks.way}: leave it out.")
    for flag, way in (("--way", tasks.way), ("--train-way", tasks.train_way)):
        if way == 1 and not source.numbers:
            raise RunError(f"{flag} must be 2 or more classes to tell apart, got 1: choose another.")
    _check_reading(tasks, source, network)
    if source.light and not source.sentences and not NETWORKS.get(network.network).vectors:
        raise RunError(f"{name} has no pictures, so --network must be mlp or linear, got {network.network}.")


def _check_reading(tasks: Tasks, source: sources.Row, network: Network) -> None:
    name, told, row = tasks.dataset, flat.to_dict(tasks.reading), NETWORKS.get(network.network)
    if not source.sentences:
        for flag, value in told.items():
            if flag != "strict" and value is not None:
                raise RunError(f"{name} has no sentences: leave {flat.flag(flag)} out.")
        return
    if tasks.augment != "none" or tasks.rotations or tasks.image_size is not None:
        raise RunError(f"{name} has no pictures: leave --augment, --rotations and --image-size out.")
    text = text_of(tasks, network)
    if not (row.tokens if text == "tokens" else row.vectors):
        right = [n for n, r in NETWORKS.items() if (r.tokens if text == "tokens" else r.vectors)]
        raise RunError(
            f"{name} is read as {text}, so --network must be one of {', '.join(right)}, got {network.network}."
        )
    for flag, other in (("text_length", "tfidf"), ("text_features", "tokens")):
        if text == other and told[flag] is not None:
            raise RunError(f"{name} is read as {text}, which has no {flat.flag(flag)}: leave it out.")


def text_of(tasks: Tasks, network: Network) -> str:
    """How sentences are read: as the settings say, or as tokens where the network takes them."""
    return tasks.reading.text or ("tokens" if NETWORKS.get(network.network).tokens else "tfidf")


def run_dir(settings: Settings, options: Options) -> str:
    """`runs/maml-omniglot-5w1s`, with the seed where it isn't 0, and what a group of runs is of."""
    tasks = settings.tasks
    size = f"-{tasks.way}w{tasks.shot}s" if sources.row(tasks.dataset).way is None else ""
    return f"runs/{short(settings.algorithm)}-{short(tasks.dataset)}{size}{suffix(settings, options)}"
