"""Learned rules: what each does is its definition, computed by NumPy, and with nothing learned it is a known rule."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jmeta.optimizers import rules
from jmeta.optimizers.rules import adafactor
from jmeta.optimizers.rules.features import TIMES
from jmeta.optimizers.rules.mlp import DECAYS, FEATURES

KEY = jax.random.key(0)
TREE = {"a": {"w": jnp.array([[0.5, -1.0, 2.0], [1.0, 0.0, -3.0]])}, "b": jnp.array(0.25)}
RULES = {
    "schedule": rules.schedule([0.1, 0.2]),
    "per-tensor": rules.per_tensor(rate=0.1, momentum=0.5),
    "lstm": rules.lstm(units=(4, 3)),
    "lstm, log and sign": rules.lstm(units=(4,), preprocess=rules.log_and_sign, step_scale=0.01),
    "mlp": rules.mlp(units=(8,)),
    "adafactor": rules.adafactor_mlp(),
    "added": rules.added(rules.schedule([0.1]), rules.mlp(units=(4,))),
}


def random_like(key, tree):
    flat, unravel = jax.flatten_util.ravel_pytree(tree)
    return unravel(jax.random.normal(key, flat.shape))


def walked(optimizer, steps=4, tree=TREE):
    """Parameters after steps on gradients that are drawn."""

    def body(carry, key):
        params, state = carry
        updates, state = optimizer.update(random_like(key, params), state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(7), steps)
    return jax.jit(lambda tree: jax.lax.scan(body, (tree, optimizer.init(tree)), keys)[0][0])(tree)


@functools.cache
def init(name):
    return jax.jit(lambda: RULES[name].init(KEY, TREE))()


def theta_of(name, seed=1):
    """Parameters of a rule, a little away from where it starts, so that heads say something."""
    theta = init(name)
    return jax.tree.map(lambda p, n: p + 0.1 * n, theta, random_like(jax.random.key(seed), theta))


def close(one, other, **how):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **({"rtol": 1e-5, "atol": 1e-6} | how)), one, other)


@pytest.mark.parametrize("name", ["per-tensor", pytest.param("lstm", marks=pytest.mark.long), "mlp", "adafactor"])
def test_a_rule_is_pure_differentiable_and_for_trees_of_any_shapes(name):
    """Catches a state that changes its form, a NaN in a derivative, and a scalar that breaks an axis."""
    rule, theta = RULES[name], theta_of(name)

    @jax.jit
    def loss(theta):
        moved = walked(rule.make(theta), 2)
        return sum(jnp.sum(p**2) for p in jax.tree.leaves(moved)), moved

    (value, moved), grads = jax.value_and_grad(loss, has_aux=True)(theta)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert any((g != 0).any() for g in jax.tree.leaves(grads))
    assert jax.tree.map(jnp.shape, moved) == jax.tree.map(jnp.shape, TREE)
    assert not np.allclose(moved["a"]["w"], TREE["a"]["w"])


@pytest.mark.parametrize(
    "name", ["mlp", *(pytest.param(name, marks=pytest.mark.long) for name in ("lstm, log and sign", "adafactor"))]
)
def test_with_a_head_of_zeros_a_rule_stands_still_and_beside_a_rate_it_is_sgd(name):
    """Catches a bias that is not 0, and a path from the gradient that is scaled."""
    both = rules.added(rules.schedule([0.3]), RULES[name])
    rate, theta = jax.jit(lambda: both.init(KEY, TREE))()
    close(walked(both.make((rate, theta)), 3), walked(optax.sgd(0.3), 3))
    still = both.make((jnp.full(1, -jnp.inf), theta))
    updates = jax.jit(lambda tree: still.update(tree, still.init(tree), tree)[0])(TREE)
    assert all((u == 0).all() for u in jax.tree.leaves(updates))


def test_one_rate_is_sgd_and_a_schedule_begins_again():
    close(walked(rules.schedule([0.3]).make(jnp.log(jnp.array([0.3])))), walked(optax.sgd(0.3)))
    rates = jnp.array([0.1, 0.2, 0.4])
    own = optax.sgd(lambda count: rates[count % 3])
    close(walked(rules.schedule([0.1, 0.2, 0.4]).make(jnp.log(rates)), 5), walked(own, 5))


def test_the_same_rate_and_momentum_for_each_tensor_is_heavy_ball():
    rule = rules.per_tensor(rate=0.2, momentum=0.7)
    close(walked(rule.make(rule.init(KEY, TREE))), walked(optax.sgd(0.2, momentum=0.7)))
    theta = rule.init(KEY, TREE)
    still = theta._replace(log_rate={**theta.log_rate, "b": jnp.float32(-100.0)})
    assert walked(rule.make(still))["b"] == TREE["b"]


def test_rates_of_other_tensors_are_refused():
    rule = RULES["per-tensor"]
    optimizer = rule.make(rule.init(KEY, TREE))
    with pytest.raises(ValueError, match="for the tensors a/w, b, got a tree of a/w, c: optimize one of the same"):
        optimizer.init({"a": TREE["a"], "c": TREE["b"]})


def test_an_lstm_treats_each_parameter_alike_and_by_itself():
    """A parameter alone goes where it goes among others; log and sign know only the ratio of large gradients."""
    theta = theta_of("lstm")
    optimizer = RULES["lstm"].make(theta)
    grads = jnp.array([0.3, -2.0, 0.3])
    state, one = optimizer.init(grads), optimizer.init(grads[1:2])
    for _ in range(3):
        updates, state = optimizer.update(grads, state)
        alone, one = optimizer.update(grads[1:2], one)
    assert updates[0] == updates[2]
    close(updates[1:2], alone)


def test_log_and_sign_are_those_of_the_paper():
    found = rules.log_and_sign(jnp.array([1.0, -np.e, 0.5 * np.exp(-5.0), 0.0, -1e-9], jnp.float32))
    expected = [[0.0, 1.0], [0.2, -1.0], [-1.0, 0.5], [-1.0, 0.0], [-1.0, -1e-9 * np.exp(5.0)]]
    close(found, np.array(expected, np.float32))
    slope = jax.jacfwd(rules.log_and_sign)(jnp.zeros(2))
    assert jnp.isfinite(slope).all()


def test_the_lstm_is_two_cells_and_a_head():
    """Against the cell's definition, and the scale of what it says."""
    theta = theta_of("lstm, log and sign")
    optimizer = RULES["lstm, log and sign"].make(theta)
    grads = jnp.array([0.1, -3.0])
    said, _ = optimizer.update(grads, optimizer.init(grads))
    cell = theta["params"]["OptimizedLSTMCell_0"]
    x = rules.log_and_sign(grads)
    gate = lambda name: x @ cell[f"i{name}"]["kernel"] + cell[f"h{name}"]["bias"][None]
    c = jax.nn.sigmoid(gate("i")) * jnp.tanh(gate("g"))
    h = jax.nn.sigmoid(gate("o")) * jnp.tanh(c)
    head = theta["params"]["head"]
    close(said, 0.01 * (h @ head["kernel"] + head["bias"][None])[:, 0])


