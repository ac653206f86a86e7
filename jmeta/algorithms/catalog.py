"""Learners by name: of what each is made, what it learns, and what it can be told."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import Array

from jmeta import algorithms, gradients, losses, nets
from jmeta.algorithms.row import Made, Row, Wanted, own_row
from jmeta.algorithms.settings import (
    Bootstrapped,
    Cavia,
    Fomaml,
    Imaml,
    Maml,
    MamlPlusPlus,
    MetaSgd,
    Prototypical,
    Reptile,
    Rfs,
    Ridge,
)
from jmeta.distances import nearness, scaled_cosine, tempered
from jmeta.errors import RunError
from jmeta.nets import catalog as networks
from jmeta.registry import Registry
from jmeta.types import Learner, Model

_SMALL = jax.nn.initializers.lecun_normal()


def _maml_plus_plus(
    model: Model,
    *,
    inner_lr: float,
    inner_steps: Any,
    inner_grad: gradients.Grad,
    loss_fn: losses.LossFn,
    outer_steps: int | None,
    anneal_steps: int | None,
) -> Made:
    """The losses before the last step fade out over a tenth of the training, as in the paper, or over as many steps as
    the settings say; second derivatives come in after three times as many."""
    own = {"inner_lr": inner_lr, "inner_steps": inner_steps, "inner_grad": inner_grad, "loss_fn": loss_fn}
    made = partial(algorithms.maml_plus_plus, model, **own)
    if outer_steps is None:
        return made()

    def schedule(step: Array) -> Learner:
        anneal = anneal_steps or max(1, outer_steps // 10)
        weights = algorithms.multi_step_weights(step, inner_steps, anneal)
        first = step < (outer_steps * 3 // 10 if anneal_steps is None else 3 * anneal)
        return made(loss_weights=weights, first_order=first)

    return schedule


def _beside(make: Callable[[Wanted], Model]) -> Callable[[Any, Wanted], Model]:
    """A network beside the one that a learner is wanted with, in the precision of that one."""
    return lambda own, wanted: networks.in_precision(wanted.network, make(wanted))


def _reptile_batch(own: Reptile, wanted: Wanted) -> int | None:
    trained = wanted.outer_steps is None
    return own.eval_inner_batch_size or own.inner_batch_size if trained else own.inner_batch_size


_MAML = "Finn et al. 2017, Model-Agnostic Meta-Learning, https://arxiv.org/abs/1703.03400"
_MATCHING = "Vinyals et al. 2016, Matching Networks for One Shot Learning, https://arxiv.org/abs/1606.04080"
_CLOSER_LOOK = "Chen et al. 2019, A Closer Look at Few-shot Classification, https://arxiv.org/abs/1904.04232"
_REPTILE = {"outer_lr": 1.0, "outer_optimizer": "sgd", "outer_schedule": "linear"}

LEARNERS = Registry[Row](
    "algorithm",
    {
        "maml": Row(algorithms.maml, "an initialization, by second derivatives", _MAML, Maml, fixed_way=True),
        "fomaml": Row(
            partial(algorithms.maml, first_order=True), "an initialization, by first derivatives", _MAML, Fomaml,
            fixed_way=True,
        ),
        "maml++": Row(
            _maml_plus_plus, "an initialization, with rates and normalization of each step and a loss of each",
            "Antoniou et al. 2019, How to Train Your MAML, https://arxiv.org/abs/1810.09502", MamlPlusPlus,
            fixed_way=True,
        ),
        "meta-sgd": Row(
            algorithms.meta_sgd, "an initialization and a rate for every parameter",
            "Li et al. 2017, Meta-SGD, https://arxiv.org/abs/1707.09835", MetaSgd, fixed_way=True,
        ),
        "reptile": Row(
            algorithms.reptile, "an initialization, without a meta-gradient",
            "Nichol et al. 2018, On First-Order Meta-Learning Algorithms, https://arxiv.org/abs/1803.02999", Reptile,
            {
                "model": lambda own, wanted: networks.network(wanted.network, wanted.way, small_head=True),
                "batch_size": _reptile_batch,
            },
            fixed_way=True,
            on_pictures={
                **_REPTILE, "meta_batch_size": 10, "query_shot": 1, "train_shot": 15, "network": "conv4-flat",
            },
            on_vectors={
                **_REPTILE, "meta_batch_size": 5, "inner_lr": 0.02, "inner_steps": 5, "inner_optimizer": "sgd",
                "inner_batch_size": None,
            },
        ),
        "imaml": Row(
            algorithms.imaml, "an initialization, by implicit gradients",
            "Rajeswaran et al. 2019, Meta-Learning with Implicit Gradients, https://arxiv.org/abs/1909.04630", Imaml,
            fixed_way=True,
        ),
        "bootstrapped": Row(
            algorithms.bootstrapped, "an initialization, by where more inner steps would lead",
            "Flennerhag et al. 2022, Bootstrapped Meta-Learning, https://arxiv.org/abs/2109.04504", Bootstrapped,
            {"matching": lambda own, wanted: (
                algorithms.prediction_distance if wanted.numbers else algorithms.prediction_kl
            )},
            fixed_way=True,
        ),
        "anil": Row(
            algorithms.anil, "an initialization whose head alone adapts",
            "Raghu et al. 2020, Rapid Learning or Feature Reuse?, https://arxiv.org/abs/1909.09157", Maml,
            fixed_way=True,
        ),
        "boil": Row(
            algorithms.boil, "an initialization whose features adapt under a fixed head",
            "Oh et al. 2021, BOIL, https://arxiv.org/abs/2008.08882", Maml, fixed_way=True,
        ),
        "cavia": Row(
            algorithms.cavia, "a network whose context vector alone adapts",
            "Zintgraf et al. 2019, Fast Context Adaptation via Meta-Learning, https://arxiv.org/abs/1810.03642", Cavia,
            {"model": lambda own, wanted: networks.with_context(wanted.network, wanted.way)},
            fixed_way=True, dense=False,
        ),
        "proto-maml": Row(
            algorithms.proto_maml, "features whose prototypes start the head",
            "Triantafillou et al. 2020, Meta-Dataset, https://arxiv.org/abs/1903.03096", Maml, numbers=False,
        ),
        "ridge": Row(
            algorithms.ridge, "features for ridge regression in closed form, R2-D2",
            "Bertinetto et al. 2019, Differentiable Closed-Form Solvers, https://arxiv.org/abs/1805.08136", Ridge,
            {
                "scale": lambda own, wanted: 1.0 if wanted.numbers else 10.0,
                "l2": lambda own, wanted: 1.0 if own.l2 is None else own.l2,
            },
        ),
        "nearest": Row(
            algorithms.nearest, "nothing: it names the class of the nearest mean input, the floor for all others",
            numbers=False,
        ),
        "prototypical": Row(
            algorithms.prototypical, "features near the mean of their class",
            "Snell et al. 2017, Prototypical Networks, https://arxiv.org/abs/1703.05175", Prototypical,
            {"similarity": lambda own, wanted: nearness if own.temperature is None else tempered(own.temperature)},
            numbers=False,
        ),
        "matching": Row(algorithms.matching, "features, compared by attention", _MATCHING, numbers=False),
        "matching-cosine": Row(
            partial(algorithms.matching, similarity=scaled_cosine()),
            "features, compared by attention on cosines with a learned temperature", _MATCHING, numbers=False,
        ),
        "matching-fce": Row(
            algorithms.matching, "features in full context, compared by attention", _MATCHING,
            given={"context": lambda own, wanted: (
                networks.in_precision(wanted.network, nets.BidirectionalLSTM()),
                networks.in_precision(wanted.network, nets.AttentionLSTM()),
            )},
            numbers=False,
        ),
        "siamese": Row(
            algorithms.siamese, "whether two pictures are of one class",
            "Koch et al. 2015, Siamese Networks, https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf", numbers=False,
        ),
        "relation": Row(
            partial(algorithms.relation, loss_fn=losses.squared_score_error), "features and their comparison",
            "Sung et al. 2018, Learning to Compare, https://arxiv.org/abs/1711.06025",
            given={
                "encoder": lambda own, wanted: networks.feature_map(wanted.network),
                "relation": lambda own, wanted: networks.relation_head(wanted.network),
            },
            numbers=False, dense=False,
        ),
        "baseline": Row(
            algorithms.baseline, "an ordinary classifier of all training classes", _CLOSER_LOOK,
            given={"classifier": _beside(lambda wanted: nets.Head(wanted.classes or 1, _SMALL))},
            numbers=False, ordinary=True,
        ),
        "baseline++": Row(
            algorithms.baseline_plus_plus, "an ordinary classifier of all training classes, by cosines", _CLOSER_LOOK,
            given={"classifier": _beside(lambda wanted: nets.CosineHead(wanted.classes or 1))},
            numbers=False, ordinary=True,
        ),
        "rfs": Row(
            algorithms.rfs, "an ordinary classifier of all training classes, and a linear one of each task",
            "Tian et al. 2020, Rethinking Few-Shot Image Classification, https://arxiv.org/abs/2003.11539", Rfs,
            given={"classifier": _beside(lambda wanted: nets.Head(wanted.classes or 1, _SMALL))},
            numbers=False, ordinary=True,
        ),
        "neural-process": Row(
            algorithms.neural_process, "functions from means of examples",
            "Garnelo et al. 2018, Conditional Neural Processes, https://arxiv.org/abs/1807.01613",
            given={
                "pairs": _beside(lambda wanted: nets.MLPEncoder((128, 128))),
                "decoder": _beside(lambda wanted: nets.MLP((128, 128), 1)),
                "groups": lambda own, wanted: algorithms.all_examples if wanted.numbers else algorithms.class_and_rest,
            },
        ),
        "attention": Row(
            algorithms.attention_learner, "a transformer from examples and labels to labels, SNAIL-like",
            "Mishra et al. 2018, A Simple Neural Attentive Meta-Learner, https://arxiv.org/abs/1707.03141",
            given={"transformer": _beside(lambda wanted: nets.LabelTransformer())},
        ),
    },
    "jmeta.learners",
    own_row,
)  # fmt: skip
"""All learners: how many parameters a network has for classes, which targets it takes and what it can be told."""


def check_episodic(name: str) -> None:
    """RunError for a learner that is not trained on episodes."""
    if LEARNERS.get(name).ordinary:
        raise RunError(f"{name} is trained without episodes: choose another --algorithm.")


def episodic_settings(name: str) -> Any:
    """What a learner is told where it takes as many inner steps after training as in it; else as `check_episodic`."""
    check_episodic(name)
    own = LEARNERS.get(name).settings()
    if hasattr(own, "inner"):
        own = dataclasses.replace(own, inner=dataclasses.replace(own.inner, eval_inner_steps=None))
    return own
