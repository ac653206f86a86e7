"""Small experiments of every kind that there is, by name."""

from collections.abc import Callable

from toy_experiment import Settings, build

from jmeta.experiment import Experiment
from jmeta.runs.few_shot import settings_of
from jmeta.runs.few_shot.experiment import builder


def few_shot(algorithm: str, dataset: str = "glyphs:60", **values) -> Experiment:
    """A small run of a learner; on pictures by a small network. Adam would make much of gradients that are zero."""
    small = {"network": "mlp", "features": (8,)} if dataset.startswith("glyphs") else {}
    sizes = {"outer_steps": 20, "meta_batch_size": 2, "val_episodes": 3, "query_shot": 2, "outer_optimizer": "sgd"}
    return builder()(settings_of(algorithm=algorithm, dataset=dataset, **{**small, **sizes, **values}))


EXPERIMENTS: dict[str, Callable[[], Experiment]] = {
    "toy": lambda: build(Settings()),
    "few-shot, curves": lambda: few_shot("maml", "sinusoid"),
    "few-shot, pictures": lambda: few_shot("prototypical", norm="batch"),
    "few-shot, ordinary batches": lambda: few_shot("baseline", augment="affine"),
    "few-shot, a schedule": lambda: few_shot("maml++", inner_steps=2, norm="none"),
}
