"""MAML++: MAML with the steps that make it train well (Antoniou et al. 2019)."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import calls, checks, inner
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, loss_on, query_loss
from jmeta.types import Batch, Episode, Learner, Metrics, Model, Params, learner


class MAMLPlusPlusParams(NamedTuple):
    """The initialization, and a rate for each tensor and inner step.

    Attributes:
        model: the model's parameters; those that every step has its own of are `[K, ...]`.
        lr: `[K]` by name, for every parameter tensor that the inner loop moves.
    """

    model: Params
    lr: dict[str, Array]


class _Parts(NamedTuple):
    """Parameters of a model, or of a learner `[K, ...]`: those that move, those of steps, and the model of both."""

    moving: dict[str, Array]
    own: dict[str, Array]
    join: Callable[[dict[str, Array], dict[str, Array]], Params]


def normalization(name: str) -> bool:
    """Whether a parameter such as `params.encoder.BatchNorm_0.scale` belongs to a normalization layer."""
    return "norm" in name.lower()


def multi_step_weights(step: Array | int, inner_steps: int, anneal_steps: int, *, floor: float = 0.03) -> Array:
    """How much the query loss after each inner step counts at an outer step t, in E outer steps of annealing.

        v_k = max(1/K - t / (K E), floor / K)    for k < K
        v_K = 1 - sum_{k < K} v_k
        v   = (0, ..., 0, 1)                     from t = E on

    All K = `inner_steps` count alike at step t = 0, and from E = `anneal_steps` on the last alone; `floor` is what
    remains of an even share until then. The weights `[K]` sum to 1.

    Raises:
        ValueError: if `inner_steps` or `anneal_steps` is below 1, or `floor` is outside 0 to 1.

    Example:
        >>> [multi_step_weights(t, 2, 100).round(2).tolist() for t in (0, 50, 100)]
        [[0.5, 0.5], [0.25, 0.75], [0.0, 1.0]]

    Differs from the paper: t counts outer steps; the authors' code, which the formula is of, counts epochs of 500.
    Source: Antoniou et al. 2019, How to train your MAML, section 4, and the authors' code for the formula.
    https://arxiv.org/abs/1810.09502
    """
    checks.check_sizes(inner_steps=inner_steps, anneal_steps=anneal_steps)
    if checks.known(floor) and not 0 <= floor <= 1:
        raise ValueError(f"floor must be 0 to 1, a part of an even share, got {floor}")
    t = jnp.asarray(step, float)
    early = jnp.maximum(1 - t / anneal_steps, floor) / inner_steps
    early = jnp.where(t < anneal_steps, early, 0)
    return jnp.full(inner_steps, early).at[-1].set(1 - (inner_steps - 1) * early)


def maml_plus_plus(
    model: Model,
    *,
    inner_lr: float,
    inner_steps: int,
    loss_weights: Any = None,
    first_order: bool | Array = False,
    per_step: Callable[[str], bool] = normalization,
    inner_grad: Grad = jax.grad,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """MAML++: a learned rate for each tensor and step, own normalization parameters for each step, and a loss of each.

        w_{k+1} = w_k - lr_k * grad_w L_support(w_k, n_k)     (a rate for each tensor of w)
        loss    = sum_{k = 1..K} v_k L_query(w_k, n_{k-1})

    Here w are the parameters that the inner loop moves, and n_k those that step k has its own of. With `per_step`
    true of none, equal rates and no loss weights, this is MAML. The metrics are of the query loss after the last step.

    Args:
        model, inner_grad, loss_fn: as in `maml`.
        inner_lr: where every rate starts, above 0.
        inner_steps: K, 0 or more; 1 or more with `loss_weights`. `adapt` may take more steps than the rates were made
            for: the further ones repeat the last.
        loss_weights: `[K]`, v; 0 saves the loss of that step. None for the loss after the last step alone.
        first_order: leave the second derivative out. A traced value decides anew at each outer step, and saves the cost
            as long as it is the same for all that is computed together.
        per_step: which parameters each step has its own of, by their names with dots between. They do not move in the
            inner loop.

    Raises:
        ValueError: if `inner_steps` is negative, `inner_lr` is not above 0 or not finite, or `loss_weights` are not K
            numbers, with K 1 or more.

    Example:
        What changes with training is made from the outer step's number, as a `jmeta.training.Schedule`.

        >>> from jmeta import nets
        >>> def schedule(step):
        ...     weights = multi_step_weights(step, 5, anneal_steps=5_000)
        ...     return maml_plus_plus(
        ...         nets.Conv4(5), inner_lr=0.1, inner_steps=5, loss_weights=weights, first_order=step < 10_000
        ...     )

    Differs from the paper: no running statistics are kept, of each step or at all, since the normalization of
    `jmeta.nets` has none; the authors' code stores them and normalizes with the batch at hand. The annealed outer rate
    is the outer Optax rule's. Their figures are of five checkpoints' mean predictions.
    Source: Antoniou et al. 2019, How to train your MAML, section 4. https://arxiv.org/abs/1810.09502
    """
    _check(inner_lr, inner_steps, loss_weights)
    predict = partial(calls.apply, model)
    grad = _grad(inner_grad, first_order)

    def init(key: Array, x: Array) -> MAMLPlusPlusParams:
        moving, own, join = _parted(model.init(key, x), per_step)
        steps = max(inner_steps, 1)
        lr = {name: jnp.full(steps, inner_lr, p.dtype) for name, p in moving.items()}
        return MAMLPlusPlusParams(join(moving, {name: jnp.stack([p] * steps) for name, p in own.items()}), lr)

    def descend(params: MAMLPlusPlusParams, support: Batch, moving: Any, first: Any, num_steps: int) -> Any:
        parts = _parted(params.model, per_step)

        def update(moving: dict[str, Array], k: Array) -> dict[str, Array]:
            at_k = lambda moving, x, weight: predict(parts.join(moving, _at(parts.own, first + k)), x, weight)
            grads = grad(loss_on(support, at_k, loss_fn))(moving)
            return jax.tree.map(jnp.multiply, _at(params.lr, first + k), grads)

        return inner.descend_along(update, moving, optax.scale(-1.0), num_steps)

    def complete(params: MAMLPlusPlusParams, support: Batch, moving: Any, last: Any) -> Params:
        parts = _parted(params.model, per_step)
        return calls.condition(model, parts.join(moving, _at(parts.own, last)), support.x, support.weight)

    def adapt(params: MAMLPlusPlusParams, support: Batch) -> Params:
        start = _parted(params.model, per_step).moving
        return complete(params, support, descend(params, support, start, 0, inner_steps), inner_steps - 1)

    def judged(adapted: Params, query: Batch) -> tuple[Array, Metrics]:
        return query_loss(predict(adapted, query.x, query.weight), query, loss_fn)

    def loss_of_last(params: MAMLPlusPlusParams, episode: Episode) -> tuple[Array, Metrics]:
        return judged(adapt(params, episode.support), episode.query)

    def loss_of_each(params: MAMLPlusPlusParams, episode: Episode) -> tuple[Array, Metrics]:
        support, query = episode
        weights = jnp.asarray(loss_weights, jax.tree.leaves(params.lr)[0].dtype)

        # What a loss before the last would keep for the way back is made anew: where it counts 0 nothing is kept.
        @jax.checkpoint
        def judged_at(moving: Any, k: Array) -> Array:
            return judged(complete(params, support, moving, k), query)[0]

        def step(moving: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
            k, weight = now
            moving = descend(params, support, moving, k, 1)
            zero = lambda moving, k: jnp.zeros((), weight.dtype)
            return moving, weight * lax.cond(weight != 0, judged_at, zero, moving, k)

        start = _parted(params.model, per_step).moving
        numbers = jnp.arange(inner_steps, dtype=jnp.int32)
        moving, early = lax.scan(step, start, (numbers, weights.at[-1].set(0)))
        value, metrics = judged(complete(params, support, moving, inner_steps - 1), query)
        return jnp.sum(early) + weights[-1] * value, metrics

    return learner(init, adapt, predict, loss_of_last if loss_weights is None else loss_of_each)


def _check(inner_lr: float, inner_steps: int, loss_weights: Any) -> None:
    inner.check_steps(inner_steps)
    checks.check_above_zero("inner_lr", inner_lr, "for rates to be learned")
    if loss_weights is None:
        return
    if checks.known(inner_steps) and inner_steps < 1:
        raise ValueError(f"inner_steps must be 1 or more for steps to have losses, got {inner_steps}")
    shape = jnp.asarray(loss_weights, float).shape
    if shape != (inner_steps,):
        raise ValueError(f"loss_weights must be {inner_steps} numbers, got shape {shape}")


def _grad(inner_grad: Grad, first_order: bool | Array) -> Grad:
    """The inner gradient with its second derivative, without, or as a traced `first_order` says."""

    def grad(loss: Callable[[Any], Array]) -> Callable[[Any], Any]:
        second = inner_grad(loss)
        first = inner.first_order(second)
        if isinstance(first_order, bool):
            return first if first_order else second
        return lambda moving: lax.cond(first_order, first, second, moving)

    return grad


def _parted(tree: Params, per_step: Callable[[str], bool]) -> _Parts:
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in paths}
    own = {name: leaf for name, leaf in named.items() if per_step(name)}

    def join(moving: dict[str, Array], own: dict[str, Array]) -> Params:
        both = moving | own
        return structure.unflatten([both[name] for name in named])

    return _Parts({name: leaf for name, leaf in named.items() if name not in own}, own, join)


def _at(tree: Any, k: Any) -> Any:
    """Of values `[K, ...]`, those of a step, and of steps past the last, the last."""
    return jax.tree.map(lambda a: a[jnp.clip(k, 0, len(a) - 1)], tree)
