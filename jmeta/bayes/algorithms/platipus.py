"""PLATIPUS: MAML from a start that is drawn anew for each task (Finn, Xu and Levine 2018)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.bayes.algorithms.abml import MeanField, divergence
from jmeta.bayes.algorithms.bayesian_maml import Combine, Samples, conditioned, mixture, of_samples
from jmeta.checks import check_above_zero, check_sizes
from jmeta.losses import LossFn, cross_entropy, judge, loss_on
from jmeta.noise import key_of, normal_like
from jmeta.types import Batch, Episode, Judge, Learner, Metrics, Model, Params, learner


class PlatipusParams(NamedTuple):
    """The mean of starts, the logarithms of their standard deviation in a task and in training, and the logarithms of
    the rates `[]` of the prior's and of the posterior's step."""

    mean: Params
    log_spread: Params
    log_spread_q: Params
    log_rate: Array
    log_rate_q: Array


def platipus(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    samples: int = 5,
    spread: float = 0.05,
    rate: float = 0.01,
    kl_weight: float = 1e-3,
    combine: Combine = mixture,
    loss_fn: LossFn = cross_entropy,
    judged: Judge | None = None,
) -> Learner:
    """PLATIPUS: several starts are drawn for a task, and MAML goes on from each, to answers that differ where the
    examples leave them open.

        p(theta)   = N(mean - rate   grad L_support(mean), spread^2)      in the test
        q(theta)   = N(mean - rate_q grad L_query(mean),   spread_q^2)    in training
        w_i        = inner steps on L_support from theta_i,   i = 1 ... samples
        f(x)       = combine(model(w_1, x), ..., model(w_S, x))
        loss       = mean_i L_query(w_i), theta_i ~ q,   + kl_weight KL(q | p)

    Without spread and rates this is MAML. Noise is that of `noise.key_of` the support set. `Metrics` are those of
    starts from p, as in the test: q has seen the answers.

    Args:
        model: the network.
        inner_optimizer: an Optax rule.
        inner_steps: 0 or more.
        samples: S, 1 or more.
        spread: both standard deviations start here, above 0; they are learned.
        rate: both rates start here, above 0; they are learned.
        kl_weight: of the divergence of q from p over all weights, 0 or more; 1 / queries for the variational bound.
        combine, loss_fn, judged: as in `bayesian_maml`.

    Raises:
        ValueError: if a number is out of its range.

    Differs from the paper: the loss is of the samples by themselves, as there, and the weight of the divergence is
    told, where the authors' code has its own.
    Source: Finn, Xu and Levine 2018, Probabilistic Model-Agnostic Meta-Learning, algorithms 1 and 2.
    https://arxiv.org/abs/1806.02817
    """
    check_sizes(samples=samples)
    check_above_zero("spread", spread)
    check_above_zero("rate", rate)
    if not (kl_weight >= 0 and math.isfinite(kl_weight)):
        raise ValueError(f"kl_weight must be 0 or more, got {kl_weight}")
    inner.check_steps(inner_steps, None)
    score = judge(loss_fn) if judged is None else judged

    def init(key: Array, x: Any) -> PlatipusParams:
        mean = model.init(key, x)
        logs = lambda: jax.tree.map(lambda a: jnp.full_like(a, math.log(spread)), mean)
        dtype = jax.tree.leaves(mean)[0].dtype
        rates = (jnp.asarray(math.log(rate), dtype) for _ in range(2))
        return PlatipusParams(mean, logs(), logs(), *rates)

    def loss_of(batch: Batch) -> Any:
        return loss_on(batch, lambda p, x, w: calls.apply(model, p, x, w), loss_fn)

    def moved(mean: Params, log_rate: Array, batch: Batch) -> Params:
        return jax.tree.map(lambda m, g: m - jnp.exp(log_rate) * g, mean, jax.grad(loss_of(batch))(mean))

    def from_starts(q: MeanField, support: Batch) -> Samples:
        noise = normal_like(key_of(support), q.mean, samples)
        starts = jax.tree.map(lambda m, log, e: m[None] + jnp.exp(log)[None] * e, *q, noise)
        loss = loss_of(support)
        each = lambda start: inner.descend(jax.grad(loss), start, inner_optimizer, inner_steps, value_fn=loss)
        return conditioned(model, jax.vmap(each)(starts), support)

    def prior(params: PlatipusParams, support: Batch) -> MeanField:
        return MeanField(moved(params.mean, params.log_rate, support), params.log_spread)

    def adapt(params: PlatipusParams, support: Batch) -> Samples:
        return from_starts(prior(params, support), support)

    predict = of_samples(model, combine)

    def loss(params: PlatipusParams, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode
        q = MeanField(moved(params.mean, params.log_rate_q, query), params.log_spread_q)
        samples = from_starts(q, support).params
        bound = jnp.mean(jax.vmap(loss_of(query))(samples)) + kl_weight * divergence(q, prior(params, support))
        return bound, score(predict(adapt(params, support), query.x, query.weight), query)[1]

    return learner(init, adapt, predict, loss)
