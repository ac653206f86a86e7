"""MAML++: what remains of it with its options off, each option alone, and all of them in training."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import assert_close, conv_net, difference, largest, mlp_net, random_episode, random_like, relaxed
from hypothesis import given
from hypothesis import strategies as st

import jmeta
from jmeta import nets
from jmeta.losses import cross_entropy
from jmeta.nets import PureModel

EPISODE = random_episode(0)
NETS = {"none": mlp_net(3, (8,)).model, "batch": conv_net(3, nets.BatchNorm, (4,)).model}
SHARED = {"per_step": lambda name: False}


def long(*values):
    """Values for `--all`: others go through the same code."""
    return pytest.param(*values, marks=pytest.mark.long)


def gradient(learner, params, episode=EPISODE):
    (value, metrics), grads = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))(params, episode)
    return value, metrics, grads


def off_center(learner, scale=0.05):
    """Parameters, and rates, of which no two are the same."""
    made = jax.jit(learner.init)(jax.random.key(0), EPISODE.support.x)
    return jax.tree.map(jnp.add, made, random_like(jax.random.key(1), made, scale))


@functools.cache
def start(norm):
    made = jax.jit(NETS[norm].init)(jax.random.key(0), EPISODE.support.x)
    return jax.tree.map(jnp.add, made, random_like(jax.random.key(1), made, 0.05))


def constant_rates(learner, norm):
    made = jax.eval_shape(learner.init, jax.random.key(0), EPISODE.support.x)
    return jmeta.algorithms.MAMLPlusPlusParams(start(norm), jax.tree.map(lambda a: jnp.full(a.shape, 0.3), made.lr))


@pytest.mark.parametrize(
    ("norm", "steps", "first_order"),
    [
        ("none", 3, False),
        ("batch", 3, True),
        *(long(norm, 3, first) for norm, first in (("none", True), ("batch", False))),
        *(long(norm, steps, first) for norm in NETS for steps in (0, 1) for first in (False, True)),
    ],
)
def test_with_its_options_off_it_is_maml(norm, steps, first_order):
    rule = optax.sgd(0.3)
    maml = jmeta.maml(NETS[norm], inner_optimizer=rule, inner_steps=steps, first_order=first_order)
    learner = jmeta.maml_plus_plus(NETS[norm], inner_lr=0.3, inner_steps=steps, first_order=first_order, **SHARED)
    params = constant_rates(learner, norm)
    assert_close(
        jax.tree.map(jnp.shape, jax.eval_shape(learner.init, jax.random.key(0), EPISODE.support.x).model),
        jax.tree.map(jnp.shape, start(norm)),
    )
    value, metrics, grads = gradient(learner, params)
    assert_close((value, metrics, grads.model), gradient(maml, start(norm)))
    adapted, expected = (
        jax.jit(learner.adapt)(params, EPISODE.support),
        jax.jit(maml.adapt)(start(norm), EPISODE.support),
    )
    assert_close(adapted, expected)


def test_it_starts_with_the_same_rate_and_normalization_in_every_step():
    made = jax.jit(jmeta.maml_plus_plus(NETS["batch"], inner_lr=0.2, inner_steps=4).init)(
        jax.random.key(0), EPISODE.support.x
    )
    plain = jax.jit(NETS["batch"].init)(jax.random.key(0), EPISODE.support.x)["params"]
    encoder = made.model["params"]["encoder"]
    assert_close(encoder["BatchNorm_0"], {"scale": jnp.ones((4, 4)), "bias": jnp.zeros((4, 4))})
    assert_close((encoder["Conv_0"], made.model["params"]["head"]), (plain["encoder"]["Conv_0"], plain["head"]))
    moving = [f"params.{layer}.{leaf}" for layer in ("encoder.Conv_0", "head") for leaf in ("bias", "kernel")]
    assert_close(made.lr, {name: jnp.full(4, 0.2) for name in moving})


def by_hand(model, params, episode, weights):
    """Written out step by step: rates of tensors, normalization of steps, and the query loss after each."""

    def whole(weights, k):
        tree = params.model["params"]
        norm = {name: leaf[k] for name, leaf in tree["encoder"]["BatchNorm_0"].items()}
        return {"params": {"encoder": {"Conv_0": weights["Conv_0"], "BatchNorm_0": norm}, "head": weights["head"]}}

    def mean_loss(tree, batch):
        return jnp.mean(cross_entropy(model.apply(tree, batch.x), batch.y))

    parts = params.model["params"]
    moved, total = {"Conv_0": parts["encoder"]["Conv_0"], "head": parts["head"]}, 0.0
    for k, weight in enumerate(weights):
        grads = jax.grad(lambda w, k=k: mean_loss(whole(w, k), episode.support))(moved)
        moved = {
            layer: {
                leaf: p
                - params.lr[f"params.{'encoder.' if layer == 'Conv_0' else ''}{layer}.{leaf}"][k] * grads[layer][leaf]
                for leaf, p in tensors.items()
            }
            for layer, tensors in moved.items()
        }
        total += weight * mean_loss(whole(moved, k), episode.query)
    return total


@pytest.mark.parametrize("weights", [long([0.0, 0.0, 1.0]), long([0.2, 0.0, 0.8]), long([0.5, 0.3, 0.2])])
def test_all_of_it_against_a_loop_written_out(weights):
    model = NETS["batch"]
    learner = jmeta.maml_plus_plus(model, inner_lr=0.3, inner_steps=3, loss_weights=weights)
    params = off_center(learner)
    value, metrics, grads = gradient(learner, params)
    expected, expected_grads = jax.jit(jax.value_and_grad(lambda p: by_hand(model, p, EPISODE, weights)))(params)
    assert_close((value, grads), (expected, expected_grads), rtol=1e-4, atol=2e-6)
    last = jmeta.maml_plus_plus(model, inner_lr=0.3, inner_steps=3)
    last_value, last_metrics, last_grads = gradient(last, params)
    assert_close(metrics, last_metrics)
    if weights[-1] == 1:
        assert_close((value, grads), (last_value, last_grads))
    assert largest(grads.lr) > 1e-3
    assert all(
        largest(leaf[k]) > 1e-5
        for leaf in jax.tree.leaves(grads.model["params"]["encoder"]["BatchNorm_0"])
        for k in range(3)
    )


@pytest.mark.long
def test_the_loss_of_several_steps_is_that_mean_of_mamls():
    weights = [0.1, 0.2, 0.7]
    learner = jmeta.maml_plus_plus(NETS["none"], inner_lr=0.3, inner_steps=3, loss_weights=weights, **SHARED)
    value, _, grads = gradient(learner, constant_rates(learner, "none"))
    each = [
        gradient(jmeta.maml(NETS["none"], inner_optimizer=optax.sgd(0.3), inner_steps=k), start("none"))
        for k in (1, 2, 3)
    ]
    expected = jax.tree.map(lambda *a: sum(w * v for w, v in zip(weights, a, strict=True)), *each)
    assert_close((value, grads.model), (expected[0], expected[2]))


def test_a_loss_that_counts_nothing_is_not_computed():
    queries = []

    def counted(prediction, y):
        if len(y) == 9:
            jax.debug.callback(lambda: queries.append(1))
        return cross_entropy(prediction, y)

    episode = random_episode(0, query_shot=3)
    for weights, count in (([0.0, 0.0, 1.0], 1), ([0.5, 0.0, 0.5], 2), ([0.2, 0.3, 0.5], 3)):
        build = lambda weights: jmeta.maml_plus_plus(
            NETS["none"], inner_lr=0.3, inner_steps=3, loss_weights=weights, loss_fn=counted
        )
        params = off_center(build([0.0, 0.0, 1.0]))
        queries.clear()
        jax.block_until_ready(jax.jit(lambda w, p=params, b=build: b(w).loss(p, episode))(jnp.array(weights)))
        jax.effects_barrier()
        assert len(queries) == count


def weights_by_hand(t, steps, anneal):
    """As the authors' code has them."""
    if t >= anneal:
        return [0.0] * (steps - 1) + [1.0]
    early = max(1 / steps - t / (steps * anneal), 0.03 / steps)
    return [early] * (steps - 1) + [min(1 / steps + t * (steps - 1) / (steps * anneal), 1 - (steps - 1) * 0.03 / steps)]


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_weights_of_the_steps(steps):
    got = jax.jit(jax.vmap(lambda t: jmeta.algorithms.multi_step_weights(t, steps, 200)))(jnp.arange(300))
    np.testing.assert_allclose(got, [weights_by_hand(t, steps, 200) for t in range(300)], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.sum(-1), 1, rtol=1e-6)
    assert got.dtype == np.float32
    assert jnp.all(got[200:, :-1] == 0) and jnp.all(got[200:, -1] == 1)


