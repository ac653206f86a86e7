"""OML: features on which a head learns a stream by gradient steps, an example a step (Javed and White 2019)."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array, lax

from jmeta import calls, inner, rules
from jmeta.distances import supported
from jmeta.gradients import Grad
from jmeta.losses import LossFn, cross_entropy, judge, loss_on
from jmeta.types import Batch, Learner, Model, Params, episodic


class OMLParams(NamedTuple):
    """The encoder, the head, and what the head of a class that a stream brings starts from: leaves `[..., 1]`."""

    encoder: Params
    head: Params
    fresh: Params


class OMLAdapted(NamedTuple):
    """The encoder and the head, once a stream has been learned."""

    encoder: Params
    head: Params


def oml(
    encoder: Model,
    head: Model,
    *,
    inner_optimizer: optax.GradientTransformation,
    first_order: bool = False,
    inner_grad: Grad = jax.grad,
    loss_fn: LossFn = cross_entropy,
) -> Learner:
    """OML: the support set is a stream in order, of which a head sees each example once; a `Learner` of `OMLParams`.

        z_t      = encoder(x_t)                                                  (all at once, since it does not change)
        W_0[c]   = fresh for each class c of the stream, head[c] for the others
        W_t      = W_{t-1} - inner_lr * grad L(W_{t-1}; z_t, y_t)                (one step an example, one pass)
        loss     = L_query(W_T; encoder(x))

    So the order of the support set matters: another one is another stream. An example of weight 0 takes no step, and
    leaves the state of the rule as it is. Queries may be of classes that the stream does not have, which tells what it
    has cost them. The encoder learns, and so do `head` and `fresh`, by the gradient through all steps.

    Args:
        encoder: model mapping `x [N, ...]` to features `[N, D]`. One that mixes examples, such as by batch
            normalization, would see the whole stream at its first step: normalize by examples.
        head: model mapping features to logits `[N, way]`, each of whose parameters has the classes last, as
            `jmeta.nets.Head`.
        inner_optimizer: an Optax rule; `optax.sgd(inner_lr)` for the formula above.
        first_order: whether the gradients of the inner steps are constants of the outer problem.
        inner_grad: `jax.grad`, or one of `jmeta.gradients`.
        loss_fn: `(prediction [N, way], y [N, way]) -> [N]`, of the stream and the query.

    Raises:
        ValueError: from `init`, for a head with parameters that do not have the classes last; for streams of another
            number of classes than the head has.

    Differs from the paper: heads of new classes start from one learned row, which is zeros before training, and not
    from random ones. Public code of 2019 has a first-order gradient, by mistake.

    Example:
        One class, a weight and a bias from zero: each of two steps goes half of the way to 1.

        >>> from jmeta import losses, nets
        >>> identity, rule = nets.MLPEncoder(()), optax.sgd(0.125)
        >>> learner = oml(identity, nets.Head(1), inner_optimizer=rule, loss_fn=losses.squared_error)
        >>> stream = Batch(jnp.ones((2, 1)), jnp.ones((2, 1)))
        >>> params = learner.init(jax.random.key(0), stream.x)
        >>> learner.predict(learner.adapt(params, stream), jnp.ones((1, 1))).tolist()
        [[0.75]]

    Source: Javed and White 2019, Meta-Learning Representations for Continual Learning, section 3.
    https://arxiv.org/abs/1905.12588
    """

    def init(key: Array, x: Array) -> OMLParams:
        params = calls.init_both(key, x, encoder, head)
        way = jax.eval_shape(lambda: head.apply(params[1], encoder.apply(params[0], x))).shape[-1]
        for path, leaf in jax.tree_util.tree_leaves_with_path(params[1]):
            if leaf.shape[-1:] != (way,):
                name = jax.tree_util.keystr(path, simple=True, separator="/")
                raise ValueError(
                    f"each parameter of the head must have its {way} classes last, so that some can be new, got {name} "
                    f"{list(leaf.shape)}: give a linear one, such as jmeta.nets.Head({way})"
                )
        return OMLParams(*params, jax.tree.map(lambda leaf: jnp.zeros_like(leaf[..., :1]), params[1]))

    def adapt(params: OMLParams, support: Batch) -> OMLAdapted:
        z, kept = calls.read(encoder, params.encoder, support)
        _check_way(params.head, support)
        start = jax.tree.map(partial(_fresh, supported(support)), params.head, params.fresh)
        step = partial(_step, head, inner_optimizer, first_order, inner_grad, loss_fn, support.classes)
        (learned, _), _ = lax.scan(step, (start, inner_optimizer.init(start)), (z, support.y, support.weight))
        return OMLAdapted(kept, calls.condition(head, learned, z, support.weight))

    def predict(adapted: OMLAdapted, x: Array, weight: Array | None = None) -> Array:
        return calls.apply(head, adapted.head, calls.apply(encoder, adapted.encoder, x, weight), weight)

    return episodic(init, adapt, predict, judge(loss_fn))


def _check_way(head: Params, support: Batch) -> None:
    (n, way), outputs = support.y.shape, jax.tree.leaves(head)[0].shape[-1]
    if outputs != way:
        raise ValueError(
            f"the model predicts {(n, outputs)} where the labels are {(n, way)}: give it as many outputs as the "
            "episodes have classes"
        )


def for_streams(params: OMLParams, way: int) -> OMLParams:
    """Parameters for streams that have all of `way` classes, in whatever number training had a head for: all fresh."""
    fresh = lambda leaf: jnp.broadcast_to(leaf, (*leaf.shape[:-1], way))
    return params._replace(head=jax.tree.map(fresh, params.fresh))


def _fresh(new: Array, rows: Array, fresh: Array) -> Array:
    """Rows `[..., way]` of which those of new classes `[way]` are fresh `[..., 1]`."""
    return jnp.where(new.reshape(*(1,) * (rows.ndim - 1), -1) > 0, fresh, rows)


def _step(
    head: Model,
    optimizer: optax.GradientTransformation,
    first_order: bool,
    grad: Grad,
    loss_fn: LossFn,
    classes: Array | None,
    carry: tuple[Params, Any],
    example: tuple[Array, Array, Array | None],
) -> tuple[tuple[Params, Any], None]:
    """A step on one example `z [D], y [way], weight []`, which one of weight 0 does not take."""
    z, y, weight = example
    mean = loss_on(Batch(z[None], y[None], None, classes), lambda p, x, w: calls.apply(head, p, x), loss_fn)
    loss = mean if weight is None else lambda params: weight * mean(params)
    grad_fn = inner.first_order(grad(loss)) if first_order else grad(loss)
    through = partial(rules.smooth, search=rules.no_derivative)
    moved = rules.move(optimizer, grad_fn(carry[0]), carry[1], carry[0], value_fn=loss, through=through)
    if weight is None:
        return moved, None
    return jax.tree.map(lambda new, old: jnp.where(weight != 0, new, old), moved, carry), None
