"""From settings to learners: a function for each algorithm that `jmeta train` knows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax import Array

from jmeta import algorithms, gradients, losses, nets
from jmeta.distances import NEARNESS, Similarity, scaled_cosine
from jmeta.runs import networks
from jmeta.runs.config import TrainConfig
from jmeta.training import Schedule
from jmeta.types import Learner, Model

MOMENTUM = 0.9
FINITE = 1e-8
"""Under Adam's square root, for a second derivative at zero."""
WITHOUT_SECOND = ("fomaml", "imaml", "reptile")
"""Learners that do not differentiate their inner rule."""

_SMALL = jax.nn.initializers.lecun_normal()
_INNER_GRADS = {"reverse": jax.grad, "remat": gradients.remat_grad, "mixed": gradients.mixed_grad}


class Wanted(NamedTuple):
    """What a learner is wanted for.

    Attributes:
        config: the settings.
        way: outputs of the network, where it has a head.
        inner_steps: a number, or a traced one where only evaluation is done.
        training: whether it is for training.
        classes: that there are to train on; None if the learner need not know.
    """

    config: TrainConfig
    way: int
    inner_steps: Any
    training: bool
    classes: int | None


Build = Callable[[Wanted], Learner | Schedule]


def training_learner(config: TrainConfig, classes: int | None) -> Learner | Schedule:
    """The learner that the settings describe, to be trained.

    Args:
        config: the settings.
        classes: that there are to train on, for a learner that tells all of them apart.
    """
    return LEARNERS[config.algorithm](Wanted(config, config.way, config.inner_steps, True, classes))


def learner_of(config: TrainConfig, inner_steps: Any, *, way: int | None = None) -> Learner:
    """The learner that the settings describe, once it is trained.

    Args:
        config: the settings.
        inner_steps: a number, or a traced one.
        way: outputs, if not the trained number.
    """
    learner = LEARNERS[config.algorithm](Wanted(config, config.way if way is None else way, inner_steps, False, None))
    assert isinstance(learner, Learner), f"{config.algorithm} must not change with the step outside training"
    return learner


def _loss_fn(config: TrainConfig) -> losses.LossFn:
    return losses.squared_error if regression(config) else losses.cross_entropy


def regression(config: TrainConfig) -> bool:
    """Whether targets are numbers and not classes."""
    return config.dataset == "sinusoid"


def _differentiated(wanted: Wanted) -> dict[str, Any]:
    """Of learners that differentiate their inner loop."""
    config = wanted.config
    return {
        "inner_steps": wanted.inner_steps,
        "inner_grad": _INNER_GRADS[config.inner_grad],
        "truncation": config.truncation,
        "loss_fn": _loss_fn(config),
    }


def _maml(wanted: Wanted, first_order: bool = False) -> Learner:
    model, rule = networks.network(wanted.config, wanted.way), inner_optimizer(wanted.config)
    return algorithms.maml(model, inner_optimizer=rule, first_order=first_order, **_differentiated(wanted))


def _fomaml(wanted: Wanted) -> Learner:
    return _maml(wanted, first_order=True)


def _anil(wanted: Wanted) -> Learner:
    encoder, head = networks.encoder(wanted.config), networks.head(wanted.config, wanted.way)
    return algorithms.anil(encoder, head, inner_optimizer=inner_optimizer(wanted.config), **_differentiated(wanted))


def _meta_sgd(wanted: Wanted) -> Learner:
    model = networks.network(wanted.config, wanted.way)
    return algorithms.meta_sgd(model, inner_lr=wanted.config.inner_lr, **_differentiated(wanted))


def _reptile(wanted: Wanted) -> Learner:
    config = wanted.config
    size = config.inner_batch_size if wanted.training else config.eval_inner_batch_size or config.inner_batch_size
    return algorithms.reptile(
        networks.network(config, wanted.way),
        inner_optimizer=inner_optimizer(config),
        inner_steps=wanted.inner_steps,
        batch_size=size,
        loss_fn=_loss_fn(config),
    )


def _prototypical(wanted: Wanted) -> Learner:
    return algorithms.prototypical(networks.encoder(wanted.config), loss_fn=_loss_fn(wanted.config))


def _imaml(wanted: Wanted) -> Learner:
    config = wanted.config
    assert config.regularization is not None
    return algorithms.imaml(
        networks.network(config, wanted.way),
        inner_optimizer=inner_optimizer(config),
        inner_steps=wanted.inner_steps,
        regularization=config.regularization,
        loss_fn=_loss_fn(config),
    )


def _proto_maml(wanted: Wanted) -> Learner:
    encoder, rule = networks.encoder(wanted.config), inner_optimizer(wanted.config)
    return algorithms.proto_maml(encoder, inner_optimizer=rule, **_differentiated(wanted))


def _bootstrapped(wanted: Wanted) -> Learner:
    config = wanted.config
    assert config.target_steps is not None
    return algorithms.bootstrapped(
        networks.network(config, wanted.way),
        inner_optimizer=inner_optimizer(config),
        inner_steps=wanted.inner_steps,
        target_steps=config.target_steps,
        matching=algorithms.prediction_distance if regression(config) else algorithms.prediction_kl,
        inner_grad=_INNER_GRADS[config.inner_grad],
        loss_fn=_loss_fn(config),
    )