@pytest.mark.parametrize("weights", [long(None), long([0.5, 0.5])])
def test_a_traced_first_order_is_either(weights):
    build = lambda first: jmeta.maml_plus_plus(
        NETS["batch"], inner_lr=0.3, inner_steps=2, loss_weights=weights, first_order=first
    )
    params = off_center(build(False))
    traced = jax.jit(lambda first, params: jax.value_and_grad(build(first).loss, has_aux=True)(params, EPISODE))
    each = [gradient(build(first), params) for first in (False, True)]
    for first in (False, True):
        (value, metrics), grads = traced(jnp.array(first), params)
        assert_close((value, metrics, grads), each[first])
    assert difference(each[0][2], each[1][2]) > 1e-2 * largest(each[0][2])


def test_normalization_of_steps_does_not_move_and_the_last_is_predicted_with():
    learner = jmeta.maml_plus_plus(NETS["batch"], inner_lr=0.3, inner_steps=2)
    params = off_center(learner)
    adapted = learner.adapt(params, EPISODE.support)["params"]
    own = params.model["params"]["encoder"]["BatchNorm_0"]
    assert_close(adapted["encoder"]["BatchNorm_0"], jax.tree.map(lambda a: a[-1], own), rtol=0, atol=0)
    assert difference(adapted["encoder"]["Conv_0"], params.model["params"]["encoder"]["Conv_0"]) > 1e-3


