"""Named protocols that divide the classes of a data set into train, validation and test.

Shuffles sort by the SHA-256 of each class name, so they depend on no library's random numbers, nor on the order of
the classes, and stay the same for ever.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import numpy as np

from jmeta.datasets.divisions import TEST, by_name, is_division, of_file, tested
from jmeta.datasets.published import DIVISIONS, Division, classes_of
from jmeta.errors import DataError

_SEED = "jmeta-1"
_FINN_SIZES = (1100, 100, 423)
_LAKE_VALIDATION_ALPHABETS = 5
_FEW_CLASSES, _TOO_FEW_TO_VALIDATE = 32, 7
PARTS = {"train": 0, "val": 1, "valid": 1, "validation": 1, "test": 2}

# fmt: off
_EVALUATION = frozenset({
    "Angelic", "Atemayar_Qelisayer", "Atlantean", "Aurek-Besh", "Avesta", "Ge_ez", "Glagolitic", "Gurmukhi",
    "Kannada", "Keble", "Malayalam", "Manipuri", "Mongolian", "Old_Church_Slavonic_(Cyrillic)", "Oriya", "Sylheti",
    "Syriac_(Serto)", "Tengwar", "Tibetan", "ULOG",
})
# fmt: on
# Training and validation alphabets; the latter is the smallest that still has 20 characters for a 20-way episode.
_SMALL = {
    "small1": ({"Balinese", "Greek", "Korean", "Latin"}, {"Early_Aramaic"}),
    "small2": ({"Japanese_(katakana)", "Latin", "Sanskrit", "Tagalog"}, {"Greek"}),
}
# The published division of a data set by its name, and those that keep groups of classes whole.
_OWN_DIVISION = {"cifar-fs": "cifar-fs", "fc100": "fc100", "mini-imagenet": "ravi", "tiny-imagenet": "meta-dataset"}
_WHOLE_GROUPS = {"fc100"}


class Classes(Protocol):
    """What a division is made by: the names of a data set, of its classes, and of their groups."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def class_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def groups(self) -> tuple[str, ...]: ...  # noqa: D102


class Split(NamedTuple):
    """A division of a data set's classes for meta-learning.

    protocol: name of the rule that made it.
    train, val, test: class indices, sorted int32; no class is in two of them.
    hash: 16 hex digits over data set name, protocol and the class names in each part.
    """

    protocol: str
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray
    hash: str


_Parts = tuple[Iterable[int], Iterable[int], Iterable[int]]


def protocols(dataset: Classes) -> tuple[str, ...]:
    """The names of the protocols that `dataset` can be split by, the default one first."""
    return tuple(_protocols(dataset))


def whole_groups(dataset: Classes, protocol: str) -> str:
    """A protocol by its name, of which the default one has each alphabet of Omniglot in one part alone."""
    return "lake" if protocol == "default" and "lake" in protocols(dataset) else protocol


