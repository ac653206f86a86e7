"""ALPaCA: Bayesian linear regression on learned features, with a learned prior (Harrison et al. 2018)."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.bayes.gaussian_process import Conditioned, condition, marginals
from jmeta.checks import check_above_zero
from jmeta.distances import product
from jmeta.distributions import Normal, nats
from jmeta.types import Batch, Learner, Model, Params, episodic


class ALPaCAParams(NamedTuple):
    """The encoder; of the weights of a linear layer on its features the mean `[D + 1, targets]` and a factor `[D + 1,
    D + 1]` of the covariance, the last row of both for a bias; and the logarithm `[1, targets]` of the variance of
    noise. `init` makes them for one target, which do for any number that are alike."""

    encoder: Params
    mean: Array
    factor: Array
    log_noise: Array


class ALPaCAAdapted(NamedTuple):
    """The parameters, the support set's features after the factor `[N, D + 1]`, and the process that has seen it."""

    params: ALPaCAParams
    seen: Array
    known: Conditioned


def alpaca(encoder: Model, *, spread: float = 1.0, noise: float = 0.1) -> Learner:
    """ALPaCA: the last layer of a network has a prior, which is learned, and its exact posterior in each task.

        y        = W' z + e,   z = [encoder(x), 1],   e ~ N(0, diag(noise^2))
        columns  W_t ~ N(mean_t, noise_t^2 F F')
        mean(x)  = W_n' z,   variance(x) = noise^2 (1 + z' L_n^-1 z)
        L_n      = (F F')^-1 + Z'Z,   W_n = L_n^-1 ((F F')^-1 mean + Z'Y)

    F may be any matrix: what it leaves out, weights do not do. With a mean of 0 and F = s I this is `deep_kernel` with
    a linear kernel. It is computed on examples, as a Gaussian process with the kernel z' F F' z, so that F need not be
    inverted; support rows of weight 0 are not there, and with none there the prediction is the prior.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        spread: F starts as `spread / noise` times the identity, so that weights have this standard deviation.
        noise: the standard deviation of noise that is learned starts here, above 0, in units of the target.

    Returns:
        A `Learner` whose `predict` returns a `Normal`, and whose loss is the mean negative log-likelihood of queries.

    Raises:
        ValueError: if `spread` or `noise` is not above 0 or not finite.

    Differs from the paper: the noise is learned, where it is known there; a bias has a prior too.
    Source: Harrison et al. 2018, Meta-Learning Priors for Efficient Online Bayesian Regression, section 3.
    https://arxiv.org/abs/1807.08912
    """
    check_above_zero("spread", spread)
    check_above_zero("noise", noise)

    def init(key: Array, x: Any) -> ALPaCAParams:
        params = encoder.init(key, x)
        z = jax.eval_shape(encoder.apply, params, x)
        size = z.shape[-1] + 1
        return ALPaCAParams(
            params, jnp.zeros((size, 1), z.dtype), jnp.eye(size, dtype=z.dtype) * (spread / noise),
            jnp.full((1, 1), 2 * math.log(noise), z.dtype),
        )  # fmt: skip

    def features(params: ALPaCAParams, z: Array) -> tuple[Array, Array]:
        one = jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1)
        return product(one, params.mean), product(one, params.factor)

    def adapt(params: ALPaCAParams, support: Batch) -> ALPaCAAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        mean, seen = features(params, z)
        noise = jnp.exp(params.log_noise / 2)
        known = condition(product(seen, seen.T), (support.y - mean) / noise, jnp.ones((), z.dtype), support.weight)
        return ALPaCAAdapted(params._replace(encoder=kept), seen, known)

    def predict(adapted: ALPaCAAdapted, x: Any, weight: Array | None = None) -> Normal:
        params = adapted.params
        mean, own = features(params, calls.apply(encoder, params.encoder, x, weight))
        found = marginals(adapted.known, product(adapted.seen, own.T), jnp.sum(jnp.square(own), axis=1))
        noise = jnp.exp(params.log_noise)
        return Normal(mean + jnp.sqrt(noise) * found.mean, noise * (found.variance + 1))

    return episodic(init, adapt, predict, nats)


def evidence(adapted: ALPaCAAdapted) -> Array:
    """The `joint.Evidence` of ALPaCA: of targets in units of their own, where the process has those of the noise."""
    return adapted.known.log_evidence - jnp.sum(adapted.known.there) * adapted.params.log_noise[0] / 2
