"""Settings of a training run: a frozen dataclass that is the command line, the record and the way back from it."""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping
from typing import Any

from jmeta.errors import RunError, unknown

WITH_INNER_LOOP = (
    "maml", "fomaml", "anil", "meta-sgd", "reptile", "imaml", "maml++", "bootstrapped", "boil", "cavia",
    "proto-maml",
)  # fmt: skip
ORDINARY = ("baseline", "baseline++")
"""Those that are trained on ordinary batches, of all training classes."""
WITHOUT_INNER_LOOP = (
    "prototypical", "matching", "matching-cosine", "matching-fce", "siamese", "relation", "ridge",
    "neural-process", "attention", *ORDINARY,
)  # fmt: skip
CLASSIFIERS = ("prototypical", "matching", "matching-cosine", "matching-fce", "siamese", "relation", "proto-maml")
"""Those that have no use for targets that are numbers."""
ANY_WAY = (*WITHOUT_INNER_LOOP, "proto-maml")
"""Those without parameters for each class of an episode."""
ALGORITHMS = (*WITH_INNER_LOOP, *WITHOUT_INNER_LOOP)
NETWORKS = ("conv4", "conv4-flat", "conv4-pool", "convnet2-512", "convnet8", "mlp", "linear")
NORMS = ("batch", "support", "group", "layer", "none")
INNER_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adam", "adam-b0")
OUTER_OPTIMIZERS = ("adam", "nesterov", "sgd", "sam")
SCHEDULES = ("constant", "cosine", "linear")
INNER_GRADS = ("reverse", "remat", "mixed")
PRECISIONS = ("float32", "bfloat16")
AUGMENTS = ("none", "affine")
SWEPT = ("inner_lr", "outer_lr")
VECTOR_TASKS = ("sinusoid", "linear")

OWN_SETTINGS = {"regularization": "imaml", "context_size": "cavia", "target_steps": "bootstrapped"}
"""What a single algorithm takes."""