def split(dataset: Classes, protocol: str = "default") -> Split:
    """Divides the classes of a data set.

        finn     Omniglot: 1100 train, 100 validation, 423 test, shuffled.
        lake     Omniglot: background alphabets against evaluation alphabets; validation is 5 background alphabets.
        small1   Omniglot: the first small set of five background alphabets, of which Early_Aramaic is validation,
                 against the evaluation alphabets.
        small2   the same with the second small set, of which Greek is validation.
        cifar-fs CIFAR-100: 64 train, 16 validation, 20 test.
        fc100    CIFAR-100: 60 train, 20 validation, 20 test, of 12, 4 and 4 whole superclasses.
        ravi     miniImageNet: 64 train, 16 validation, 20 test.
        meta-dataset   Tiny ImageNet: its 160, 13 and 27 classes in Meta-Dataset's division of ImageNet by the WordNet
                 tree, of which validation and test have no relatives in training.
        classes  64 % train, 16 % validation, 20 % test, shuffled; below 32 classes 40 %, 30 % and 30 %, so that ten
                 classes give 4, 3 and 3: at most 3-way episodes in every part. Below seven, half of them are for the
                 test, and validation is empty.
        folders  the classes of the folders train, val (or valid, validation) and test, where all classes are in these.
                 Without val, some of train are for validation, as many as below.
        all      every class in test, train and validation empty: for a learner trained on other data.
        FILE.json, FILE.json:KEY   the classes that a file names for train, val and test, see `divisions.of_file`; val
                 and test may be empty.
        test=a,b,c   these classes for the test; of the others, a fifth is validation, shuffled, or five if they are
                 few, but no more than 3 / 7. `test=` alone has no test: for a learner that is tested on other data.
        default  `finn` where all 1,623 classes of Omniglot are there; its own of the data sets cifar-fs, fc100,
                 mini-imagenet and tiny-imagenet; `folders` where there are such; else `classes`.

    Returns:
        The `Split`. `split.protocol` names the protocol used, never "default", and a file without its folders.

    Raises:
        DataError: a protocol that this data set does not have, or too few classes for it; one of the three folders
            missing, or a class in two of them.

    Source: finn: Finn et al. 2017, Model-Agnostic Meta-Learning, section 5.2 (1,200 classes for training, of which
    100 became validation in the authors' code; the authors' shuffle is not published, so this one is another).
    Papers of cifar-fs, fc100, ravi and meta-dataset are in `published`.
    lake, small1, small2: Lake et al. 2015, Human-level concept learning through probabilistic program induction.
    """
    known = _protocols(dataset)
    name = next(iter(known)) if protocol == "default" else protocol
    if name not in known and not is_division(name):
        part = " (a part of one is --part)" if protocol in ("train", "val", "test") else ""
        raise DataError(
            f"{dataset.name} has no split protocol {protocol!r}{part}: choose one of {', '.join(known)} or default, or "
            "give a FILE.json."
        )
    parts = known[name]() if name in known else _own(dataset.class_names, name)
    train, val, test = (np.array(sorted(part), np.int32) for part in parts)
    assert len({*train, *val, *test}) == len(train) + len(val) + len(test), "the parts of a split share classes"
    own = is_division(name)
    may_lack_test = name == TEST or (own and not name.startswith(TEST))
    if not (len(test) or may_lack_test) or (name != "all" and not len(train)):
        number = len(dataset.class_names)
        if own:
            raise DataError(
                f"{name} leaves training or the test without classes, of the {number} of {dataset.name}: name some for "
                "both."
            )
        raise DataError(
            f"{number} classes of {dataset.name} can't be divided for training, validation and test by the protocol "
            f"{name}: give 4 or more, or name those of the test by --test-classes."
        )
    names = [sorted(dataset.class_names[i] for i in part) for part in (train, val, test)]
    name = by_name(name)
    digest = hashlib.sha256(json.dumps([dataset.name, name, names]).encode()).hexdigest()[:16]
    return Split(name, train, val, test, digest)


def _protocols(dataset: Classes) -> dict[str, Callable[[], _Parts]]:
    n, groups = len(dataset.class_names), dataset.groups
    found: dict[str, Callable[[], _Parts]] = {}
    if n == sum(_FINN_SIZES) and set(groups) > _EVALUATION:
        background = sorted(set(groups) - _EVALUATION, key=_shuffle_key)
        val, train = background[:_LAKE_VALIDATION_ALPHABETS], background[_LAKE_VALIDATION_ALPHABETS:]
        found["finn"] = lambda: _shuffled(dataset.class_names, _FINN_SIZES)
        found["lake"] = lambda: _by_group(groups, train, val, _EVALUATION)
    for name, parts in _SMALL.items():
        if set(groups) >= _EVALUATION.union(*parts):
            found[name] = partial(_by_group, groups, *parts, _EVALUATION)
    published = {name: division for name, division in DIVISIONS.items() if _has(dataset, division)}
    own = _OWN_DIVISION.get(dataset.name)
    if own in published:
        found[own] = partial(_by_names, dataset, own)
    tops = [group.partition("/")[0].lower() for group in groups]
    if set(tops) <= PARTS.keys() and len({PARTS[top] for top in tops}) > 1:
        found["folders"] = lambda: _by_folder(dataset, [PARTS[top] for top in tops])
    found["classes"] = lambda: _dealt(dataset, tops)
    found |= {name: partial(_by_names, dataset, name) for name in published if name != own}
    found["all"] = lambda: ((), (), range(n))
    return found