def test_further_steps_repeat_the_last_one():
    build = lambda steps: jmeta.maml_plus_plus(NETS["batch"], inner_lr=0.3, inner_steps=steps)
    params = off_center(build(2))
    repeated = lambda a: jnp.concatenate([a, a[-1:], a[-1:]])
    own = params.model["params"]["encoder"]["BatchNorm_0"]
    encoder = params.model["params"]["encoder"] | {"BatchNorm_0": jax.tree.map(repeated, own)}
    longer = jmeta.algorithms.MAMLPlusPlusParams(
        {"params": params.model["params"] | {"encoder": encoder}}, jax.tree.map(repeated, params.lr)
    )
    four = build(4).adapt
    expected = four(longer, EPISODE.support)
    assert_close(four(params, EPISODE.support), expected)
    traced = jax.jit(lambda steps: build(steps).adapt(params, EPISODE.support))
    assert_close(traced(4), expected)
    assert_close(traced(1), build(1).adapt(params, EPISODE.support))
    still = traced(0)["params"]
    assert_close(still["head"], params.model["params"]["head"])
    assert_close(still["encoder"]["BatchNorm_0"], jax.tree.map(lambda a: a[0], own))


CONSTANT = PureModel(lambda key, x: jnp.zeros(()), lambda theta, x: jnp.broadcast_to(theta, (len(x), 1)))
rates, numbers = st.floats(0, 1.5, width=32), st.floats(-3, 3, width=32)


@jax.jit
def on_a_constant(lr, weights, theta, a, b):
    half_square = lambda prediction, y: 0.5 * jnp.sum(jnp.square(prediction - y), axis=-1)
    one = lambda value: jmeta.Batch(jnp.zeros((1, 1)), jnp.reshape(value, (1, 1)))
    learner = jmeta.maml_plus_plus(CONSTANT, inner_lr=0.1, inner_steps=3, loss_weights=weights, loss_fn=half_square)
    params = jmeta.algorithms.MAMLPlusPlusParams(theta, {"": lr})
    return jax.value_and_grad(learner.loss, has_aux=True)(params, jmeta.Episode(one(a), one(b)))


@given(st.lists(rates, min_size=3, max_size=3), st.lists(rates, min_size=3, max_size=3), numbers, numbers, numbers)
def test_closed_form(lr, weights, theta, a, b):
    """phi_k = a + prod_{i < k} (1 - lr_i) (theta - a), and the loss is sum_k v_k (phi_k - b)^2 / 2."""
    value, along_theta, along_lr = 0.0, 0.0, np.zeros(3)
    for k, weight in enumerate(weights, 1):
        shrink = [1 - rate for rate in lr[:k]]
        phi = a + np.prod(shrink) * (theta - a)
        value += weight * 0.5 * (phi - b) ** 2
        along_theta += weight * np.prod(shrink) * (phi - b)
        for i in range(k):
            along_lr[i] -= weight * np.prod(shrink[:i] + shrink[i + 1 :]) * (theta - a) * (phi - b)
    (got, _), grads = on_a_constant(*(jnp.asarray(v, jnp.float32) for v in (lr, weights, theta, a, b)))
    np.testing.assert_allclose(got, value, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grads.model, along_theta, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(grads.lr[""], along_lr, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("inner_grad", [jax.grad, long(jmeta.gradients.remat_grad), long(jmeta.gradients.mixed_grad)])
def test_gradients_agree_with_central_differences(inner_grad):
    """In float64, in parameters, normalization of steps, and rates; too small a step to meet a kink of a ReLU."""
    options = dict(inner_lr=0.3, inner_steps=2, inner_grad=inner_grad)
    learner = jmeta.maml_plus_plus(NETS["batch"], loss_weights=[0.3, 0.7], **options)
    made = off_center(learner)
    with jax.enable_x64(True):
        to64 = lambda tree: jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), tree)
        episode, params = to64(EPISODE), to64(made)
        both = jax.jit(jax.value_and_grad(learner.loss, has_aux=True))
        grads = both(params, episode)[1]
        h = 1e-7
        for seed in range(2):
            along = random_like(jax.random.key(seed), params)
            ahead, behind = (jax.tree.map(lambda p, d, s=s: p + s * h * d, params, along) for s in (1.0, -1.0))
            numeric = (both(ahead, episode)[0][0] - both(behind, episode)[0][0]) / (2 * h)
            exact = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (grads, along)), strict=True))
            assert abs(exact) > 1e-2
            np.testing.assert_allclose(numeric, exact, rtol=1e-6)
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(grads))


