"""Model-agnostic meta-learning, first and second order (Finn et al. 2017)."""

import jax
import optax
from jax import Array

from jmeta import inner, models
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, mean_loss, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params


def maml(
    model: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    inner_steps: int,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    truncation: int | None = None,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """MAML: learn parameters from which a few gradient steps lead to a good model.

        params_0     = params
        params_{k+1} = params_k - inner_lr * grad L_support(params_k)
        loss         = L_query(params_K)

    Args:
        model: any `Model`; `x [N, ...]` to logits `[N, way]`.
        inner_optimizer: an Optax rule; `optax.sgd(inner_lr)` is the paper's.
        inner_steps: K, 0 or more.
        first_order: leave the second derivative out (FOMAML); `truncation=0`.
        inner_grad: how the inner gradient is taken: `jax.grad`, or with less memory `jmeta.remat_grad` or
            `jmeta.mixed_grad`, which give the same meta-gradient.
        truncation: differentiate through the inner gradient of the last so many steps; None for all.
        loss_fn: `(prediction, y) -> [N]`, for support and query.

    Returns:
        A `Learner`. `adapt` returns parameters of the model.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples. The authors' code sums over classes and averages over shots, so
    that its printed rate acts as `way` times that rate on the mean: 0.4 in 5-way Omniglot is 2.0 here.

    Example:
        >>> from jmeta import nets
        >>> learner = maml(nets.Conv4(5, features=4), inner_optimizer=optax.sgd(0.4), inner_steps=1)
        >>> x = jax.numpy.zeros((5, 28, 28, 1))
        >>> params = learner.init(jax.random.key(0), x)
        >>> adapted = learner.adapt(params, Batch(x, jax.numpy.eye(5)))
        >>> learner.predict(adapted, x).shape
        (5, 5)

    Source: Finn et al. 2017, Model-Agnostic Meta-Learning, algorithm 2. https://arxiv.org/abs/1703.03400
    """
    truncation = 0 if first_order else truncation
    inner.check_steps(inner_steps, truncation)

    def adapt(params: Params, support: Batch) -> Params:
        grad_fn = inner_grad(
            lambda params: mean_loss(models.apply(model, params, support.x, support.weight), support, loss_fn)
        )
        adapted = inner.descend(grad_fn, params, inner_optimizer, inner_steps, truncation=truncation)
        return models.condition(model, adapted, support.x, support.weight)

    def predict(adapted: Params, x: Array, weight: Array | None = None) -> Array:
        return models.apply(model, adapted, x, weight)

    def loss(params: Params, episode: Episode) -> tuple[Array, Metrics]:
        adapted = adapt(params, episode.support)
        return query_loss(predict(adapted, episode.query.x, episode.query.weight), episode.query, loss_fn)

    return Learner(model.init, adapt, predict, loss)
