"""VERSA: a network that writes the last layer, and how sure it is of it (Gordon et al. 2019)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmeta import calls
from jmeta.bayes.algorithms.bayesian_maml import Combine, mixture
from jmeta.checks import check_sizes
from jmeta.distances import product, prototypes, supported
from jmeta.losses import LossFn, cross_entropy, judge, possible
from jmeta.noise import key_of
from jmeta.types import Batch, Judge, Learner, Model, Params, episodic


class VersaParams(NamedTuple):
    """The encoder, and the network that writes."""

    encoder: Params
    writer: Params


class VersaAdapted(NamedTuple):
    """The encoder, samples of the layer `[samples, D + 1, way]`, and which classes `[way]` there are."""

    encoder: Params
    layers: Array
    supported: Array


def versa(
    encoder: Model,
    writer: Model,
    *,
    samples: int = 10,
    combine: Combine = mixture,
    loss_fn: LossFn = cross_entropy,
    judged: Judge | None = None,
) -> Learner:
    """VERSA: one network makes of each class's examples the distribution of its column of the last layer.

        c_k         = mean of encoder(x) over support examples of class k
        [m_k, s_k]  = writer(c_k),   column_k ~ N(m_k, exp(s_k)^2)
        f(x)        = combine over samples of [encoder(x), 1] . column_k

    Classes do not see each other, so that any number will do. Noise is that of `noise.key_of` the support set.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`.
        writer: model mapping `[way, D]` to `[way, 2 D + 2]`, such as an MLP.
        samples: of the layer, 1 or more.
        combine, loss_fn, judged: as in `bayesian_maml`.

    Raises:
        ValueError: if `samples` is below 1; from `init`, for a writer of another size.

    Source: Gordon et al. 2019, Meta-Learning Probabilistic Inference for Prediction, section 3.
    https://arxiv.org/abs/1805.09921
    """
    check_sizes(samples=samples)

    def init(key: Array, x: Any) -> VersaParams:
        params = VersaParams(*calls.init_both(key, x, encoder, writer))
        z = jax.eval_shape(encoder.apply, params.encoder, x)
        out = jax.eval_shape(writer.apply, params.writer, z).shape[-1]
        if out != 2 * z.shape[-1] + 2:
            raise ValueError(
                f"the writer must give {2 * z.shape[-1] + 2} numbers for {z.shape[-1]} features, a mean and a spread "
                f"of each weight and of the bias, got {out}"
            )
        return params

    def adapt(params: VersaParams, support: Batch) -> VersaAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        written = calls.apply(writer, params.writer, prototypes(z, support))
        mean, log_spread = jnp.split(written.T, 2)
        noise = jax.random.normal(key_of(support), (samples, *mean.shape), mean.dtype)
        return VersaAdapted(kept, mean[None] + jnp.exp(log_spread)[None] * noise, supported(support))

    def predict(adapted: VersaAdapted, x: Any, weight: Array | None = None) -> Any:
        z = calls.apply(encoder, adapted.encoder, x, weight)
        logits = jax.vmap(lambda layer: product(z, layer[:-1]) + layer[-1:])(adapted.layers)
        return combine(jax.vmap(possible, (0, None))(logits, adapted.supported))

    return episodic(init, adapt, predict, judge(loss_fn) if judged is None else judged)