STEPS, ANNEAL = 2, 4


def schedule(step):
    weights = jmeta.algorithms.multi_step_weights(step, STEPS, ANNEAL)
    return jmeta.maml_plus_plus(
        NETS["none"], inner_lr=0.3, inner_steps=STEPS, loss_weights=weights, first_order=step < ANNEAL
    )


def sample(key):
    support, query = jax.random.split(key)
    y = jnp.tile(jnp.eye(3), (2, 1))
    noise = lambda key: jax.random.normal(key, (6, 4, 4, 1))
    return jmeta.Episode(jmeta.Batch(noise(support), y), jmeta.Batch(noise(query), y))


def test_a_schedule_trains_and_a_run_in_pieces_gives_the_same_bits():
    optimizer = relaxed(optax.adam(1e-2))
    run = jmeta.make_run(schedule, optimizer, sample, meta_batch_size=2)
    state = jmeta.init_state(schedule, optimizer, jax.random.key(0), EPISODE.support.x)
    whole, metrics = run(state, 7)
    half, first = run(state, 3)
    pieces, second = run(half, 4)
    assert_close(pieces.params, whole.params, rtol=0, atol=0)
    assert_close(jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, second), metrics, rtol=0, atol=0)
    assert int(whole.step) == 7
    assert difference(whole.params, state.params) > 1e-2


def test_a_schedule_ends_at_the_loss_of_the_last_step_and_second_order():
    optimizer = optax.sgd(0.1)
    episodes = jax.vmap(sample)(jax.random.split(jax.random.key(3), 2))
    state = jmeta.init_state(schedule, optimizer, jax.random.key(0), EPISODE.support.x)
    scheduled = jmeta.make_step(schedule, optimizer)
    options = dict(inner_lr=0.3, inner_steps=STEPS)
    final = jmeta.make_step(jmeta.maml_plus_plus(NETS["none"], **options), optimizer)
    even = jmeta.maml_plus_plus(NETS["none"], loss_weights=[0.5, 0.5], first_order=True, **options)
    for now, other in ((0, jmeta.make_step(even, optimizer)), (ANNEAL, final)):
        at = state._replace(step=jnp.int32(now))
        assert_close(scheduled(at, episodes)[0].params, other(at, episodes)[0].params)
        assert_close(scheduled(at, episodes)[1], other(at, episodes)[1])
    assert difference(scheduled(state, episodes)[0].params, final(state, episodes)[0].params) > 1e-4


@pytest.mark.parametrize("floor", [2.0, -0.1, np.float32(1.5), float("nan")])
def test_a_floor_that_is_no_part_of_an_even_share_is_refused(floor):
    with pytest.raises(ValueError, match=r"floor must be 0 to 1, .* got "):
        jmeta.algorithms.multi_step_weights(0, 5, 10, floor=floor)
    for fine in (0.0, 1.0):
        np.testing.assert_allclose(jmeta.algorithms.multi_step_weights(3, 5, 10, floor=fine).sum(), 1, rtol=1e-6)


def test_losses_of_steps_want_a_step():
    with pytest.raises(ValueError, match="inner_steps must be 1 or more for steps to have losses, got 0"):
        jmeta.maml_plus_plus(NETS["none"], inner_lr=0.1, inner_steps=0, loss_weights=[])
    jmeta.maml_plus_plus(NETS["none"], inner_lr=0.1, inner_steps=0)
