"""Amortized Bayesian meta-learning: a mean-field posterior of weights, by gradient steps (Ravi and Beatson 2019)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jmeta import calls, inner
from jmeta.bayes.algorithms.bayesian_maml import Combine, Samples, conditioned, mixture, of_samples
from jmeta.checks import check_above_zero, check_sizes
from jmeta.losses import LossFn, cross_entropy, judge, loss_on
from jmeta.noise import key_of, normal_like
from jmeta.types import Batch, Judge, Learner, Model, Params, episodic


class MeanField(NamedTuple):
    """Independent normal distributions of all parameters: means, and logarithms of standard deviations."""

    mean: Params
    log_spread: Params


def divergence(q: MeanField, p: MeanField) -> Array:
    """The Kullback-Leibler divergence of q from p, in nats, over all parameters.

    sum  log s_p - log s_q + (s_q^2 + (m_q - m_p)^2) / (2 s_p^2) - 1/2
    """

    def one(mean: Array, log: Array, mean_p: Array, log_p: Array) -> Array:
        ratio = jnp.exp(2 * (log - log_p)) + jnp.square((mean - mean_p) * jnp.exp(-log_p))
        return jnp.sum(log_p - log + ratio / 2 - 0.5)

    return sum(jax.tree.leaves(jax.tree.map(one, *q, *p)), jnp.zeros(()))


def abml(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    samples: int = 5,
    spread: float = 0.05,
    examples: float | None = None,
    combine: Combine = mixture,
    loss_fn: LossFn = cross_entropy,
    judged: Judge | None = None,
) -> Learner:
    """Amortized Bayesian meta-learning: each weight has a normal prior that is learned, and gradient steps from it lead
    to a posterior of the task.

        w_i   = mean + exp(log_spread) e_i,   i = 1 ... samples,   e_i ~ N(0, 1)
        bound = mean_i L_support(w_i) + KL(q | prior) / n
        q     <- step of the inner rule on the bound, from the prior
        f(x)  = combine(model(w_1, x), ..., model(w_S, x))

    So where the posterior may go is what the prior's spread says: weights that tasks share become narrow. The noise e
    is that of `noise.key_of`, the same in all steps of a task.

    Args:
        model: the network; parameters here are a `MeanField` of its.
        inner_optimizer: an Optax rule, of means and logarithms alike.
        inner_steps: 0 or more; with 0 predictions are those of samples of the prior.
        samples: S, 1 or more.
        spread: the standard deviation that weights start with, above 0.
        examples: n, how many examples the bound is a mean of; None for those of the support set.
        combine: as in `bayesian_maml`, like `loss_fn` and `judged`.

    Raises:
        ValueError: if a number is out of its range.

    Differs from the paper: there is no prior over the prior, which for it is weight decay; the posterior starts at the
    prior's spread as it is.
    Source: Ravi and Beatson 2019, Amortized Bayesian Meta-Learning. https://openreview.net/forum?id=rkgpy3C5tX
    """
    check_sizes(samples=samples)
    check_above_zero("spread", spread)
    if examples is not None:
        check_above_zero("examples", examples)
    inner.check_steps(inner_steps, None)

    def init(key: Array, x: Any) -> MeanField:
        mean = model.init(key, x)
        return MeanField(mean, jax.tree.map(lambda a: jnp.full_like(a, math.log(spread)), mean))

    def drawn(q: MeanField, noise: Params) -> Params:
        return jax.tree.map(lambda m, log, e: m[None] + jnp.exp(log)[None] * e, *q, noise)

    def adapt(params: MeanField, support: Batch) -> Samples:
        loss = loss_on(support, lambda p, x, w: calls.apply(model, p, x, w), loss_fn)
        noise = normal_like(key_of(support), params.mean, samples)
        there = jnp.ones_like(support.y[:, 0]) if support.weight is None else (support.weight != 0).astype(float)
        n = jnp.maximum(jnp.sum(there), 1) if examples is None else examples

        def bound(q: MeanField) -> Array:
            return jnp.mean(jax.vmap(loss)(drawn(q, noise))) + divergence(q, params) / n

        q = inner.descend(jax.grad(bound), params, inner_optimizer, inner_steps, value_fn=bound)
        return conditioned(model, drawn(q, noise), support)

    return episodic(init, adapt, of_samples(model, combine), judge(loss_fn) if judged is None else judged)
