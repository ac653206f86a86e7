"""The parts, in the order of what they are worth. No library is needed to read this file."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

LIMIT = 540.0
"""Seconds that a part has at most."""


class Part(NamedTuple):
    """What is measured in one process.

    Attributes:
        name: of the part.
        what: it gives, for people.
        minutes: that it is expected to take on a GPU.
        run: `MODULE:FUNCTION` in this package, a function from `protocol.Ask` and the options to `protocol.Outcome`.
        options: further arguments of the function.
        resumes: whether it can stop anywhere and go on from there; otherwise it begins anew.
    """

    name: str
    what: str
    minutes: float
    run: str
    options: Mapping[str, Any] = {}
    resumes: bool = False


def _speed(workload: str, what: str, minutes: float, tasks: int = 32) -> Part:
    options = {"workload": workload, "tasks": tasks}
    return Part(f"speed-{workload}", f"jmeta beside PyTorch: {what}", minutes, "speed:compared", options)


def _train(name: str, what: str, minutes: float, preset: str, published: str, seeds: int = 3) -> Part:
    options = {"preset": preset, "seeds": seeds, "published": {"": published}}
    return Part(name, what, minutes, "trainings:trained", options, resumes=True)


def _cifar(name: str, what: str, minutes: float, changes: dict[str, Any], published: dict[str, str]) -> Part:
    options = {
        "seeds": 1,
        "published": published,
        "normalized_by": "train",
        "changes": {
            "algorithm": "prototypical", "dataset": "cifar-fs", "augment": "crop-flip", "way": 5, "shot": 5,
            "query_shot": 5, "train_way": 20, "norm": "support", "meta_batch_size": 1,
            "outer_schedule": "cosine", "val_episodes": 200, **changes,
        },
        "tests": [{"way": 5, "shot": 1, "query_shot": 15}, {"way": 5, "shot": 5, "query_shot": 15}],
    }  # fmt: skip
    return Part(name, what, minutes, "trainings:trained", options, resumes=True)


_ALL = (
    Part("rates", "rate of a large matrix product in float32, TF32 and bfloat16", 1, "rates:measured"),
    Part("convolution", "convolution, chunk and precision, by measurement", 4, "convolutions:measured", resumes=True),
    _speed("conv4", "Conv4-64, 5-way 1-shot, 5 steps, second order", 3),
    _speed("sinusoid", "sine curves", 2, tasks=25),
    _train("maml-5w1s", "MAML's Omniglot, 60,000 steps, three seeds", 5, "maml-omniglot-5w1s", "98.7 +- 0.4"),
    _speed("omniglot", "MAML's Omniglot, 1 step", 2),
    _train("maml-20w1s", "the same, 20-way, one seed", 8, "maml-omniglot-20w1s", "95.8 +- 0.3", seeds=1),
    _speed("conv4-first", "Conv4-64, first order", 3),
    _speed("20-way", "Conv4-64, 20-way 5-shot", 3),
    _speed("anil", "ANIL", 3),
    _train("fomaml-5w1s", "FOMAML's Omniglot at its length, three seeds", 4, "fomaml-omniglot-5w1s", "98.3"),
    _train("anil-5w1s", "ANIL's Omniglot at its length, three seeds", 4, "anil-omniglot-5w1s", "-"),
    _train("meta-sgd-5w1s", "Meta-SGD's at its length, three seeds", 5, "meta-sgd-omniglot-5w1s", "99.53 +- 0.26"),
    _train("reptile-5w1s", "Reptile's at its length, three seeds", 6, "reptile-omniglot-5w1s", "97.68"),
    _cifar(
        "cifar-conv4", "CIFAR-FS, prototypical, Conv4", 3,
        {"network": "conv4-pool-flat", "outer_steps": 20_000, "outer_lr": 1e-3},
        {"5w1s": "55.5 +- 0.7", "5w5s": "72.0 +- 0.6"},
    ),
    _cifar(
        "cifar-resnet12", "CIFAR-FS, prototypical, ResNet-12", 5,
        {"network": "resnet12", "outer_steps": 10_000, "outer_lr": 5e-4},
        {"5w1s": "72.2 +- 0.7", "5w5s": "83.5 +- 0.5"},
    ),
    Part("memory", "memory and time at 1 to 1,000 inner steps", 3, "depth:measured", resumes=True),
    Part("rl2", "RL^2 on bandits, three seeds, beside the optimum", 3, "agents:trained", resumes=True),
    Part("environments", "steps of environments a second, and of RL^2", 2, "agents:rates"),
)  # fmt: skip
PARTS: dict[str, Part] = {part.name: part for part in _ALL}


def chosen(names: Iterable[str]) -> list[Part]:
    """Parts by name, or all; in the order of the table.

    Raises:
        ValueError: for a name that is none.
    """
    asked = list(names)
    for name in asked:
        if name not in PARTS:
            raise ValueError(f"there is no part {name!r}: choose from {', '.join(PARTS)}")
    return [part for part in _ALL if not asked or part.name in asked]
