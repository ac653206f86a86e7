"""Whether scikit-learn's cross-validation hands the tasks to all that need them."""

import sys
from collections.abc import Mapping
from typing import Any


def check_scored() -> None:
    """Refuse a fit in one of scikit-learn's cross-validations that has tasks for `fit` and none for the score.

    Asked for a score, it would be too late: scikit-learn makes NaN of what a scorer raises, and raises what all fits
    do. So the variables of its caller are looked at; where it has none of these names, nothing is refused.
    """
    frame: Any = sys._getframe()
    while frame is not None and frame.f_code.co_name != "_fit_and_score":
        frame = frame.f_back
    if frame is None or not frame.f_globals.get("__name__", "").startswith("sklearn."):
        return
    fitted, scored, scorer = (frame.f_locals.get(name) for name in ("fit_params", "score_params", "scorer"))
    scorers = getattr(scorer, "_scorers", {"": scorer}).values()  # a scorer of the user's own may know the tasks
    if _has_task(fitted) and any(_of_sklearn(one) and not (_is_score(one) and _has_task(scored)) for one in scorers):
        raise ValueError(
            "cross-validation hands task to fit and not to predict or score, by which all scores would be NaN: call "
            "sklearn.set_config(enable_metadata_routing=True) and, with no scoring=, "
            "estimator.set_fit_request(task=True).set_score_request(task=True), or make the names a column of X that "
            "task_column= names"
        )


def _has_task(params: Mapping[str, Any] | None) -> bool:
    return any(name.rpartition("__")[2] == "task" for name in params or ())


def _of_sklearn(scorer: Any) -> bool:
    return type(scorer).__module__.startswith("sklearn.")


def _is_score(scorer: Any) -> bool:
    """Whether it calls the estimator's own `score`; others call `predict`, and hand no task to it."""
    return type(scorer).__name__ == "_PassthroughScorer"
