"""Deep kernel transfer for classes: a Gaussian process for each against the rest (Patacchiola et al. 2020)."""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array

from jmeta.bayes.algorithms.deep_kernel import DeepKernelAdapted, Objective, deep_kernel, marginal
from jmeta.bayes.kernels import Kernel
from jmeta.distances import supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class ClassifierAdapted(NamedTuple):
    """The processes that have seen the support set, and which classes `[way]` it has."""

    processes: DeepKernelAdapted
    supported: Array


def deep_kernel_classifier(
    encoder: Model,
    kernel: Kernel,
    *,
    noise: float = 0.1,
    objective: Objective | None = marginal,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """Deep kernel transfer, for classification: `deep_kernel` with a target of each class, 1 for its examples and -1
    for others.

        y_k      = 1 for examples of class k, else -1;   m_k(x), v(x) of `deep_kernel`
        logit_k  = 2 m_k(x) / v(x)  =  log N(1; m_k, v) - log N(-1; m_k, v)

    The softmax of these is the probability of each class given that exactly one of the targets of x is 1: the largest
    is at the largest mean, and all are near 0, which is to say open, where v is large. A class without examples is
    never predicted. Any number of classes will do.

    Args:
        encoder, kernel: as in `deep_kernel`.
        noise: likewise; targets are -1 and 1.
        objective: what is made small, of these targets: `deep_kernel.marginal`, the paper's; None for the mean of
            `loss_fn` over the labels of queries.
        loss_fn: `(prediction, y) -> [N]`, for `Metrics` and that.

    Raises:
        ValueError: as `deep_kernel`.

    Differs from the paper: logits weigh means by their variance, where the paper takes the sigmoid of each mean, whose
    order is the same. The likelihood is that of numbers, as there.
    Source: Patacchiola et al. 2020, Bayesian Meta-Learning for the Few-Shot Setting via Deep Kernels, section 3.4.
    https://arxiv.org/abs/1910.05199
    """
    processes, score = deep_kernel(encoder, kernel, noise=noise), judge(loss_fn)

    def signs(batch: Batch) -> Batch:
        return batch._replace(y=2 * batch.y - 1)

    def adapt(params: Params, support: Batch) -> ClassifierAdapted:
        return ClassifierAdapted(processes.adapt(params, signs(support)), supported(support))

    def predict(adapted: ClassifierAdapted, x: Any, weight: Array | None = None) -> Array:
        found = processes.predict(adapted.processes, x, weight)
        return possible(2 * found.mean / jnp.maximum(found.variance, 1e-12), adapted.supported)

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode
        own, metrics = score(predict(adapt(params, support), query.x, query.weight), query)
        if objective is not None:
            own = objective(processes.adapt, processes.predict, params, Episode(signs(support), signs(query)))
        return own, metrics

    return learner(processes.init, adapt, predict, loss)