_CHOICES = {
    "algorithm": ALGORITHMS,
    "network": NETWORKS,
    "norm": NORMS,
    "inner_optimizer": INNER_OPTIMIZERS,
    "outer_optimizer": OUTER_OPTIMIZERS,
    "outer_schedule": SCHEDULES,
    "inner_grad": INNER_GRADS,
    "precision": PRECISIONS,
    "augment": AUGMENTS,
}
_AT_LEAST_ONE = [
    "way",
    "shot",
    "query_shot",
    "meta_batch_size",
    "outer_steps",
    "log_every",
    "save_every",
    "val_episodes",
    "chunk_size",
    "devices",
    "train_way",
    "context_size",
    "target_steps",
    "anneal_steps",
    "train_shots",
    "inner_batch_size",
    "eval_inner_batch_size",
    "seeds",
]
_AT_LEAST_ZERO = ("inner_steps", "eval_inner_steps", "truncation", "seed")
OWN_FIELDS = ("data_dir", "compile_cache", "coordinator", "num_processes", "process_id")
"""What each process of a run may have its own of."""
_PLACE_FIELDS = (*OWN_FIELDS, "run_dir", "resume", "preset", "devices")
_LATER_FIELDS = (
    "inner_grad", "truncation", "precision", "seeds", "sweep", "within_groups", "augment",
    "train_way", "regularization", "context_size", "target_steps", "anneal_steps",
)  # fmt: skip
"""What run folders of earlier versions lack, and had the default of."""


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Meta-train a learner and keep it in a run folder.

    Without flags: MAML on glyphs, 5-way 1-shot. `--preset NAME` starts from a published setting, and a flag beside it
    wins. Ctrl-C or SIGTERM saves and stops; the same command with `--resume` goes on as if nothing had happened.

    Attributes:
        dataset: what tasks are made of: omniglot, glyphs, glyphs:N, digits, tfds:NAME, the path of an .npz file or of a
            folder with a sub-folder of pictures for each class; or sinusoid (curves to regress) or linear (binary
            tasks). `jmeta data list` shows what is there.
        algorithm: how to learn. With an inner loop: maml, fomaml (MAML without second derivatives), maml++, meta-sgd
            (learns a rate for every parameter), reptile, imaml, bootstrapped, anil (adapts the last layer only), boil
            (all others only), cavia (a context only), proto-maml (from prototypes). By comparison with the support set:
            prototypical, matching, matching-cosine, matching-fce, siamese, relation, ridge, neural-process, attention.
            Without episodes: baseline, baseline++.
        preset: a published setting to start from, such as maml-omniglot-5w1s; `jmeta presets` lists them.
        way: classes in an episode.
        shot: support examples of each class: what is learned from.
        query_shot: query examples of each class: what the adapted learner is judged by.
        inner_lr: step size of the inner loop. Losses here are means over examples; code that sums over classes, as
            MAML's does, prints a rate that acts way times over: its 0.4 for 5-way and its 0.1 for 20-way are 2.0 here.
            Meta-SGD starts its rates from it.
        inner_steps: inner steps in training.
        outer_lr: step size of the outer loop, before its schedule.
        outer_steps: how many outer steps to train for.
        meta_batch_size: episodes in each outer step.
        seed: decides the initial parameters and all episodes.
        seeds: train so many seeds, from --seed on, side by side in one program; each has a run folder of its own in the
            run folder, and is what its single run would be.
        sweep: train with each of several rates in the same way, as in --sweep inner_lr=0.1,0.4 outer_lr=1e-3,3e-3;
            every combination is trained, with every seed. inner_lr and outer_lr can be swept.
        regularization: iMAML's lambda, how strongly a task is held at the parameters it started from.
        context_size: numbers that CAVIA adapts to a task.
        target_steps: steps that the bootstrapped learner's target is ahead.
        anneal_steps: outer steps over which MAML++'s losses before the last inner step fade out; second derivatives
            come in after three times as many. Otherwise a tenth of all.
        data_dir: the folder of data sets; otherwise $JMETA_DATA, otherwise a folder in the user's cache.
        run_dir: where the run is kept; otherwise runs/ALGORITHM-DATASET-WAYwSHOTs.
        resume: go on with the run in the run folder, bit for bit as if it had never stopped.
        split: which classes are for training, validation and test: finn, lake, small1, small2, classes or default,
            which is finn for Omniglot.
        rotations: turn each class of each episode by its own multiple of 90 degrees, in all parts of the split; within
            groups, all classes of an episode by the same one.
        within_groups: draw the classes of an episode from one group of classes, such as the characters of an alphabet,
            in all parts of the split; harder, and closer to Omniglot's official test.
        augment: how pictures are changed in training: none, or affine (turned, stretched, slanted and moved a little,
            each by its own random amount).
        network: conv4 (four strided convolutions, mean over positions), conv4-flat (all positions), conv4-pool
            (max-pooling), convnet2-512 (two blocks and a 512-unit layer), convnet8, mlp, or linear.
        features: channels of the convolutions (one number, or one for each), or units of the MLP's layers.
        norm: whose statistics normalise: batch (of the examples at hand, queries included: transductive), support,
            group, layer, or none.
        inner_optimizer: sgd, momentum, nesterov, adam, or adam-b0 (Adam with b1 = 0, Reptile's).
        inner_grad: how the inner loop is differentiated: reverse (jax.grad), remat (its steps computed again), or mixed
            (forward over reverse); the latter two give the same gradient with less memory for many inner steps.
        truncation: differentiate through the last so many inner steps alone; otherwise through all.
        precision: what the network computes in: float32, or bfloat16; parameters, losses and updates stay in float32.
        outer_optimizer: adam, nesterov, sgd, or sam (sharpness-aware Adam).
        outer_schedule: of the outer step size: constant, cosine, or linear; the latter two end at zero.
        train_way: classes in an episode of training, if not way, for algorithms without a head for each class: telling
            more classes apart in training makes fewer easier.
        train_shots: support examples of each class in training, if not shot. Reptile trains on more than it is tested
            on.
        inner_batch_size: examples of each inner step, for Reptile; otherwise the whole support set.
        eval_inner_steps: inner steps in validation and evaluation; otherwise as in training.
        eval_inner_batch_size: examples of each inner step in validation and evaluation, for Reptile.
        chunk_size: episodes computed at once, on each device. Otherwise 1 for pictures on a CPU, where that is
            fastest, else all.
        log_every: outer steps between rows of metrics.jsonl.
        save_every: outer steps between checkpoints, each with a validation; a multiple of log_every.
        val_episodes: episodes of each validation.
        compile_cache: keep compiled programs for the next start, in $JMETA_CACHE or the user's cache folder.
        devices: how many share the episodes of each outer step, of all processes together. Otherwise all GPUs or TPU
            cores; on a CPU one for each core, as far as they divide the meta-batch, and one for tasks without pictures;
            and in several processes all. A run may go on with another number, but it is the same
            bit for bit with the same number alone, which --resume takes if it is there.
        coordinator: HOST:PORT of the first process, where several meet: start the same command once for each, with
            this flag and the next two. On a TPU pod, under SLURM and under Open MPI none of them is needed.
        num_processes: how many processes; 1 alone keeps a process of a cluster by itself.
        process_id: which of them this is, from 0. The first keeps the run folder and talks; the others are silent.
    """

    dataset: str = "glyphs"
    algorithm: str = "maml"
    preset: str | None = None
    way: int = 5
    shot: int = 1
    query_shot: int = 5
    inner_lr: float = 0.4
    inner_steps: int = 1
    outer_lr: float = 1e-3
    outer_steps: int = 2000
    meta_batch_size: int = 32
    seed: int = 0
    seeds: int | None = None
    sweep: tuple[str, ...] = ()
    data_dir: str | None = None
    run_dir: str | None = None
    resume: bool = False
    split: str = "default"
    rotations: bool = False
    within_groups: bool = False
    augment: str = "none"
    network: str = "conv4"
    features: tuple[int, ...] = (64,)
    norm: str = "batch"
    inner_optimizer: str = "sgd"
    inner_grad: str = "reverse"
    truncation: int | None = None
    precision: str = "float32"
    outer_optimizer: str = "adam"
    outer_schedule: str = "constant"
    train_way: int | None = None
    regularization: float | None = None
    context_size: int | None = None
    target_steps: int | None = None
    anneal_steps: int | None = None
    train_shots: int | None = None
    inner_batch_size: int | None = None
    eval_inner_steps: int | None = 3
    eval_inner_batch_size: int | None = None
    chunk_size: int | None = None
    log_every: int = 50
    save_every: int = 500
    val_episodes: int = 100
    compile_cache: bool = True
    devices: int | None = None
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None


def normalise(config: TrainConfig) -> TrainConfig:
    """The same settings with one spelling for each algorithm, and what a data set fixes."""
    changes: dict[str, Any] = {"algorithm": config.algorithm.lower().replace("_", "-")}
    if config.dataset in VECTOR_TASKS:
        changes["way"] = 1 if config.dataset == "sinusoid" else 2
    return dataclasses.replace(config, **changes)


def check(config: TrainConfig) -> None:
    """Refuse settings that no data could make sense of.

    Raises:
        RunError: naming the setting and what it may be.
    """
    for name, choices in _CHOICES.items():
        if getattr(config, name) not in choices:
            raise unknown(name.replace("_", " "), getattr(config, name), choices)
    for names, least in ((_AT_LEAST_ONE, 1), (_AT_LEAST_ZERO, 0)):
        for name in names:
            value = getattr(config, name)
            if value is not None and value < least:
                raise RunError(f"{flag(name)} must be {least} or more, got {value}: choose another.")
    for name in ("inner_lr", "outer_lr", "regularization"):
        value = getattr(config, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise RunError(f"{flag(name)} must be a number above 0, got {value}: choose another.")
    if (not config.features and config.network != "linear") or any(f < 1 for f in config.features):
        raise RunError(f"--features must be numbers of 1 or more, got {config.features or 'none'}: give at least one.")
    _check_together(config)


def _check_together(config: TrainConfig) -> None:
    if config.seed + (config.seeds or 1) > 2**32:
        raise RunError(f"--seed must be below 2^32, got {config.seed + (config.seeds or 1) - 1}: choose another.")
    if is_group(config) and (config.coordinator is not None or (config.num_processes or 1) > 1):
        raise RunError("--seeds and --sweep are for a single process: leave --coordinator and --num-processes out.")
    swept(config)
    if config.save_every % config.log_every:
        raise RunError(
            f"--save-every must be a multiple of --log-every, got {config.save_every} and {config.log_every}: "
            f"try --save-every {math.ceil(config.save_every / config.log_every) * config.log_every}."
        )
    if config.chunk_size is not None and config.meta_batch_size % config.chunk_size:
        raise RunError(
            f"--chunk-size must divide --meta-batch-size, got {config.chunk_size} and {config.meta_batch_size}."
        )
    for name, owner in OWN_SETTINGS.items():
        if (getattr(config, name) is None) == (config.algorithm == owner):
            wrong = "needs" if config.algorithm == owner else "does not take"
            raise RunError(f"{config.algorithm} {wrong} {flag(name)}, which is for {owner} alone: correct it.")
    if config.anneal_steps is not None and config.algorithm != "maml++":
        raise RunError(f"{config.algorithm} has no losses that fade out: leave --anneal-steps out.")
    if config.algorithm in WITHOUT_INNER_LOOP and (config.inner_steps or config.eval_inner_steps):
        raise RunError(f"{config.algorithm} has no inner loop: leave --inner-steps and --eval-inner-steps out.")
    if config.algorithm in CLASSIFIERS and config.dataset == "sinusoid":
        raise RunError(f"{config.algorithm} tells classes apart, and sinusoid has none: choose another --algorithm.")
    if config.algorithm in ORDINARY and config.dataset in VECTOR_TASKS:
        raise RunError(f"{config.algorithm} learns from all training classes at once, and {config.dataset} has none.")
    if config.network == "convnet2-512" and config.algorithm in ("cavia", "relation"):
        raise RunError(f"{config.algorithm} has no network with a 512-unit layer: choose another --network.")
    if config.train_way not in (None, config.way) and config.algorithm not in ANY_WAY:
        raise RunError(
            f"{config.algorithm} has parameters for each of its {config.way} classes: leave --train-way out."
        )
    if config.algorithm in ("meta-sgd", "maml++") and config.inner_optimizer != "sgd":
        raise RunError(
            f"{config.algorithm} learns its own steps, so --inner-optimizer must be sgd, got {config.inner_optimizer}."
        )
    if config.algorithm in ("reptile", "imaml") and (config.inner_grad != "reverse" or config.truncation is not None):
        raise RunError(
            f"{config.algorithm} does not differentiate its inner loop: leave --inner-grad and --truncation out."
        )
    if config.algorithm in ("maml++", "bootstrapped") and config.truncation is not None:
        raise RunError(f"{config.algorithm} has no truncation: leave --truncation out.")
    if config.algorithm == "fomaml" and config.truncation is not None:
        raise RunError("fomaml is maml with --truncation 0: leave --truncation out, or choose --algorithm maml.")
    if config.algorithm != "reptile" and (config.inner_batch_size or config.eval_inner_batch_size):
        raise RunError(
            f"inner mini-batches are for reptile, got --algorithm {config.algorithm}: "
            "leave --inner-batch-size and --eval-inner-batch-size out."
        )
    if config.dataset in VECTOR_TASKS and (config.within_groups or config.augment != "none"):
        raise RunError(f"{config.dataset} has no pictures: leave --within-groups and --augment out.")
    if config.dataset in VECTOR_TASKS and config.network not in ("mlp", "linear"):
        raise RunError(f"{config.dataset} has no pictures, so --network must be mlp or linear, got {config.network}.")


def swept(config: TrainConfig) -> dict[str, tuple[float, ...]]:
    """The rates of each setting in `sweep`: `("inner_lr=0.1,0.4",)` to `{"inner_lr": (0.1, 0.4)}`.

    Raises:
        RunError: for a setting that can't be swept or is there twice, or values that aren't different numbers above 0.
    """
    found: dict[str, tuple[float, ...]] = {}
    for words in config.sweep:
        given, _, values = words.partition("=")
        name = given.replace("-", "_")
        if name not in SWEPT:
            raise RunError(f"--sweep takes {' and '.join(SWEPT)}, as in inner_lr=0.1,0.4, got {words!r}: name one.")
        rates = [_rate(text) for text in values.split(",")]
        if any(rate is None for rate in rates):
            raise RunError(f"--sweep {name} must be numbers above 0 with commas between, got {values!r}: correct it.")
        if name in found or len(set(rates)) < len(rates):
            raise RunError(f"--sweep has {name if name in found else values!r} more than once: leave one out.")
        found[name] = tuple(rate for rate in rates if rate is not None)
    return found


def _rate(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def is_group(config: TrainConfig) -> bool:
    """Whether the settings are of several runs."""
    return config.seeds is not None or bool(config.sweep)


def members(config: TrainConfig) -> dict[str, TrainConfig]:
    """The settings of each run of a group, by what it differs in, such as `seed3-inner_lr0.4`."""
    rates = swept(config)
    seeds = range(config.seed, config.seed + (config.seeds or 1))
    found = {}
    for values in itertools.product(*rates.values()):
        chosen = dict(zip(rates, values, strict=True))
        for seed in seeds:
            parts = [f"seed{seed}"] if config.seeds is not None else []
            name = "-".join(parts + [f"{key}{value!r}" for key, value in chosen.items()])
            found[name] = dataclasses.replace(config, **chosen, seed=seed, seeds=None, sweep=())
    return found


def flag(name: str) -> str:
    """The flag of a field: `query_shot` to `--query-shot`."""
    return "--" + name.replace("_", "-")


def to_dict(config: TrainConfig) -> dict[str, Any]:
    """The settings as JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def from_dict(values: Mapping[str, Any]) -> TrainConfig:
    """The settings of a `config.json`; what else is in there is left out.

    Raises:
        RunError: if a setting is missing.
    """
    names = [f.name for f in dataclasses.fields(TrainConfig)]
    missing = [name for name in names if name not in values and name not in (*_PLACE_FIELDS, *_LATER_FIELDS)]
    if missing:
        raise RunError(f"config.json lacks {', '.join(missing)}: it was made by another version, or changed by hand.")
    fields = {name: values[name] for name in names if name in values}
    return TrainConfig(**{**fields, **{n: tuple(fields[n]) for n in ("features", "sweep") if n in fields}})


def differences(config: TrainConfig, other: TrainConfig) -> list[str]:
    """`--flag a, not b` for each setting that decides results and differs."""
    mine, others = to_dict(config), to_dict(other)
    return [
        f"{flag(name)} {others[name]}, not {value}"
        for name, value in mine.items()
        if name not in _PLACE_FIELDS and value != others[name]
    ]


def default_run_dir(config: TrainConfig) -> str:
    """`runs/maml-omniglot-5w1s`, with the seed where it isn't 0."""
    dataset = config.dataset.rstrip("/").rpartition("/")[2].removesuffix(".npz").replace(":", "-")
    size = "" if config.dataset in VECTOR_TASKS else f"-{config.way}w{config.shot}s"
    seed = f"-seed{config.seed}" if config.seed else ""
    many = f"-{config.seeds}seeds" if config.seeds is not None else ""
    return f"runs/{config.algorithm}-{dataset}{size}{seed}{many}" + "".join(f"-{name}" for name in swept(config))