def _has(dataset: Classes, division: Division) -> bool:
    """Whether the classes of a data set are those of a published division, by their names or last folders."""
    names = sorted(_last(dataset.class_names))
    return names == sorted(_last(classes_of(division)))


def _last(names: Sequence[str]) -> list[str]:
    return [name.rpartition("/")[2] for name in names]


def _by_names(dataset: Classes, protocol: str) -> _Parts:
    division = DIVISIONS[protocol]
    if protocol in _WHOLE_GROUPS:
        above = [{name.rpartition("/")[0] for name in part} for part in (division.train, division.val, division.test)]
        assert len(set().union(*above)) == sum(map(len, above)), f"two parts of {protocol} share a group"
    place = {name: i for i, name in enumerate(_last(dataset.class_names))}
    train, val, test = ([place[name] for name in _last(part)] for part in division[:3])
    return train, val, test


def _dealt(dataset: Classes, tops: Sequence[str]) -> _Parts:
    if set(tops) <= PARTS.keys():
        _check_once(dataset)
    return _shuffled(dataset.class_names, _sizes(len(dataset.class_names)))


def _own(names: Sequence[str], protocol: str) -> _Parts:
    if not protocol.startswith(TEST):
        return of_file(names, protocol)
    test, others = tested(names, protocol)
    return *_with_validation(names, others), test


def _with_validation(names: Sequence[str], others: Sequence[int]) -> tuple[list[int], list[int]]:
    """Classes for training and for validation, which gets a fifth, or five if they are few, but no more than 3 / 7, and
    none where that is one."""
    val = max(len(others) // 5, min(5, len(others) * 3 // 7))
    val = val if val > 1 else 0  # one class alone makes no episode
    order = sorted(others, key=lambda i: _shuffle_key(names[i]))
    return order[val:], order[:val]


def _sizes(n: int) -> tuple[int, int, int]:
    val, test = (n * 3 // 10, n * 3 // 10) if n < _FEW_CLASSES else (n * 16 // 100, n * 20 // 100)
    if n < _TOO_FEW_TO_VALIDATE:
        val, test = 0, n // 2 if n > 3 else 0
    return n - val - test, val, test


def _shuffle_key(name: str) -> str:
    return hashlib.sha256(f"{_SEED}/{name}".encode()).hexdigest()


def _shuffled(names: Sequence[str], sizes: tuple[int, int, int]) -> _Parts:
    order = sorted(range(len(names)), key=lambda i: _shuffle_key(names[i]))
    train, val, _ = sizes
    return order[:train], order[train : train + val], order[train + val :]


def _by_group(groups: Sequence[str], *parts: Iterable[str]) -> _Parts:
    train, val, test = ([i for i, group in enumerate(groups) if group in set(part)] for part in parts)
    return train, val, test


def _check_once(dataset: Classes) -> None:
    names = [name.partition("/")[2] for name in dataset.class_names]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            f"{dataset.name} has classes in several of the folders train, val and test, such as {twice}: put all "
            "pictures of a class into one, since each part needs classes of its own."
        )


def together(names: Sequence[str]) -> bool:
    """Whether classes are below train, val and test, and each part has those that another has too: a division of the
    pictures of all classes, as classifiers have it, and none of the classes."""
    found: dict[str, set[str]] = {}
    for name in names:
        top, _, rest = name.partition("/")
        found.setdefault(top, set()).add(rest)
    most = max(found.values(), key=len)
    known = {top.lower() for top in found} <= PARTS.keys() and len(found) > 1 and "" not in most
    return known and all(classes <= most for classes in found.values())


def _by_folder(dataset: Classes, parts: Sequence[int]) -> _Parts:
    missing = [name for name in ("train", "test") if PARTS[name] not in parts]
    if missing:
        raise DataError(
            f"{dataset.name} has folders of parts, but none called {missing[0]}: move some classes to one, or choose "
            "the protocol classes, which deals all classes anew."
        )
    _check_once(dataset)
    train, val, test = ([i for i, part in enumerate(parts) if part == k] for k in range(3))
    return (train, val, test) if val else (*_with_validation(dataset.class_names, train), test)
