"""LSTMs over a support set, beside NumPy's loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import calls, nets

RNG = np.random.default_rng(0)
Z, G = (jnp.asarray(RNG.normal(size=(n, 3)), jnp.float32) for n in (4, 5))
WEIGHT = jnp.array([1.0, 0.0, 0.3, 1.0, 0.0])
REAL = np.flatnonzero(WEIGHT)


def moved(model, x):
    """Parameters off their start, where biases are zero."""
    leaves, treedef = jax.tree.flatten(model.init(jax.random.key(0), x))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [p + 0.3 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    params = jax.tree.unflatten(treedef, noisy)
    return params, jax.tree.map(lambda p: np.asarray(p, np.float64), params["params"])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, state, cell, layer, recurrent):
    """One step of an LSTM with the gates in the order: what enters, what is kept, what is new, what goes out."""
    enter, keep, new, out = np.split(x @ layer["kernel"] + layer["bias"] + state @ recurrent, 4)
    cell = sigmoid(keep) * cell + sigmoid(enter) * np.tanh(new)
    return sigmoid(out) * np.tanh(cell), cell


def read_both_ways(p, g):
    """g_i plus the states of an LSTM that has read up to it from each end."""
    out = [row.copy() for row in g]
    for name, order in (("forward", range(len(g))), ("backward", reversed(range(len(g))))):
        state = cell = np.zeros(3)
        for i in order:
            state, cell = lstm(g[i], state, cell, p[name], p[f"{name}_recurrent"])
            out[i] = out[i] + state
    return np.stack(out)


def read_by_attention(p, z, g, steps):
    out = []
    for query in z:
        state, cell = query, np.zeros(3)
        for _ in range(steps):
            attention = np.exp([state @ example for example in g])
            read = sum(a * example for a, example in zip(attention / attention.sum(), g, strict=True))
            new, cell = lstm(query, np.concatenate([state, read]), cell, p["query"], p["recurrent"])
            state = new + query
        out.append(state)
    return np.stack(out)


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_a_bidirectional_lstm_reads_the_real_examples_from_both_ends(weight):
    model = nets.BidirectionalLSTM()
    params, p = moved(model, G)
    rows = np.arange(5) if weight is None else REAL
    got = calls.apply(model, params, G, weight)[rows]
    np.testing.assert_allclose(got, read_both_ways(p, np.asarray(G, np.float64)[rows]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [0, 1, 3])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_an_attention_lstm_reads_from_the_real_examples(steps, weight):
    model = nets.AttentionLSTM(steps)
    params, p = moved(nets.AttentionLSTM(1), (Z, G))
    rows = np.arange(5) if weight is None else REAL
    expected = read_by_attention(p, *(np.asarray(a, np.float64) for a in (Z, G[rows])), steps)
    np.testing.assert_allclose(calls.apply(model, params, (Z, G), weight), expected, rtol=1e-4, atol=1e-5)


def test_padding_has_no_part_in_values_and_derivatives():
    reader, asker = nets.BidirectionalLSTM(), nets.AttentionLSTM(2)
    params = moved(reader, G)[0], moved(asker, (Z, G))[0]
    junk = jnp.where(WEIGHT[:, None] > 0, G, 100 * G[::-1])

    def out(params, g, weight):
        g = calls.apply(reader, params[0], g, weight)
        return jnp.sum(jnp.sin(calls.apply(asker, params[1], (Z, g), weight)))

    value, grads = jax.value_and_grad(out)(params, junk, WEIGHT)
    expected, expected_grads = jax.value_and_grad(out)(params, G[REAL], None)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(expected_grads), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_the_order_of_the_support_matters_to_one_of_them():
    reader, asker = nets.BidirectionalLSTM(), nets.AttentionLSTM(2)
    params = moved(reader, G)[0], moved(asker, (Z, G))[0]
    assert float(jnp.abs(reader.apply(params[0], G[::-1])[::-1] - reader.apply(params[0], G)).max()) > 1e-2
    np.testing.assert_allclose(asker.apply(params[1], (Z, G[::-1])), asker.apply(params[1], (Z, G)), rtol=1e-4)
