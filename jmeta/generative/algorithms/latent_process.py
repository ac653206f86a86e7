"""Neural processes with a latent variable for the whole function (Garnelo et al. 2018b)."""

from collections.abc import Callable
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jmeta import calls
from jmeta.algorithms.neural_process import beside, mean_of
from jmeta.checks import check_sizes
from jmeta.distances import pair_weights
from jmeta.distributions import Normal, log_density
from jmeta.generative.algorithms.joint_process import by_target
from jmeta.generative.heads import spread
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner, together


class LatentParams(NamedTuple):
    """Parameters of the four networks."""

    encoder: Params
    pairs: Params
    posterior: Params
    decoder: Params


class LatentAdapted(NamedTuple):
    """Parameters, what is known of the latent variable, `[targets, Z]`, and which targets there are."""

    params: LatentParams
    latent: Normal
    classes: Array | None


Objective = Callable[[Normal, Normal, Callable[[Array], Array], Array], Array]
"""`(seen, all, log_likelihood, noise [L, Z]) -> [targets]`, made large, in nats of all queries jointly: `seen` and
`all` are q(z | support) and q(z | support and query), and `log_likelihood(z [L, targets, Z]) -> [L, targets]`."""


def elbo(seen: Normal, whole: Normal, log_likelihood: Callable[[Array], Array], noise: Array) -> Array:
    """`E_{z ~ q(z | all)} log p(y | z) - KL(q(z | all), q(z | support))`: the paper's."""
    ratio = whole.variance / seen.variance
    apart = ratio + jnp.square(whole.mean - seen.mean) / seen.variance - 1 - jnp.log(ratio)
    return jnp.mean(log_likelihood(drawn(whole, noise)), axis=0) - jnp.sum(apart, axis=-1) / 2


def importance_weighted(seen: Normal, whole: Normal, log_likelihood: Callable[[Array], Array], noise: Array) -> Array:
    """`log mean_l p(y | z_l) q(z_l | support) / q(z_l | all)` with z from `q(z | all)`: the tighter bound of Burda et
    al. 2016, Importance Weighted Autoencoders, https://arxiv.org/abs/1509.00519."""
    z = drawn(whole, noise)
    weights = jnp.sum(jax.vmap(lambda z: log_density(seen, z) - log_density(whole, z))(z), axis=-1)
    return jax.nn.logsumexp(log_likelihood(z) + weights, axis=0) - jnp.log(len(z))


def likelihood(seen: Normal, whole: Normal, log_likelihood: Callable[[Array], Array], noise: Array) -> Array:
    """`log mean_l p(y | z_l)` with z from `q(z | support)`: what is predicted, a mixture of L functions."""
    z = drawn(seen, noise)
    return jax.nn.logsumexp(log_likelihood(z), axis=0) - jnp.log(len(z))


def drawn(latent: Normal, noise: Array) -> Array:
    """Values `[L, targets, Z]` of a latent variable by standard normal ones `[L, Z]`."""
    return latent.mean[None] + jnp.sqrt(latent.variance)[None] * noise[:, None].astype(latent.mean.dtype)


def spread_evenly(samples: int, latent: int, seed: int) -> np.ndarray:
    """Standard normal values `[samples, latent]`: each column has the same quantiles, in an order of its own."""
    normal, rng = NormalDist(), np.random.default_rng(seed)
    quantiles = np.array([normal.inv_cdf((i + 0.5) / samples) for i in range(samples)], np.float32)
    return np.stack([rng.permutation(quantiles) for _ in range(latent)], axis=1)


