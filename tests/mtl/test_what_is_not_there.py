"""Rows of weight 0 and tasks without rows have no part in anything, whatever the weighting or the aggregator.

Losses below 0 have weights that are finite.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta import losses, mtl, nets
from jmeta.mtl import names, relatedness
from jmeta.types import Batch

WEIGHTINGS = {name: names.weighting_named(name) for name in names.weighting_names()} | {
    "fixed": mtl.fixed([0.2, 0.5, 0.3]),
    "lookahead": mtl.lookahead(inner_lr=0.05),
    "dynamic_weight_average of short periods": mtl.dynamic_weight_average(period=3),
    "famo above a least": mtl.famo(least=-5.0),
    "gradnorm by momentum": mtl.gradnorm(optimizer=optax.sgd(0.01, momentum=0.9)),
}
CENTERS = jnp.array([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
THIRD_IS_AWAY = jnp.array([True, True, False])
JUNK = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, 0.0, 1.0])

RNG = np.random.default_rng(0)
X = RNG.normal(size=(3, 8, 2)).astype(np.float32)
Y = (X @ np.array([[1.0], [-2.0]], np.float32) + 0.1 * RNG.normal(size=(3, 8, 1))).astype(np.float32)
WEIGHT = np.array([[1, 1, 0, 1, 1, 0, 1, 1], [0, 1, 1, 1, 2, 1, 0, 1], [0] * 8], np.float32)


def bowls(params, present):
    """The third has no value where it is away, as a mean over no rows has none."""
    return jnp.where(present, jnp.sum((params[None] - CENTERS) ** 2, axis=1) / 2, jnp.nan)


@pytest.mark.standard_promotion  # Adam's count is a whole number
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_weights_of_a_task_without_rows_stand_still(name):
    """Of a weighting that takes the task's loss of 0 for one that fell, or moves it by momentum alone."""
    weighting, rule = WEIGHTINGS[name], optax.sgd(0.05)
    step = mtl.make_step(bowls, rule, weighting=weighting, present=lambda present: present)
    everywhere = jnp.array([True, True, True])

    def run(state, batch, steps):
        return mtl.make_run(step, lambda key: (batch, everywhere), validation=True)(state, steps)

    state = mtl.init_state(jnp.array([2.0, 3.0]), rule, jax.random.key(0), tasks=3, weighting=weighting)
    met, _ = run(state, everywhere, 7)
    after, metrics = run(met, THIRD_IS_AWAY, 50)
    for old, new in zip(jax.tree.leaves(met.weighting), jax.tree.leaves(after.weighting), strict=True):
        if np.ndim(old):
            np.testing.assert_array_equal(old[2], new[2])
    assert np.isfinite(metrics.weights).all() and np.isfinite(after.params).all()
    assert (metrics.losses[:, 2] == 0).all() and (metrics.weights[:, :2] > 1e-3).all()
    assert np.linalg.norm(after.params - jnp.mean(CENTERS[:2], axis=0)) < 1  # the third's own is far away
    again, _ = run(after, everywhere, 7)  # and it is taken up again
    assert np.isfinite(again.params).all()


@pytest.mark.parametrize("name", names.aggregator_names())
def test_a_task_without_rows_has_no_part_in_the_gradient(name):
    """It is that of the other tasks, to a factor. MGDA's, of a gradient of 0 among the others, would be 0."""
    aggregate, key = names.aggregator_named(name), jax.random.key(1)
    rng = np.random.default_rng(2)
    rows = lambda params, batch: jnp.where(batch[1], batch[0] @ params, jnp.nan)
    step = jax.jit(mtl.make_step(rows, optax.sgd(1.0), aggregate=aggregate, present=lambda batch: batch[1]))
    state = mtl.init_state(jnp.zeros(6), optax.sgd(1.0), key, tasks=3)
    for _ in range(5):
        slopes = jnp.asarray(rng.normal(size=(3, 6)), jnp.float32)
        found = -step(state, (slopes, THIRD_IS_AWAY))[0].params
        draw = jax.random.split(jax.random.fold_in(key, 0))[1]  # as the step draws
        wanted = aggregate(slopes[:2] / 3, draw)
        assert np.linalg.norm(found) > 0.01
        if name == "pcgrad":  # two tasks have one order
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
        unit = [a / np.linalg.norm(a) for a in (found, wanted)]
        np.testing.assert_allclose(*unit, atol=2e-3)


RULES = {"adam": optax.adam(0.1), "momentum": optax.sgd(0.1, momentum=0.9), "decay": optax.adamw(0.1, weight_decay=0.1)}


