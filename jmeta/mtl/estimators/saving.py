"""An estimator in one file, of arrays and JSON: nothing in it is run when it is read."""

import errno
import json
import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np

from jmeta.mtl.estimators.fields import check_fitted
from jmeta.report.arrays import DAMAGED, Declared, read_npz
from jmeta.report.files import writing

FORMAT = 1
_ABOUT = "about"


def write(path: str | os.PathLike[str], estimator: Any) -> None:
    """Write parameters and what was fitted: numbers, strings, arrays, and lists and dictionaries of them."""
    arrays: dict[str, np.ndarray] = {}
    parameters = {}
    for name, value in estimator.get_params(deep=False).items():
        try:
            parameters[name] = _encoded(value, arrays)
        except TypeError as error:
            raise ValueError(
                f"a file can't hold {name}={value!r}: give a name or a number by set_params({name}=...) before saving, "
                "which changes no prediction"
            ) from error
    fitted = {name: value for name, value in vars(estimator).items() if name.endswith("_") and name[0] != "_"}
    about = {
        "format": FORMAT,
        "estimator": type(estimator).__name__,
        "parameters": parameters,
        "fitted": {name: _encoded(value, arrays) for name, value in fitted.items()},
    }
    with writing(path) as file:
        np.savez(file, allow_pickle=False, **{_ABOUT: np.array(json.dumps(about)), **arrays})  # type: ignore[arg-type]


def read(path: str | os.PathLike[str], estimator: Any) -> Any:
    """The estimator that `write` wrote, each of whose fields is as `fit` makes it."""
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, and a saved estimator is a file: give the path that it was saved to")
    try:
        arrays = read_npz(path, lambda declared: _as_written(declared, os.path.getsize(path)))
    except DAMAGED as error:
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # which is a place before the file's start
            raise
        raise ValueError(f"{path} is damaged, or no file of an estimator, since {error}: save it again") from error
    try:
        about = json.loads(arrays.pop(_ABOUT).item())
        version, kind = about["format"], about["estimator"]
        parts = {part: {n: _decoded(v, arrays) for n, v in about[part].items()} for part in ("parameters", "fitted")}
    except _ODD as error:
        raise ValueError(f"{path} is damaged, or no file of an estimator: save it again") from error
    if version != FORMAT:
        raise ValueError(f"{path} is of format {version!r:.40}, and this jmeta reads {FORMAT}: save it again")
    if kind != estimator.__name__:
        raise ValueError(f"{path} holds a {kind!s:.40}: read it by {kind!s:.40}.load")
    try:
        _same_names("parameters", parts["parameters"], estimator().get_params(deep=False))
        found = estimator(**parts["parameters"])
        found._check_parameters()
        _same_names("fitted attributes", parts["fitted"], estimator._fitted, others=("feature_names_in_",))
        check_fitted(parts["fitted"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no estimator that was fitted, since {error}: save it again") from error
    vars(found).update(parts["fitted"])
    return found


_ODD = (ValueError, KeyError, EOFError, AttributeError, TypeError, OverflowError, RecursionError)
"""What JSON of anything may raise when it is taken for what `write` wrote."""


def _as_written(declared: Mapping[str, Declared], size: int) -> Collection[str]:
    """The names of the arrays, which are those that `write` gives and no larger than the file, as it packs nothing."""
    _same_names("arrays", declared, [_ABOUT, *(f"array_{i}" for i in range(len(declared) - 1))])
    if sum(one.nbytes for one in declared.values()) > size:
        raise ValueError("its arrays are larger than the file")
    return declared


def _same_names(what: str, found: Iterable[str], wanted: Iterable[str], others: Iterable[str] = ()) -> None:
    odd = sorted((set(wanted) - set(found)) | (set(found) - set(wanted) - set(others)))
    if odd:
        raise ValueError(f"of its {what} these are missing or unknown: {', '.join(odd)!r:.200}")


def _encoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Plain values as they are, others as a dictionary of one entry that says what they are."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return _encoded(value.item(), arrays)
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        if value.dtype != object:
            arrays[name] = value
            return {"array": name}
        if all(isinstance(item, str) for item in value.flat):
            arrays[name] = value.astype(str)
            return {"strings": name}
    if type(value) in (list, tuple):
        return {type(value).__name__: [_encoded(item, arrays) for item in value]}
    if type(value) is dict:
        return {"dict": [[_encoded(key, arrays), _encoded(item, arrays)] for key, item in value.items()]}
    raise TypeError(f"a file can't hold {value!r}")


def _decoded(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "dict":
        return {_decoded(key, arrays): _decoded(item, arrays) for key, item in inside}
    if kind in ("list", "tuple"):
        found = [_decoded(item, arrays) for item in inside]
        return found if kind == "list" else tuple(found)
    return arrays[inside].astype(object) if kind == "strings" else arrays[inside]