def _maml_plus_plus(wanted: Wanted) -> Learner | Schedule:
    """The losses before the last step fade out over a tenth of the training, as in the paper, or over as many steps as
    the settings say; second derivatives come in after three times as many."""
    config = wanted.config
    model = networks.network(config, wanted.way)
    options = {"inner_lr": config.inner_lr, "inner_steps": wanted.inner_steps, "loss_fn": _loss_fn(config)}
    options["inner_grad"] = _INNER_GRADS[config.inner_grad]
    if not wanted.training:
        return algorithms.maml_plus_plus(model, **options)

    def schedule(step: Array) -> Learner:
        anneal = config.anneal_steps or max(1, config.outer_steps // 10)
        weights = algorithms.multi_step_weights(step, config.inner_steps, anneal)
        first = step < (config.outer_steps * 3 // 10 if config.anneal_steps is None else 3 * anneal)
        return algorithms.maml_plus_plus(model, loss_weights=weights, first_order=first, **options)

    return schedule


def _boil(wanted: Wanted) -> Learner:
    encoder, head = networks.encoder(wanted.config), networks.head(wanted.config, wanted.way)
    return algorithms.boil(encoder, head, inner_optimizer=inner_optimizer(wanted.config), **_differentiated(wanted))


def _cavia(wanted: Wanted) -> Learner:
    config = wanted.config
    assert config.context_size is not None
    return algorithms.cavia(
        networks.with_context(config, wanted.way),
        context_size=config.context_size,
        inner_optimizer=inner_optimizer(config),
        **_differentiated(wanted),
    )


def _matching(similarity: Similarity, contexts: Callable[[], tuple[Model, Model]] | None = None) -> Build:
    def build(wanted: Wanted) -> Learner:
        context = None if contexts is None else contexts()
        return algorithms.matching(networks.encoder(wanted.config), similarity=similarity, context=context)

    return build


def _full_context() -> tuple[Model, Model]:
    return nets.BidirectionalLSTM(), nets.AttentionLSTM()


def _relation(wanted: Wanted) -> Learner:
    return algorithms.relation(networks.feature_map(wanted.config), networks.relation_head(wanted.config))


def _siamese(wanted: Wanted) -> Learner:
    return algorithms.siamese(networks.encoder(wanted.config))


def _ridge(wanted: Wanted) -> Learner:
    config = wanted.config
    scale = 1.0 if regression(config) else 10.0
    return algorithms.ridge(networks.encoder(config), scale=scale, loss_fn=_loss_fn(config))


def _baseline(wanted: Wanted) -> Learner:
    return algorithms.baseline(networks.encoder(wanted.config), nets.Head(wanted.classes or 1, _SMALL))


def _baseline_plus_plus(wanted: Wanted) -> Learner:
    return algorithms.baseline_plus_plus(networks.encoder(wanted.config), nets.CosineHead(wanted.classes or 1))


def _neural_process(wanted: Wanted) -> Learner:
    config = wanted.config
    return algorithms.neural_process(
        networks.encoder(config),
        nets.MLPEncoder((128, 128)),
        nets.MLP((128, 128), 1),
        groups=algorithms.all_examples if regression(config) else algorithms.class_and_rest,
        loss_fn=_loss_fn(config),
    )


def _attention(wanted: Wanted) -> Learner:
    encoder = networks.encoder(wanted.config)
    return algorithms.attention_learner(encoder, nets.LabelTransformer(), loss_fn=_loss_fn(wanted.config))


LEARNERS: dict[str, Build] = {
    "maml": _maml,
    "attention": _attention,
    "baseline": _baseline,
    "baseline++": _baseline_plus_plus,
    "boil": _boil,
    "bootstrapped": _bootstrapped,
    "cavia": _cavia,
    "fomaml": _fomaml,
    "imaml": _imaml,
    "maml++": _maml_plus_plus,
    "anil": _anil,
    "meta-sgd": _meta_sgd,
    "matching": _matching(NEARNESS),
    "matching-cosine": _matching(scaled_cosine()),
    "matching-fce": _matching(NEARNESS, _full_context),
    "neural-process": _neural_process,
    "proto-maml": _proto_maml,
    "prototypical": _prototypical,
    "relation": _relation,
    "reptile": _reptile,
    "ridge": _ridge,
    "siamese": _siamese,
}


def inner_optimizer(config: TrainConfig) -> optax.GradientTransformation:
    """The rule of the inner loop."""
    rate, name = config.inner_lr, config.inner_optimizer
    if name in ("adam", "adam-b0"):
        eps_root = 0.0 if config.algorithm in WITHOUT_SECOND else FINITE
        return optax.adam(rate, b1=0.9 if name == "adam" else 0.0, eps_root=eps_root)
    if name == "sgd":
        return optax.sgd(rate)
    return optax.sgd(rate, momentum=MOMENTUM, nesterov=name == "nesterov")