@pytest.mark.standard_promotion  # Adam's count is a whole number
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("aggregate", [None, mtl.pcgrad()], ids=["sum", "pcgrad"])
def test_the_head_of_a_task_without_rows_stands_still(rule, aggregate):
    """Of one that the rule's memory of earlier steps, or weight decay, moves on."""
    model, rule = MODELS["hard sharing"], RULES[rule]
    step = jax.jit(mtl.make_step(
        mtl.task_losses(model, losses.squared_error), rule, aggregate=aggregate, shared=model.shared
    ))  # fmt: skip
    state = mtl.init_state(model.init(jax.random.key(0), X[0]), rule, jax.random.key(1), tasks=3)
    everywhere = Batch(jnp.asarray(X), jnp.asarray(Y), jnp.ones(Y.shape[:2]))
    met, _ = step(state, everywhere)
    after, _ = step(met, everywhere._replace(weight=jnp.asarray(WEIGHT)))
    for old, new in zip(jax.tree.leaves(met.params.heads), jax.tree.leaves(after.params.heads), strict=True):
        np.testing.assert_array_equal(old[2], new[2])
        assert (old[:2] != new[:2]).any()
    again, _ = step(after, everywhere)
    assert (
        again.params.heads["params"]["head"]["kernel"][2] != after.params.heads["params"]["head"]["kernel"][2]
    ).any()


MODELS = {
    "hard sharing": mtl.hard_sharing(nets.MLPEncoder((4,)), nets.MLP((), 1), tasks=3),
    "experts": mtl.mixture_of_experts(nets.MLPEncoder((4,)), nets.MLP((), 2), nets.MLP((), 1), experts=2, tasks=3),
    "cross-stitch": mtl.cross_stitch([nets.MLPEncoder((4,))], nets.MLP((), 1), tasks=3),
}
LOSSES = [losses.squared_error, mtl.binary_cross_entropy, losses.squared_error]


def of_model(name):
    model = MODELS[name]
    value, params = mtl.task_losses(model, LOSSES), model.init(jax.random.key(0), X[0])

    @jax.jit
    def found(x, y, weight):
        own = Batch(x, y, weight)
        common = Batch(x[0], jnp.broadcast_to(y[:1], y.shape), weight[0])
        labels = Batch(jnp.asarray(X[0]), y, weight)
        step = jax.grad(lambda params, batch: (value(params, batch).sum(), value(params, batch)), has_aux=True)
        steps = [step(params, batch) for batch in (own, common, labels)]
        return steps, mtl.predictions(model, params, own)[:2, 1], mtl.task_affinity(value, params, own, lr=0.1)

    return found


def held_out(x, y, weight):
    split = {"train": weight.at[:, 4:].set(0), "held_out": weight.at[:, :4].set(0)}
    return relatedness.held_out_errors(relatedness.task_ridge, {"ridge": jnp.array([0.1])}, x, y, **split)


def explained(x, y, weight):
    fitted = relatedness.task_ridge(x, y, ridge=0.1, weight=weight)
    return [relatedness.explained_variance(fitted, x, y, weight=w) for w in (weight, jnp.zeros_like(weight))]


RELATEDNESS = {
    "task_ridge": lambda x, y, w: relatedness.task_ridge(x, y, ridge=0.1, weight=w),
    "pooled_ridge": lambda x, y, w: relatedness.pooled_ridge(x, y, ridge=0.1, weight=w),
    "task_covariance": lambda x, y, w: relatedness.task_covariance(x, y, ridge=0.1, relation=0.1, weight=w),
    "task_evidence": lambda x, y, w: relatedness.task_evidence(x, y, iterations=2, weight=w),
    "held_out_errors": held_out,
    "explained_variance": explained,
}


def of_rows(function):
    return jax.jit(lambda x, y, weight: function(x, y[..., 0], weight))


FUNCTIONS = {name: of_model(name) for name in MODELS} | {name: of_rows(f) for name, f in RELATEDNESS.items()}


SLOW = ("experts", "cross-stitch")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long) if name in SLOW else name for name in FUNCTIONS]
)
@settings(max_examples=15, deadline=None)
@given(JUNK, JUNK)
def test_what_rows_of_weight_0_hold_reaches_nothing(name, in_x, in_y):
    """Of a `where` after the arithmetic, whose gradient is NaN, or a sum over rows times weights."""
    away = WEIGHT[..., None] == 0
    holes = (np.where(away, junk, a).astype(np.float32) for junk, a in ((in_x, X), (in_y, Y)))
    clean, holed = (FUNCTIONS[name](*map(jnp.asarray, rows), jnp.asarray(WEIGHT)) for rows in ((X, Y), holes))
    for a, b in zip(jax.tree.leaves(clean), jax.tree.leaves(holed), strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.standard_promotion  # Adam's count is a whole number
@pytest.mark.parametrize("name", WEIGHTINGS)
def test_losses_below_0_have_finite_weights(name):
    """A weight that grows without end as its loss passes 0, or takes all weight from the other."""
    weighting, rule = WEIGHTINGS[name], optax.sgd(0.05)
    least = jnp.array([0.5, -1.0, 0.2])

    def likelihoods(params, batch):
        return jnp.sum((params[None] - jnp.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])) ** 2, axis=1) / 10 + least

    step = mtl.make_step(likelihoods, rule, weighting=weighting)
    state = mtl.init_state(jnp.array([3.0, 3.0]), rule, jax.random.key(0), tasks=3, weighting=weighting)
    state, metrics = mtl.make_run(step, lambda key: (jnp.zeros(()),) * 2, validation=True)(state, 2000)
    assert np.isfinite(metrics.weights).all() and (metrics.weights > 1e-3).all() and (metrics.weights < 1e3).all()
    assert ((state.params > 0) & (state.params < 1)).all()  # among what the three want
