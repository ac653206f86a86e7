"""Learning to learn in JAX: pure functions, one form for every algorithm, the whole loop as one program.

What is named here is imported when it is first asked for, so that `jmeta --help` need not wait for JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jmeta import (
        active, algorithms, augment, bayes, continual, datasets, distances, distributions, episodes, evaluation,
        generative, gradients, inner, losses, mixed, mtl, nets, optimizers, rl, sharding, solvers, tasks, training,
        types, uncertainty, varied,
    )  # fmt: skip
    from jmeta.algorithms import (
        anil, attention_learner, baseline, baseline_plus_plus, boil, bootstrapped, cavia, imaml, maml,
        maml_plus_plus, matching, meta_sgd, nearest, neural_process, proto_maml, prototypical, relation,
        reptile, rfs, ridge, siamese,
    )  # fmt: skip
    from jmeta.episodes import classification_sampler, few_shot_sampler
    from jmeta.evaluation import Evaluation, evaluate
    from jmeta.inner import attach_gradient, descend, first_order
    from jmeta.runs.few_shot.predict import Prediction, predict
    from jmeta.runs.use import Loaded, export, load
    from jmeta.tasks import linear_sampler, sinusoid_sampler
    from jmeta.training import TrainState, init_state, make_run, make_runs, make_step, meta_loss
    from jmeta.types import Batch, Episode, Learner, Metrics, Model, episodic
    from jmeta.varied import varied_sampler

__version__ = "0.2.0"

_NAMES = {
    "algorithms": (
        "anil attention_learner baseline baseline_plus_plus boil bootstrapped cavia imaml maml maml_plus_plus matching "
        "meta_sgd nearest neural_process proto_maml prototypical relation reptile rfs ridge siamese"
    ),
    "episodes": "classification_sampler few_shot_sampler",
    "evaluation": "Evaluation evaluate",
    "inner": "attach_gradient descend first_order",
    "runs.few_shot.predict": "Prediction predict",
    "runs.use": "Loaded export load",
    "tasks": "linear_sampler sinusoid_sampler",
    "training": "TrainState init_state make_run make_runs make_step meta_loss",
    "types": "Batch Episode Learner Metrics Model episodic",
    "varied": "varied_sampler",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
_MODULES = [
    *(name for name in _NAMES if "." not in name),
    *"active bayes continual generative mtl optimizers rl".split(),
    *"augment datasets distances distributions gradients losses mixed nets sharding solvers uncertainty".split(),
]

__all__ = sorted([*_HOMES, *_MODULES])  # pyright: ignore[reportUnsupportedDunderAll]

if not TYPE_CHECKING:  # a type checker would take it that every name is there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return importlib.import_module(f"jmeta.{name}")
        if name in _HOMES:
            globals()[name] = getattr(importlib.import_module(f"jmeta.{_HOMES[name]}"), name)
            return globals()[name]
        raise AttributeError(f"module 'jmeta' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*__all__, "__version__"]
