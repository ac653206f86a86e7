"""Learners by name: how each is made of its settings and a network."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import optax
from jax import Array

from jmeta import algorithms, gradients, losses, nets
from jmeta.algorithms.settings import (
    FIRST_ORDER,
    Bootstrapped,
    Cavia,
    Differentiated,
    Fomaml,
    Imaml,
    Maml,
    MamlPlusPlus,
    MetaSgd,
    Nothing,
    Reptile,
)
from jmeta.distances import NEARNESS, Similarity, scaled_cosine
from jmeta.errors import unknown
from jmeta.nets import catalog as networks
from jmeta.nets.catalog import Network
from jmeta.types import Learner, Model

MOMENTUM = 0.9
FINITE = 1e-8
"""Under Adam's square root, for a second derivative at zero."""
_INNER_GRADS = {"reverse": jax.grad, "remat": gradients.remat_grad, "mixed": gradients.mixed_grad}
_SMALL = jax.nn.initializers.lecun_normal()


class Wanted(NamedTuple):
    """What a learner is wanted for.

    Attributes:
        network: that it is made with.
        way: outputs of the network, where it has a head.
        inner_steps: a number, or a traced one where only evaluation is done.
        numbers: whether targets are numbers and not classes.
        outer_steps: of its training; None for one that is trained.
        classes: that there are to train on, for a learner that tells all of them apart in training.
    """

    network: Network
    way: int
    inner_steps: Any = 0
    numbers: bool = False
    outer_steps: int | None = None
    classes: int | None = None


Made = Learner | Callable[[Array], Learner]
"""A learner, or one that changes with the outer step: `jmeta.training.Schedule`."""


class Row(NamedTuple):
    """A learner.

    Attributes:
        settings: the class of what it can be told.
        make: `(settings, wanted) -> learner`.
        paper: that it is from, with its address.
        fixed_way: whether it has parameters for each class of an episode.
        numbers: whether targets may be numbers, and not classes alone.
        ordinary: whether it is trained on ordinary batches, of all training classes.
        dense: whether its network may have a dense layer before the head.
    """

    settings: type
    make: Callable[[Any, Wanted], Made]
    paper: str
    fixed_way: bool = False
    numbers: bool = True
    ordinary: bool = False
    dense: bool = True

    @property
    def second_order(self) -> bool:
        """Whether it differentiates its inner rule."""
        return self.settings not in FIRST_ORDER


def row(name: str) -> Row:
    """The learner of a name.

    Raises:
        RunError: if there is none.
    """
    if name not in LEARNERS:
        raise unknown("algorithm", name, LEARNERS)
    return LEARNERS[name]


def _loss_fn(wanted: Wanted) -> losses.LossFn:
    return losses.squared_error if wanted.numbers else losses.cross_entropy


def _through(own: Differentiated, wanted: Wanted) -> dict[str, Any]:
    """Of learners that differentiate their inner loop."""
    return {
        "inner_steps": wanted.inner_steps,
        "inner_grad": _INNER_GRADS[own.inner_grad],
        "truncation": own.truncation,
        "loss_fn": _loss_fn(wanted),
    }


def _rule(own: Any) -> optax.GradientTransformation:
    """The rule of the inner loop; one that is differentiated has a derivative everywhere."""
    rate, name = own.inner.inner_lr, own.inner_optimizer
    if name in ("adam", "adam-b0"):
        eps_root = 0.0 if isinstance(own, FIRST_ORDER) else FINITE
        return optax.adam(rate, b1=0.9 if name == "adam" else 0.0, eps_root=eps_root)
    if name == "sgd":
        return optax.sgd(rate)
    return optax.sgd(rate, momentum=MOMENTUM, nesterov=name == "nesterov")


def _maml(own: Maml, wanted: Wanted) -> Learner:
    model = networks.network(wanted.network, wanted.way)
    return algorithms.maml(model, inner_optimizer=_rule(own), **_through(own.differentiated, wanted))


def _fomaml(own: Fomaml, wanted: Wanted) -> Learner:
    return algorithms.maml(
        networks.network(wanted.network, wanted.way),
        inner_optimizer=_rule(own),
        inner_steps=wanted.inner_steps,
        first_order=True,
        loss_fn=_loss_fn(wanted),
    )


def _anil(own: Maml, wanted: Wanted) -> Learner:
    encoder, head = networks.encoder(wanted.network), networks.head(wanted.network, wanted.way)
    return algorithms.anil(encoder, head, inner_optimizer=_rule(own), **_through(own.differentiated, wanted))


def _boil(own: Maml, wanted: Wanted) -> Learner:
    encoder, head = networks.encoder(wanted.network), networks.head(wanted.network, wanted.way)
    return algorithms.boil(encoder, head, inner_optimizer=_rule(own), **_through(own.differentiated, wanted))


