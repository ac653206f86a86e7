"""Elastic weight consolidation: a quadratic penalty by the Fisher matrix of earlier tasks (Kirkpatrick et al. 2017)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jax.flatten_util import ravel_pytree

from jmeta import calls
from jmeta.checks import check_above_zero, known
from jmeta.continual.online.types import Online, judged, moved, online, weights_of
from jmeta.losses import LossFn, cross_entropy
from jmeta.types import Batch, Metrics, Model, Params, examples


class EWCState(NamedTuple):
    """Parameters, what the Optax rule keeps, and earlier tasks' penalty: the sum of their Fisher matrices, `[P]` or
    `[P, P]`, and where the last one ended, `[P]`."""

    params: Params
    opt_state: Any
    fisher: Array
    center: Array


def ewc(
    model: Model,
    *,
    optimizer: optax.GradientTransformation,
    strength: float | Array = 1.0,
    full: bool = False,
    loss_fn: LossFn = cross_entropy,
) -> Online:
    """Elastic weight consolidation; an `Online` that has to be told where tasks end, by `finish`.

        step:    params <- params + update(grad [L_batch(p) + strength / 2 (p - c)' (sum_i F_i) (p - c)])
        finish:  c = params,   F_i = mean_n J_n' H_n J_n,   J_n = d model(x_n) / dp,   H_n = d^2 loss_n / d model^2

    F_i is exactly the Fisher matrix for cross-entropy, the expectation over labels that the model draws, and for a half
    of the squared error, of a Gaussian with variance 1. Labels have no part in it. With the whole matrix and
    losses that are parabolas, tasks in turn end where they would together.

    Args:
        model, optimizer, loss_fn: as in `sgd`; the loss twice differentiable in the prediction.
        strength: of the penalty, 0 or more. Losses are means: for the posterior after n examples of a task each, 1 is
            right with batches of as many.
        full: keep the whole matrix `[P, P]`, for small problems; else its diagonal, as in the paper.

    Raises:
        ValueError: if `strength` is below 0 or not finite.

    Differs from the paper: there is one penalty around where the last task ended, for a state of fixed size, and not
    one for each task around its own end, which counts earlier tasks twice from the third on (Huszar 2018). For two
    tasks they are the same. And the expectation over labels is computed and not drawn. Many programs use the labels
    of the data in its place ("empirical Fisher"), which is 0 for tasks that are learned to the end.
    A diagonal can be worse than forgetting: of two parabolas whose off-diagonal terms are opposite it ends at
    (.3448, .6552) with losses .0429 + .2259, where the joint minimum has .0902 + .0048 and no penalty .1000 + 0.

    Source: Kirkpatrick et al. 2017, Overcoming catastrophic forgetting in neural networks, eq. 3,
    https://arxiv.org/abs/1612.00796; Huszar 2018, Note on the quadratic penalties in elastic weight consolidation,
    https://arxiv.org/abs/1712.03847; Martens 2020, New Insights and Perspectives on the Natural Gradient Method,
    section 9.2, for F_i, https://arxiv.org/abs/1412.1193.
    """
    if known(strength) and strength != 0:
        check_above_zero("strength", strength, "or 0 for no penalty")
    loss = judged(model, loss_fn)

    def init(key: Array, x: Any, y: Array) -> EWCState:
        params = model.init(key, examples(Batch(x, y)).x)
        flat = ravel_pytree(params)[0]
        return EWCState(params, optimizer.init(params), jnp.zeros((flat.size,) * (2 if full else 1)), flat)

    def step(state: EWCState, batch: Batch) -> tuple[EWCState, Metrics]:
        def penalized(params: Params) -> Array:
            away = ravel_pytree(params)[0] - state.center
            pull = state.fisher @ away if full else state.fisher * away
            return loss(params, batch)[0] + strength / 2 * jnp.vdot(away, pull)

        metrics = loss(state.params, batch)[1]
        params, opt_state = moved(optimizer, penalized, state.params, state.opt_state)
        return state._replace(params=params, opt_state=opt_state), metrics

    def finish(state: EWCState, batch: Batch) -> EWCState:
        new = fisher(model, state.params, batch, full=full, loss_fn=loss_fn)
        return state._replace(fisher=state.fisher + new, center=ravel_pytree(state.params)[0])

    return online(model, init, step, finish)


def fisher(model: Model, params: Params, batch: Batch, *, full: bool = False, loss_fn: LossFn = cross_entropy) -> Array:
    """The mean over examples of J' H J, see `ewc`: `[P, P]`, or its diagonal `[P]`; zeros if no row has a weight."""
    rows, weight, flat = examples(batch), weights_of(batch), ravel_pytree(params)[0]
    zero = jnp.zeros((flat.size, flat.size), flat.dtype) if full else jax.tree.map(jnp.zeros_like, params)

    def of_one(row: tuple[Any, Array]) -> Any:
        x, y = jax.tree.map(lambda a: a[None], row)
        out, back = jax.vjp(lambda params: calls.apply(model, params, x)[0], params)
        hessian = jax.hessian(lambda out: loss_fn(out[None], y)[0])(out)
        every = jnp.eye(len(out), dtype=out.dtype)
        if full:
            jacobian = jax.vmap(lambda row: ravel_pytree(back(row)[0])[0])(every)
            return jacobian.T @ hessian @ jacobian

        # J and H J row by row: all rows at once are many times the parameters, and take fifty times as long.
        def add_row(total: Any, pair: tuple[Array, Array]) -> tuple[Any, None]:
            one, curved = (back(row)[0] for row in pair)
            return jax.tree.map(lambda t, j, hj: (t + j * hj).astype(t.dtype), total, one, curved), None

        return jax.lax.scan(add_row, zero, (every, hessian))[0]

    def add(total: Any, row: tuple[tuple[Any, Array], Array]) -> tuple[Any, None]:
        return jax.tree.map(lambda t, own: (t + row[1] * own).astype(t.dtype), total, of_one(row[0])), None

    total = jax.lax.scan(add, zero, ((rows.x, rows.y), weight))[0]
    count = jnp.sum(weight)
    return (total if full else ravel_pytree(total)[0]) / jnp.where(count > 0, count, 1)