def by_network(theta, rows, scale):
    """The step of a network of layers `Dense_0 ...` and `head`, in NumPy."""
    layers = jax.tree.map(np.asarray, theta["params"])
    for i in range(len(layers) - 1):
        own = layers[f"Dense_{i}"]
        rows = np.maximum(rows @ own["kernel"] + own["bias"], 0)
    said = rows @ layers["head"]["kernel"] + layers["head"]["bias"]
    return -scale * said[:, 0] * np.exp(0.001 * said[:, 1])


def test_the_mlp_sees_19_features_and_steps_by_them():
    """Catches another decay, a root mean square over the wrong axes, times of the next step, and a step uphill."""
    assert FEATURES == 19
    theta, p = theta_of("mlp"), TREE["a"]["w"]
    optimizer = RULES["mlp"].make(theta)
    grads = [random_like(jax.random.key(i), p) for i in range(3)]
    state, momenta = optimizer.init(p), np.zeros((*p.shape, 6))
    for g in grads:
        updates, state = optimizer.update(g, state, p)
        momenta = np.array(DECAYS) * momenta + (1 - np.array(DECAYS)) * np.asarray(g)[..., None]
    seen = np.concatenate([np.asarray(g)[..., None], np.asarray(p)[..., None], momenta], -1).reshape(-1, 8)
    seen = seen / np.sqrt(1e-5 + (seen**2).mean(axis=0))
    clock = np.tile(np.tanh(2 / np.array(TIMES) - 1), (len(seen), 1))
    expected = by_network(theta, np.concatenate([seen, clock], 1), 0.001)
    close(updates.reshape(-1), expected.astype(np.float32), rtol=1e-3, atol=1e-7)


