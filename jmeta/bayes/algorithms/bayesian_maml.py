"""Bayesian MAML: an ensemble of starts that adapts by Stein variational gradient descent (Yoon et al. 2018)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from jmeta import calls, inner
from jmeta.bayes import svgd
from jmeta.checks import check_above_zero, check_sizes
from jmeta.distributions import Normal
from jmeta.losses import LossFn, cross_entropy, judge, loss_on, possible
from jmeta.types import Batch, Judge, Learner, Model, Params, episodic

Combine = Callable[[Array], Any]
"""Predictions of all particles `[M, N, way]` to one, such as `mixture`."""


class Samples(NamedTuple):
    """Parameters of several networks `[samples, ...]`, and which classes `[way]` a task has; None for all."""

    params: Params
    classes: Array | None


def of_samples(model: Model, combine: Combine) -> Callable[..., Any]:
    """`predict` of `Samples`: what each network says of classes that are there, combined."""

    def predict(adapted: Samples, x: Any, weight: Array | None = None) -> Any:
        one = lambda params: possible(calls.apply(model, params, x, weight), adapted.classes)
        return combine(jax.vmap(one)(adapted.params))

    return predict


def conditioned(model: Model, params: Params, support: Batch) -> Samples:
    """Samples of networks, which keep what they need of the support set."""
    kept = jax.vmap(lambda one: calls.condition(model, one, support.x, support.weight))(params)
    return Samples(kept, support.classes)


def mixture(logits: Array) -> Array:
    """The logarithm `[N, way]` of the mean probability of logits `[M, N, way]`."""
    return jax.nn.logsumexp(jax.nn.log_softmax(logits), axis=0) - jnp.log(len(logits))


def moments(noise: float) -> Combine:
    """Of numbers: the mean of predictions `[M, N, targets]`, and their variance with that of noise, as a `Normal`.

        mean = mean_i f_i(x),   variance = mean_i (f_i(x) - mean)^2 + noise^2

    Args:
        noise: standard deviation of a target about what a sample predicts, above 0; what it is judged by is then
            `distributions.nats`.

    Raises:
        ValueError: if `noise` is not above 0 or not finite.
    """
    check_above_zero("noise", noise)
    return lambda predictions: Normal(jnp.mean(predictions, axis=0), jnp.var(predictions, axis=0) + noise**2)


def each(predictions: Array) -> Array:
    """All particles' predictions, as rules that ask by their disagreement want them."""
    return predictions


def bayesian_maml(
    model: Model,
    *,
    particles: int = 5,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    temperature: float = 1.0,
    bandwidth: svgd.Bandwidth = svgd.median_bandwidth,
    combine: Combine = mixture,
    loss_fn: LossFn = cross_entropy,
    judged: Judge | None = None,
) -> Learner:
    """Bayesian MAML: M starts adapt together to samples of a posterior, and their predictions are combined.

        w_i      <- step of the inner rule along -phi_i,   i = 1 ... M,   w_i = theta_i at first
        phi      = `svgd.direction` for the density exp(-mean loss of the support set / temperature), to that power
        f(x)     = combine(model(w_1, x), ..., model(w_M, x))
        loss     = loss of the query by f

    One particle is MAML, whatever the temperature: phi is the gradient, and what keeps particles apart is in units of
    it. The temperature says how far apart they stay.

    Args:
        model: the network, whose parameters `[...]` are `[M, ...]` here.
        particles: M, 1 or more.
        inner_optimizer: an Optax rule; `optax.sgd(inner_lr)` for plain steps.
        inner_steps: 0 or more.
        temperature: of the posterior, above 0; for the likelihood of all of n examples it is 1 / n.
        bandwidth: of the kernel, by squared distances of the particles.
        combine: `mixture` of classes; `each` keeps the samples, for `jmeta.active.rules.bald`.
        loss_fn: of the inner loop, a mean over examples.
        judged: of the query, by what `combine` returns; None for the mean of `loss_fn`.

    Raises:
        ValueError: if a number is out of its range.

    Differs from the paper: the loss is the query's, by the whole ensemble, where the paper's chaser loss draws it
    to another that has seen the query. There is no prior within a task beside the start. The kernel's derivative has
    its factor of 2, which the authors' code leaves out.
    Source: Yoon et al. 2018, Bayesian Model-Agnostic Meta-Learning, section 3. https://arxiv.org/abs/1806.03836
    """
    check_sizes(particles=particles)
    check_above_zero("temperature", temperature)
    inner.check_steps(inner_steps, None)

    def init(key: Array, x: Any) -> Params:
        return jax.vmap(lambda key: model.init(key, x))(jax.random.split(key, particles))

    def adapt(params: Params, support: Batch) -> Samples:
        loss = loss_on(support, lambda p, x, w: calls.apply(model, p, x, w), loss_fn)
        back = ravel_pytree(jax.tree.map(lambda a: a[0], params))[1]
        flat = jax.vmap(lambda one: ravel_pytree(one)[0])

        def descent(params: Params) -> Params:
            score = -flat(jax.vmap(jax.grad(loss))(params)) / temperature
            return jax.vmap(back)(-temperature * svgd.direction(flat(params), score, bandwidth))

        value = lambda params: jnp.mean(jax.vmap(loss)(params))
        adapted = inner.descend(descent, params, inner_optimizer, inner_steps, value_fn=value)
        return conditioned(model, adapted, support)

    return episodic(init, adapt, of_samples(model, combine), judge(loss_fn) if judged is None else judged)