def latent_process(
    encoder: Model,
    pairs: Model,
    posterior: Model,
    decoder: Model,
    *,
    latent: int,
    samples: int = 16,
    seed: int = 0,
    objective: Objective = elbo,
) -> Learner:
    """A neural process: one latent variable is the function, and its distribution is what is known of it.

        r       = sum_n w_n pairs([encoder(x_n), y_n]) / sum_n w_n               0 where no example is there
        a, b    = posterior(r),   q(z | examples) = N(a, exp(2 b))
        m, s    = decoder([encoder(x), z_l]),   p(y | z_l) = N(m, exp(2 s)),   z_l = a + exp(b) noise_l
        predict = mean_l m_l,   mean_l exp(2 s_l) + variance_l m_l

    The noise is drawn when this is called, a Latin hypercube of normal quantiles, so that all functions are pure, and
    the prediction is a mixture of exactly `samples` functions. `predict` returns the normal distribution with its mean
    and variance; `Metrics.loss` is the negative logarithm of the mixture's joint density of all queries, divided by
    their number, which in expectation over noise is above that of all z.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`; `nets.MLPEncoder(())` for those that are features.
        pairs: model mapping `[N, D + 1]` to `[N, R]`.
        posterior: model mapping `[targets, R]` to `[targets, 2 * latent]`, means first.
        decoder: model mapping `[N, D + latent]` to `[N, 2]`.
        latent: Z, numbers of the latent variable.
        samples: L, functions that are drawn.
        seed: of the noise.
        objective: what is made large in training: `elbo`, `importance_weighted` or `likelihood`.

    Returns:
        A `Learner` whose `predict` returns a `Normal`. Several targets are independent functions.

    Raises:
        ValueError: if `latent` or `samples` is below 1; from `adapt`, for a posterior of another number of outputs.

    Differs from the paper: spreads have no floor and no ceiling, and targets do not include the support set.
    Source: Garnelo et al. 2018, Neural Processes. https://arxiv.org/abs/1807.01622; `likelihood` is that of Foong et
    al. 2020, Meta-Learning Stationary Stochastic Process Prediction with Convolutional Neural Processes, section 3.
    https://arxiv.org/abs/2007.01332
    """
    check_sizes(latent=latent, samples=samples)
    noise = spread_evenly(samples, latent, seed)

    def init(key: Array, x: Any) -> LatentParams:
        keys = jax.random.split(key, 4)
        of_encoder = encoder.init(keys[0], x)
        z = encoder.apply(of_encoder, x)
        pair = beside(z, z[:, :1, None])
        of_pairs = pairs.init(keys[1], pair)
        of_posterior = posterior.init(keys[2], pairs.apply(of_pairs, pair)[:1])
        values = beside(z, jnp.zeros((1, 1, latent), z.dtype))
        return LatentParams(of_encoder, of_pairs, of_posterior, decoder.init(keys[3], values))

    def adapt(params: LatentParams, support: Batch) -> LatentAdapted:
        _, y, weight, classes = support
        z, of_encoder = calls.read(encoder, params.encoder, support)
        rows = pair_weights(y.shape, weight, classes)
        e = calls.apply(pairs, params.pairs, beside(z, y[..., None]), rows).reshape(*y.shape, -1)
        out = calls.apply(posterior, params.posterior, mean_of(e, jnp.ones_like(y), weight), classes)
        if out.shape[1] != 2 * latent:
            raise ValueError(f"posterior must have {2 * latent} outputs, two for each of latent, got {out.shape[1]}")
        known = Normal(out[:, :latent], jnp.exp(2 * out[:, latent:]))
        of_decoder = calls.condition(decoder, params.decoder, beside(z, known.mean[None]), rows)
        return LatentAdapted(LatentParams(of_encoder, params.pairs, params.posterior, of_decoder), known, classes)

    def decode(adapted: LatentAdapted, values: Array, x: Any, weight: Array | None) -> Normal:
        """Of each function, `[L, M, targets]`, of latent values `[L, targets, Z]`."""
        z = calls.apply(encoder, adapted.params.encoder, x, weight)
        shape = len(z), values.shape[1]
        rows = pair_weights(shape, weight, adapted.classes)
        one = lambda value: calls.apply(decoder, adapted.params.decoder, beside(z, value[None]), rows)
        return spread(jax.vmap(one)(values).reshape(len(values), *shape, -1))

    def predict(adapted: LatentAdapted, x: Any, weight: Array | None = None) -> Normal:
        each = decode(adapted, drawn(adapted.latent, jnp.asarray(noise)), x, weight)
        mean = jnp.mean(each.mean, axis=0)
        return Normal(mean, jnp.mean(each.variance + jnp.square(each.mean - mean[None]), axis=0))

    def loss(params: LatentParams, episode: Episode) -> tuple[Array, Metrics]:
        query = episode.query
        seen, whole = adapt(params, episode.support), adapt(params, together(*episode))
        there = jnp.ones_like(query.y[:, 0]) if query.weight is None else (query.weight > 0).astype(query.y.dtype)

        def log_likelihood(values: Array) -> Array:
            each = decode(seen, values, query.x, query.weight)
            density = jax.vmap(lambda *one: log_density(Normal(*one), query.y))(*each)
            return jnp.sum(jnp.where(there[None, :, None] > 0, density, 0), axis=1)

        given = seen.latent, whole.latent, log_likelihood, jnp.asarray(noise)
        return -by_target(objective(*given), query), Metrics(-by_target(likelihood(*given), query))

    return learner(init, adapt, predict, loss)