def _proto_maml(own: Maml, wanted: Wanted) -> Learner:
    encoder = networks.encoder(wanted.network)
    return algorithms.proto_maml(encoder, inner_optimizer=_rule(own), **_through(own.differentiated, wanted))


def _meta_sgd(own: MetaSgd, wanted: Wanted) -> Learner:
    model = networks.network(wanted.network, wanted.way)
    return algorithms.meta_sgd(model, inner_lr=own.inner.inner_lr, **_through(own.differentiated, wanted))


def _reptile(own: Reptile, wanted: Wanted) -> Learner:
    training = wanted.outer_steps is not None
    return algorithms.reptile(
        networks.network(wanted.network, wanted.way, small_head=True),
        inner_optimizer=_rule(own),
        inner_steps=wanted.inner_steps,
        batch_size=own.inner_batch_size if training else own.eval_inner_batch_size or own.inner_batch_size,
        loss_fn=_loss_fn(wanted),
    )


def _imaml(own: Imaml, wanted: Wanted) -> Learner:
    return algorithms.imaml(
        networks.network(wanted.network, wanted.way),
        inner_optimizer=_rule(own),
        inner_steps=wanted.inner_steps,
        regularization=own.regularization,
        loss_fn=_loss_fn(wanted),
    )


def _bootstrapped(own: Bootstrapped, wanted: Wanted) -> Learner:
    return algorithms.bootstrapped(
        networks.network(wanted.network, wanted.way),
        inner_optimizer=_rule(own),
        inner_steps=wanted.inner_steps,
        target_steps=own.target_steps,
        matching=algorithms.prediction_distance if wanted.numbers else algorithms.prediction_kl,
        inner_grad=_INNER_GRADS[own.inner_grad],
        loss_fn=_loss_fn(wanted),
    )


