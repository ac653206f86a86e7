"""A variational autoencoder of drawings of a class, whose prior is made of a few of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.checks import check_sizes
from jmeta.generative.types import Generator, density_loss
from jmeta.noise import key_of
from jmeta.types import Batch, Model, Params, episodic

INK = 0.5
Bound = Callable[[Array], Array]
"""`log p(x, z) - log q(z | x)` of samples, `[samples, N]`, to what is made large, `[N]`."""


class SetVAEParams(NamedTuple):
    """Parameters of the four networks, and the features `[1, D]` of an empty set."""

    encoder: Params
    prior: Params
    posterior: Params
    decoder: Params
    empty: Array


class SetVAEAdapted(NamedTuple):
    """The parameters, the context `[1, D]` of a support set, and a picture of zeros."""

    params: SetVAEParams
    context: Array
    blank: Array


def importance(each: Array) -> Array:
    """log mean exp over samples: a lower bound of log p(x) that more samples make tighter (Burda et al. 2016)."""
    return jax.nn.logsumexp(each, axis=0) - jnp.log(len(each))


def evidence(each: Array) -> Array:
    """The mean over samples: the evidence lower bound (Kingma and Welling 2014)."""
    return jnp.mean(each, axis=0)


def set_vae(
    encoder: Model, prior: Model, posterior: Model, decoder: Model, *, samples: int = 8, bound: Bound = importance
) -> Generator:
    """A prior of the latent for each support set, and a decoder that draws from the latent and the set.

        c        = (empty + sum_n w_n encoder(x_n)) / (1 + sum_n w_n)
        z        ~ N(m, exp(s)^2)            m, s = prior(c)                  p(z | support)
        q(z | x) = N(m + m', exp(s')^2)      m', s' = posterior([encoder(x), c])
        x        ~ Bernoulli(sigmoid(decoder([z, c])))                        of each pixel
        log p(x | support) >= bound over samples z of q of  log p(x | z, c) + log p(z | c) - log q(z | x, c)

    Args:
        encoder: model mapping pictures `[N, H, W, 1]` to features `[N, D]`.
        prior: model mapping `[1, D]` to `[1, 2 latent]`.
        posterior: model mapping `[N, 2 D]` to `[N, 2 latent]`.
        decoder: model mapping `[N, latent + D]` to `[N, H * W]`.
        samples: of the latent for each picture. They are those of the picture's bits, so that the density of a picture
            is one number, and does not depend on what else is asked for.
        bound: what is made large, `importance` or `evidence`.

    Returns:
        A `Generator` of pictures of 0 and 1, a pixel above 0.5 has ink. Its densities are lower bounds.

    Raises:
        ValueError: if `samples` is below 1; from `sample`, for no picture.

    Differs from the paper: the context is a mean of features and has no distribution of its own; the latent has one
    level; the empty set has features, which count as one picture's.
    Source: Edwards and Storkey 2017, Towards a Neural Statistician, section 3. https://arxiv.org/abs/1606.02185
    """
    check_sizes(samples=samples)

    def init(key: Array, x: Any) -> SetVAEParams:
        keys = jax.random.split(key, 4)
        of_encoder = encoder.init(keys[0], x)
        features = encoder.apply(of_encoder, x)
        empty = jnp.zeros_like(features[:1])
        of_prior = prior.init(keys[1], empty)
        z = prior.apply(of_prior, empty)[:, ::2]
        of_posterior = posterior.init(keys[2], jnp.concatenate([empty, empty], axis=1))
        return SetVAEParams(
            of_encoder, of_prior, of_posterior, decoder.init(keys[3], jnp.concatenate([z, empty], 1)), empty
        )

    def adapt(params: SetVAEParams, support: Batch) -> SetVAEAdapted:
        features, kept = calls.read(encoder, params.encoder, support)
        weight = jnp.ones_like(features[:, 0]) if support.weight is None else support.weight
        total = params.empty + jnp.sum(weight[:, None] * features, axis=0, keepdims=True)
        blank = jnp.zeros(support.x.shape[1:], features.dtype)
        return SetVAEAdapted(params._replace(encoder=kept), total / (1 + jnp.sum(weight)), blank)

    def drawn(adapted: SetVAEAdapted, z: Array) -> Array:
        context = jnp.broadcast_to(adapted.context, (len(z), adapted.context.shape[1]))
        return decoder.apply(adapted.params.decoder, jnp.concatenate([z, context], axis=1))

    def predict(adapted: SetVAEAdapted, x: Any, weight: Array | None = None) -> Array:
        params, context, _ = adapted
        ink = (x > INK).astype(x.dtype).reshape(len(x), -1)
        features = calls.apply(encoder, params.encoder, x, weight)
        both = jnp.concatenate([features, jnp.broadcast_to(context, features.shape)], axis=1)
        mean, log_spread = jnp.split(prior.apply(params.prior, context), 2, axis=1)
        shift, own_log_spread = jnp.split(posterior.apply(params.posterior, both), 2, axis=1)
        own_key = jax.vmap(lambda picture: key_of(Batch(picture[None], jnp.ones((1, 1)))))
        noise = jax.vmap(lambda key: jax.random.normal(key, (samples, mean.shape[1]), x.dtype))(own_key(x))

        def one(noise: Array) -> Array:
            z = mean + shift + jnp.exp(own_log_spread) * noise
            scaled = (z - mean) * jnp.exp(-log_spread)
            ratio = (jnp.square(noise) - jnp.square(scaled)) / 2 + own_log_spread - log_spread
            logits = drawn(adapted, z)
            return jnp.sum(ink * logits - jax.nn.softplus(logits), axis=1) + jnp.sum(ratio, axis=1)

        return bound(jax.vmap(one, in_axes=1)(noise))

    def sample(adapted: SetVAEAdapted, key: Array, n: int) -> Array:
        check_sizes(n=n)
        of_latent, of_pixels = jax.random.split(key)
        mean, log_spread = jnp.split(prior.apply(adapted.params.prior, adapted.context), 2, axis=1)
        z = mean + jnp.exp(log_spread) * jax.random.normal(of_latent, (n, mean.shape[1]), mean.dtype)
        ink = jax.random.bernoulli(of_pixels, jax.nn.sigmoid(drawn(adapted, z)))
        return ink.astype(mean.dtype).reshape(n, *adapted.blank.shape)

    return Generator(episodic(init, adapt, predict, density_loss), sample)
