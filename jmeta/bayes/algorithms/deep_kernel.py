"""Deep kernel transfer: a Gaussian process on learned features (Patacchiola et al. 2020)."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.bayes.gaussian_process import Conditioned, condition, draw, joint, marginals
from jmeta.bayes.kernels import Kernel
from jmeta.checks import check_above_zero
from jmeta.distributions import Normal, nats
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner, together


class DeepKernelParams(NamedTuple):
    """Parameters of the encoder and of the kernel, the mean `[]` of all functions or the parameters of its network, and
    the logarithm `[]` of the variance of noise."""

    encoder: Params
    kernel: Params
    mean: Params
    log_noise: Array


class DeepKernelAdapted(NamedTuple):
    """The parameters, the support set's features `[N, D]`, and the process that has seen it."""

    params: DeepKernelParams
    z: Array
    known: Conditioned


Objective = Callable[[Callable[..., Any], Callable[..., Normal], DeepKernelParams, Episode], Array]
"""`(adapt, predict, params, episode) -> []`, what is made small: `marginal` or `predictive`."""


def marginal(adapt: Callable[..., Any], predict: Callable[..., Normal], params: Any, episode: Episode) -> Array:
    """The negative logarithm of the density of all targets of an episode jointly, in nats a target: the paper's.

    It is 0 where no target is there.
    """
    both = together(*episode)
    evidence = adapt(params, both).known.log_evidence
    real = jnp.ones_like(evidence) if both.classes is None else (both.classes > 0).astype(evidence.dtype)
    rows = jnp.ones_like(both.y[:, 0]) if both.weight is None else (both.weight > 0).astype(evidence.dtype)
    return -jnp.sum(evidence * real) / jnp.maximum(jnp.sum(rows) * jnp.sum(real), 1)


def predictive(adapt: Callable[..., Any], predict: Callable[..., Normal], params: Any, episode: Episode) -> Array:
    """The mean negative log-likelihood of the queries given the support set, each by itself: `distributions.nats`."""
    query = episode.query
    return nats(predict(adapt(params, episode.support), query.x, query.weight), query)[0]


def deep_kernel(
    encoder: Model,
    kernel: Kernel,
    *,
    mean: Model | None = None,
    noise: float = 0.1,
    objective: Objective = marginal,
) -> Learner:
    """Deep kernel transfer, for regression: the exact posterior of a Gaussian process on an encoder's features.

        y = m(x) + f(encoder(x)) + e,   f ~ GP(0, kernel),   e ~ N(0, noise^2)
        A = K(Z, Z) + noise^2 I,        mean(x) = m(x) + k(x, Z) A^-1 (y - m(X))
        variance(x) = k(x, x) - k(x, Z) A^-1 k(Z, x) + noise^2

    The encoder, the kernel, m and the noise are learned over tasks; nothing is moved by gradients within one. Support
    rows of weight 0 are not there, and with none there the prediction is the prior. Targets are independent functions
    of the same process.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features, by
            which this is a Gaussian process, exact if the kernel is right.
        kernel: such as `bayes.rbf()`.
        mean: model mapping `x [N, ...]` to `[N, 1]`, m: what all functions have in common; None for a constant.
        noise: the standard deviation of noise that is learned starts here, above 0, in units of the target.
        objective: what is made small: `marginal`, of support and query together, or `predictive`, of the queries given
            the support. `Metrics.loss` is the latter in both.

    Returns:
        A `Learner` whose `predict` returns a `Normal`.

    Raises:
        ValueError: if `noise` is not above 0 or not finite.

    Differs from the paper: the kernel's matrix gets a jitter, see `gaussian_process.condition`, and the loss is
    a mean over targets, where the paper's likelihood is of all.
    Source: Patacchiola et al. 2020, Bayesian Meta-Learning for the Few-Shot Setting via Deep Kernels.
    https://arxiv.org/abs/1910.05199
    """
    check_above_zero("noise", noise)

    def init(key: Array, x: Any) -> DeepKernelParams:
        params = encoder.init(key, x)
        z = jax.eval_shape(encoder.apply, params, x)
        common = jnp.zeros((), z.dtype) if mean is None else mean.init(jax.random.fold_in(key, 1), x)
        own = kernel.init(jnp.zeros((1, *z.shape[1:]), z.dtype))
        return DeepKernelParams(params, own, common, jnp.asarray(2 * math.log(noise), z.dtype))

    def adapt(params: DeepKernelParams, support: Batch) -> DeepKernelAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        k = kernel.matrix(params.kernel, z, z)
        y = support.y - common_mean(mean, params, support.x, support.weight)
        known = condition(k, y, jnp.exp(params.log_noise), support.weight)
        return DeepKernelAdapted(params._replace(encoder=kept), z, known)

    def predict(adapted: DeepKernelAdapted, x: Any, weight: Array | None = None) -> Normal:
        params = adapted.params
        z = calls.apply(encoder, params.encoder, x, weight)
        cross = kernel.matrix(params.kernel, adapted.z, z)
        of_function = marginals(adapted.known, cross, kernel.variance(params.kernel, z))
        common = common_mean(mean, params, x, weight)
        return Normal(common + of_function.mean, of_function.variance + jnp.exp(params.log_noise))

    def loss(params: DeepKernelParams, episode: Episode) -> tuple[Array, Metrics]:
        return objective(adapt, predict, params, episode), Metrics(predictive(adapt, predict, params, episode))

    return learner(init, adapt, predict, loss)


def common_mean(mean: Model | None, params: DeepKernelParams, x: Any, weight: Array | None = None) -> Array:
    """What all functions have in common at x: `[N, 1]`, or `[]` without a network of it."""
    return params.mean if mean is None else calls.apply(mean, params.mean, x, weight)


def evidence(adapted: DeepKernelAdapted) -> Array:
    """The `joint.Evidence` of a deep kernel."""
    return adapted.known.log_evidence


def joint_sampler(
    encoder: Model, kernel: Kernel, *, mean: Model | None = None
) -> Callable[[DeepKernelAdapted, Any, Array], Array]:
    """Functions of the posterior of a `deep_kernel` of the same parts: `(adapted, x [M, ...], key) -> [M, targets]`.

    They are of the function at all places jointly, without noise.
    """

    def sample(adapted: DeepKernelAdapted, x: Any, key: Array) -> Array:
        params = adapted.params
        z = calls.apply(encoder, params.encoder, x)
        k = kernel.matrix(params.kernel, z, z)
        apart, covariance = joint(adapted.known, kernel.matrix(params.kernel, adapted.z, z), k)
        return draw(key, common_mean(mean, params, x) + apart, covariance, jnp.diagonal(k))

    return sample