def _maml_plus_plus(own: MamlPlusPlus, wanted: Wanted) -> Made:
    """The losses before the last step fade out over a tenth of the training, as in the paper, or over as many steps as
    the settings say; second derivatives come in after three times as many."""
    model, outer_steps = networks.network(wanted.network, wanted.way), wanted.outer_steps
    options = {"inner_lr": own.inner.inner_lr, "inner_steps": wanted.inner_steps, "loss_fn": _loss_fn(wanted)}
    options["inner_grad"] = _INNER_GRADS[own.inner_grad]
    if outer_steps is None:
        return algorithms.maml_plus_plus(model, **options)

    def schedule(step: Array) -> Learner:
        anneal = own.anneal_steps or max(1, outer_steps // 10)
        weights = algorithms.multi_step_weights(step, wanted.inner_steps, anneal)
        first = step < (outer_steps * 3 // 10 if own.anneal_steps is None else 3 * anneal)
        return algorithms.maml_plus_plus(model, loss_weights=weights, first_order=first, **options)

    return schedule


def _cavia(own: Cavia, wanted: Wanted) -> Learner:
    return algorithms.cavia(
        networks.with_context(wanted.network, wanted.way),
        context_size=own.context_size,
        inner_optimizer=_rule(own),
        **_through(own.differentiated, wanted),
    )


def _prototypical(own: Nothing, wanted: Wanted) -> Learner:
    return algorithms.prototypical(networks.encoder(wanted.network), loss_fn=_loss_fn(wanted))


def _matching(
    similarity: Similarity, contexts: Callable[[Network], tuple[Model, Model]] | None = None
) -> Callable[[Nothing, Wanted], Learner]:
    def make(own: Nothing, wanted: Wanted) -> Learner:
        context = None if contexts is None else contexts(wanted.network)
        return algorithms.matching(networks.encoder(wanted.network), similarity=similarity, context=context)

    return make


def _full_context(network: Network) -> tuple[Model, Model]:
    forth, back = nets.BidirectionalLSTM(), nets.AttentionLSTM()
    return networks.in_precision(network, forth), networks.in_precision(network, back)


def _siamese(own: Nothing, wanted: Wanted) -> Learner:
    return algorithms.siamese(networks.encoder(wanted.network))


def _relation(own: Nothing, wanted: Wanted) -> Learner:
    return algorithms.relation(networks.feature_map(wanted.network), networks.relation_head(wanted.network))


def _ridge(own: Nothing, wanted: Wanted) -> Learner:
    scale = 1.0 if wanted.numbers else 10.0
    return algorithms.ridge(networks.encoder(wanted.network), scale=scale, loss_fn=_loss_fn(wanted))


def _neural_process(own: Nothing, wanted: Wanted) -> Learner:
    return algorithms.neural_process(
        networks.encoder(wanted.network),
        networks.in_precision(wanted.network, nets.MLPEncoder((128, 128))),
        networks.in_precision(wanted.network, nets.MLP((128, 128), 1)),
        groups=algorithms.all_examples if wanted.numbers else algorithms.class_and_rest,
        loss_fn=_loss_fn(wanted),
    )


def _attention(own: Nothing, wanted: Wanted) -> Learner:
    encoder = networks.encoder(wanted.network)
    transformer = networks.in_precision(wanted.network, nets.LabelTransformer())
    return algorithms.attention_learner(encoder, transformer, loss_fn=_loss_fn(wanted))


def _baseline(own: Nothing, wanted: Wanted) -> Learner:
    head = networks.in_precision(wanted.network, nets.Head(wanted.classes or 1, _SMALL))
    return algorithms.baseline(networks.encoder(wanted.network), head)


def _baseline_plus_plus(own: Nothing, wanted: Wanted) -> Learner:
    head = networks.in_precision(wanted.network, nets.CosineHead(wanted.classes or 1))
    return algorithms.baseline_plus_plus(networks.encoder(wanted.network), head)


_MAML = "Finn et al. 2017, Model-Agnostic Meta-Learning, https://arxiv.org/abs/1703.03400"
_MATCHING = "Vinyals et al. 2016, Matching Networks for One Shot Learning, https://arxiv.org/abs/1606.04080"
_CLOSER_LOOK = "Chen et al. 2019, A Closer Look at Few-shot Classification, https://arxiv.org/abs/1904.04232"

LEARNERS: dict[str, Row] = {
    "maml": Row(Maml, _maml, _MAML, fixed_way=True),
    "fomaml": Row(Fomaml, _fomaml, _MAML, fixed_way=True),
    "anil": Row(
        Maml, _anil, "Raghu et al. 2020, Rapid Learning or Feature Reuse?, https://arxiv.org/abs/1909.09157",
        fixed_way=True,
    ),
    "meta-sgd": Row(MetaSgd, _meta_sgd, "Li et al. 2017, Meta-SGD, https://arxiv.org/abs/1707.09835", fixed_way=True),
    "reptile": Row(
        Reptile, _reptile,
        "Nichol et al. 2018, On First-Order Meta-Learning Algorithms, https://arxiv.org/abs/1803.02999", fixed_way=True,
    ),
    "imaml": Row(
        Imaml, _imaml,
        "Rajeswaran et al. 2019, Meta-Learning with Implicit Gradients, https://arxiv.org/abs/1909.04630",
        fixed_way=True,
    ),
    "maml++": Row(
        MamlPlusPlus, _maml_plus_plus,
        "Antoniou et al. 2019, How to Train Your MAML, https://arxiv.org/abs/1810.09502", fixed_way=True,
    ),
    "bootstrapped": Row(
        Bootstrapped, _bootstrapped,
        "Flennerhag et al. 2022, Bootstrapped Meta-Learning, https://arxiv.org/abs/2109.04504", fixed_way=True,
    ),
    "boil": Row(Maml, _boil, "Oh et al. 2021, BOIL, https://arxiv.org/abs/2008.08882", fixed_way=True),
    "cavia": Row(
        Cavia, _cavia,
        "Zintgraf et al. 2019, Fast Context Adaptation via Meta-Learning, https://arxiv.org/abs/1810.03642",
        fixed_way=True, dense=False,
    ),
    "proto-maml": Row(
        Maml, _proto_maml, "Triantafillou et al. 2020, Meta-Dataset, https://arxiv.org/abs/1903.03096", numbers=False
    ),
    "prototypical": Row(
        Nothing, _prototypical, "Snell et al. 2017, Prototypical Networks, https://arxiv.org/abs/1703.05175",
        numbers=False,
    ),
    "matching": Row(Nothing, _matching(NEARNESS), _MATCHING, numbers=False),
    "matching-cosine": Row(Nothing, _matching(scaled_cosine()), _MATCHING, numbers=False),
    "matching-fce": Row(Nothing, _matching(NEARNESS, _full_context), _MATCHING, numbers=False),
    "siamese": Row(
        Nothing, _siamese,
        "Koch et al. 2015, Siamese Networks, https://www.cs.cmu.edu/~rsalakhu/papers/oneshot1.pdf", numbers=False,
    ),
    "relation": Row(
        Nothing, _relation, "Sung et al. 2018, Learning to Compare, https://arxiv.org/abs/1711.06025", numbers=False,
        dense=False,
    ),
    "ridge": Row(
        Nothing, _ridge, "Bertinetto et al. 2019, Differentiable Closed-Form Solvers, https://arxiv.org/abs/1805.08136"
    ),
    "neural-process": Row(
        Nothing, _neural_process,
        "Garnelo et al. 2018, Conditional Neural Processes, https://arxiv.org/abs/1807.01613",
    ),
    "attention": Row(
        Nothing, _attention,
        "Mishra et al. 2018, A Simple Neural Attentive Meta-Learner, https://arxiv.org/abs/1707.03141",
    ),
    "baseline": Row(Nothing, _baseline, _CLOSER_LOOK, numbers=False, ordinary=True),
    "baseline++": Row(Nothing, _baseline_plus_plus, _CLOSER_LOOK, numbers=False, ordinary=True),
}  # fmt: skip
