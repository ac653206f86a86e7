"""What a fitted estimator holds, checked field by field."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def check_fitted(fields: Mapping[str, Any]) -> None:
    """Refuse, by a ValueError that names the field, what `fit` and `adapt` would not have left."""
    width = fields["n_features_in_"]
    _check(type(width) is int and width >= 1, "n_features_in_", "a whole number of 1 or more", width)
    tasks = fields["tasks_"]
    named = type(tasks) is list and bool(tasks) and all(type(name) in (str, int) for name in tasks)
    _check(named and len(set(tasks)) == len(tasks), "tasks_", "a list of different names", tasks)
    if (names := fields.get("feature_names_in_")) is not None:
        strings = isinstance(names, np.ndarray) and names.shape == (width,) and all(type(n) is str for n in names)
        _check(strings, "feature_names_in_", f"{width} strings", names)
    _numbers(fields, "mean_", (width,))
    _numbers(fields, "scale_", (width,), positive=True)
    curve = fields["loss_curve_"]
    drawn = isinstance(curve, np.ndarray) and curve.dtype == float and curve.ndim == 2
    _check(drawn, "loss_curve_", "float64 [steps, T]", curve)
    layers = fields["layers_"]
    _check(type(layers) is list, "layers_", "a list", layers)
    for i, layer in enumerate(layers):
        width = _layer(f"layers_[{i}]", layer, width)
    if "heads_" not in fields:
        return
    _numbers(fields, "representation_mean_", (width,))
    _numbers(fields, "representation_scale_", (width,), positive=True)
    outputs = {name: _layer(f"heads_[{name!r}]", head, width) for name, head in _of_tasks(fields, "heads_").items()}
    if "classes_" not in fields:
        _check(len(set(outputs.values())) == 1, "heads_", "of as many targets for each task", outputs)
        return
    classes = _ordered("classes_", fields["classes_"])
    for name, own in _of_tasks(fields, "task_classes_").items():
        own = _ordered(f"task_classes_[{name!r}]", own)
        known = len(own) == outputs[name] and bool(np.isin(own, classes).all())
        _check(known, f"task_classes_[{name!r}]", f"{outputs[name]} of classes_", own)


def _check(right: bool, field: str, wanted: str, found: Any) -> None:
    if not right:
        got = (
            f"{found.dtype} {list(found.shape)}"
            if isinstance(found, np.ndarray)
            else " ".join(repr(found).split())[:60]
        )
        raise ValueError(f"{field} must be {wanted}, got {got}")


def _of_tasks(fields: Mapping[str, Any], field: str) -> dict[Any, Any]:
    found, tasks = fields[field], fields["tasks_"]
    _check(type(found) is dict and list(found) == tasks, field, "a dictionary of the tasks", found)
    return found


def _numbers(fields: Mapping[str, Any], field: str, shape: tuple[int, ...], *, positive: bool = False) -> None:
    found = fields[field]
    right = isinstance(found, np.ndarray) and found.dtype == float and found.shape == shape
    wanted = f"finite float64 {list(shape)}" + (" above 0" if positive else "")
    _check(right and bool(np.isfinite(found).all() and (not positive or (found > 0).all())), field, wanted, found)


def _layer(field: str, layer: Any, width: int) -> int:
    """The units of a layer, a kernel and a bias."""
    pair = type(layer) in (tuple, list) and len(layer) == 2 and all(isinstance(a, np.ndarray) for a in layer)
    _check(pair and layer[1].ndim == 1, field, "a kernel and a bias", layer)
    parts = dict(zip((f"{field} kernel", f"{field} bias"), layer, strict=True))
    units = len(layer[1])
    for name, shape in zip(parts, ((width, units), (units,)), strict=True):
        _numbers(parts, name, shape)
    return units


def _ordered(field: str, found: Any) -> np.ndarray:
    right = isinstance(found, np.ndarray) and found.ndim == 1 and len(found) >= 2
    right = right and (found.dtype != object or all(type(value) is str for value in found))
    _check(right and bool(np.all(found[:-1] < found[1:])), field, "classes in order", found)
    return found
