"""`jmeta bayes`: few-shot learners whose predictions say how sure they are, and how well they know it. Their runs are
those of `jmeta train`, whose other commands take them too."""

import dataclasses
from collections.abc import Sequence

from jmeta.bayes.catalog import BAYESIAN
from jmeta.errors import unknown
from jmeta.registry import is_place, spelled
from jmeta.runs.engine.options import Options
from jmeta.runs.few_shot.experiment import AREA as FEW_SHOT
from jmeta.runs.few_shot.settings import Settings

PROGRAMS = {
    "train": "meta-train a Bayesian learner: deep kernels, ALPaCA, MetaQDA, VERSA, samples of weights",
    "evaluate": "likelihood, calibration and error of a run on new tasks; of any run of jmeta train with classes too",
    "plot": "draw functions with the intervals they are predicted in, or how often it is right where it is how sure",
}
"""Name and what it shows."""

STUDIES: Sequence[str] = ("linear", "metal", "sinusoid")
"""Programs of the repository, in scripts/bayes."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What decides which settings there are.

    Attributes:
        algorithm: how to learn: deep-kernel, alpaca, bayesian-maml, platipus, abml, versa or meta-qda.
        dataset: what tasks are made of.
    """

    algorithm: str = "deep-kernel"
    dataset: str = "sinusoid-e"


def _check(settings: Settings, options: Options) -> None:
    if spelled(settings.algorithm) not in BAYESIAN and not is_place(settings.algorithm):
        raise unknown("Bayesian learner", settings.algorithm, BAYESIAN)
    FEW_SHOT.check(settings, options)


AREA = FEW_SHOT._replace(
    prog="jmeta bayes train",
    description=(
        "Meta-train a learner whose predictions say how sure they are, and keep it in a run folder. Without flags: a "
        "deep kernel on noisy sine curves about a line. deep-kernel takes numbers and classes, alpaca numbers, versa "
        "and meta-qda classes; bayesian-maml, platipus and abml, which sample weights, take both. What is shown is "
        "what the algorithm has on these data: ask with --algorithm NAME and --dataset NAME for that of others."
    ),
    choice=Choice,
    choices=lambda: {"algorithm": BAYESIAN},
    check=_check,
    presets="",
    evaluate="jmeta bayes evaluate",
)