def adafactor_features(grads, p):
    """The 28 features of a matrix after some gradients."""
    d, m, v = np.array(adafactor.DECAYS), 0.0, 0.0
    row = col = 0.0
    for g in grads:
        m = d * m + (1 - d) * g[..., None]
        v = 0.999 * v + 0.001 * g[..., None] ** 2
        square = g[..., None] ** 2 + 1e-30
        row = d * row + (1 - d) * square.mean(axis=1, keepdims=True)
        col = d * col + (1 - d) * square.mean(axis=0, keepdims=True)
    scale = 1 / np.sqrt(row / (row.mean(axis=0, keepdims=True) + 1e-9)) / np.sqrt(col)
    root = 1 / np.sqrt(v + 1e-6)
    rows, cols = np.broadcast_to(row, m.shape), np.broadcast_to(col, m.shape)
    parts = [g[..., None], p[..., None], m, v, m * root, root, g[..., None] * scale, rows, cols]
    parts += [1 / np.sqrt(rows + 1e-8), 1 / np.sqrt(cols + 1e-8), m * scale]
    return np.concatenate(parts, axis=-1)


def test_the_successor_sees_39_features():
    """Against the definition on a matrix of 2 x 3. Catches rows for columns, and a mean over the wrong axis."""
    assert adafactor.FEATURES == 39
    p = TREE["a"]["w"]
    grads = [random_like(jax.random.key(i), p) for i in range(3)]
    kept = adafactor.nothing_yet(p)
    decays = [
        adafactor.decay(d, jnp.zeros(len(d))) for d in (adafactor.DECAYS, adafactor.SQUARE_DECAYS, adafactor.DECAYS)
    ]
    for g in grads:
        kept = adafactor.one_more(*decays, kept, g)
    found = adafactor.features(grads[-1], p, kept)
    assert found.shape == (2, 3, 28)
    expected = adafactor_features([np.asarray(g, np.float64) for g in grads], np.asarray(p))
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=1e-3)


def test_decays_are_learned_by_their_distance_to_one():
    moved = adafactor.decay((0.9, 0.99), jnp.log(jnp.array([0.5, 2.0])) / 10)
    np.testing.assert_allclose(moved, [0.95, 0.98], rtol=1e-5)
    assert adafactor.axes_of((3, 3, 16, 32)) == (2, 3) and adafactor.axes_of((7,)) is None


@pytest.mark.parametrize("name", ["mlp", "adafactor"])
def test_rules_that_see_parameters_ask_for_them(name):
    optimizer = RULES[name].make(RULES[name].init(KEY, TREE))
    with pytest.raises(ValueError, match=r"call optimizer\.update"):
        optimizer.update(TREE, optimizer.init(TREE))


@pytest.mark.parametrize("name", ["lstm", "mlp", "per-tensor", "schedule"])
def test_updates_have_the_dtype_of_the_parameters(name):
    """In bfloat16 what is seen is computed in float32, and what comes out is bfloat16 again."""
    tree = {"a": TREE["a"]["w"].astype(jnp.bfloat16)}
    rule = RULES[name]
    optimizer = rule.make(rule.init(KEY, tree))
    updates, _ = optimizer.update(tree, optimizer.init(tree), tree)
    assert updates["a"].dtype == jnp.bfloat16


def test_what_can_not_be_is_refused():
    with pytest.raises(ValueError, match="needs a rate for each of its steps"):
        rules.schedule([])
    with pytest.raises(ValueError, match="rates must be a finite number above 0"):
        rules.schedule([0.1, -1.0])
    with pytest.raises(ValueError, match="momentum must be above 0 and below 1"):
        rules.per_tensor(momentum=1.0)
    with pytest.raises(ValueError, match="step_scale must be a finite number above 0"):
        rules.mlp(step_scale=0.0)
    with pytest.raises(ValueError, match="units of cell 1 must be 1 or more"):
        rules.lstm(units=(4, 0))
