"""Model-agnostic meta-learning, first and second order (Finn et al. 2017)."""

from functools import partial

import jax
import optax

from jmeta import calls, inner
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge
from jmeta.types import Batch, Learner, Model, Params, episodic


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
        inner_grad: how the inner gradient is taken: `jax.grad`, or with less memory `jmeta.gradients.remat_grad` or
            `jmeta.gradients.mixed_grad`, which give the same meta-gradient.
        truncation: differentiate through the inner gradient of the last so many steps; None for all.
        loss_fn: `(prediction, y) -> [N]`, for support and query.

    Raises:
        ValueError: if `inner_steps` or `truncation` is negative.

    Differs from the paper: L is the mean over examples. The authors' code sums over classes and averages over shots, so
    that its printed rate acts `way` times over: 0.4 in 5-way Omniglot is 2.0 here.

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
    loop = inner.inner_loop(inner_optimizer, inner_steps, first_order, inner_grad, truncation, loss_fn)
    predict = partial(calls.apply, model)

    def adapt(params: Params, support: Batch) -> Params:
        adapted = inner.fit(loop, predict, params, support)
        return calls.condition(model, adapted, support.x, support.weight)

    return episodic(model.init, adapt, predict, judge(loss_fn))
