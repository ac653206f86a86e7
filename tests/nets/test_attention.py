"""Attention beside NumPy's loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close

from jmeta import nets

KEY = jax.random.key(0)


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def softmax(scores, weight):
    """Over those whose weight is not 0."""
    total = sum(w * np.exp(s) for s, w in zip(scores, weight, strict=True) if w > 0)
    return [w * np.exp(s) / total if w > 0 else 0.0 for s, w in zip(scores, weight, strict=True)]


@pytest.mark.parametrize("weight", [None, [1.0, 0.0, 2.5, 1.0, 0.0]])
def test_shares_are_those_of_loops(weight):
    queries, keys = normal(0, 3, 2, 4), normal(1, 5, 2, 4)
    shares = nets.attention_shares(queries, keys, None if weight is None else jnp.asarray(weight))
    assert shares.shape == (2, 3, 5)
    for h in range(2):
        for m in range(3):
            scores = [np.dot(queries[m, h], keys[n, h]) / 2 for n in range(5)]
            np.testing.assert_allclose(shares[h, m], softmax(scores, weight or [1.0] * 5), rtol=1e-5, atol=1e-7)


def test_padding_has_a_share_of_exactly_zero_and_finite_derivatives():
    keys = normal(1, 5, 1, 4).at[2].set(1e4)
    weight = jnp.array([1.0, 1.0, 0.0, 1.0, 1.0])

    def total(queries, keys):
        return jnp.sum(jnp.square(nets.attention_shares(queries, keys, weight)))

    assert jnp.all(nets.attention_shares(normal(0, 3, 1, 4), keys, weight)[..., 2] == 0)
    grads = jax.grad(total, argnums=(0, 1))(normal(0, 3, 1, 4), keys)
    assert all(jnp.isfinite(g).all() for g in grads) and jnp.all(grads[1][2] == 0)


def dense(params, x):
    return x @ np.asarray(params["kernel"], np.float64) + np.asarray(params.get("bias", 0.0), np.float64)


def layer_norm(params, x):
    normed = (x - x.mean()) / np.sqrt(x.var() + 1e-6)
    return normed * np.asarray(params["scale"], np.float64) + np.asarray(params["bias"], np.float64)


def per_head(params, x):
    """`[heads, F / heads]`."""
    return np.einsum("f,fhd->hd", x, np.asarray(params["kernel"], np.float64)) + np.asarray(params["bias"])


def block(params, x, examples, weight):
    """One block for one token."""
    attention = params["attention"]
    normed, seen = layer_norm(params["norm"], x), [layer_norm(params["norm"], e) for e in examples]
    query, keys = per_head(attention["query"], normed), [per_head(attention["key"], e) for e in seen]
    values = [per_head(attention["value"], e) for e in seen]
    heads, size = query.shape
    taken = np.zeros((heads, size))
    for h in range(heads):
        shares = softmax([query[h] @ key[h] / np.sqrt(size) for key in keys], weight)
        for share, value in zip(shares, values, strict=True):
            taken[h] += share * value[h]
    kernel = np.asarray(attention["out"]["kernel"], np.float64)
    x = x + np.einsum("hd,hdf->f", taken, kernel) + np.asarray(attention["out"]["bias"])
    inner = dense(params["Dense_0"], layer_norm(params["LayerNorm_0"], x))
    gelu = 0.5 * inner * (1 + np.tanh(np.sqrt(2 / np.pi) * (inner + 0.044715 * inner**3)))
    return x + dense(params["Dense_1"], gelu)


def transformer(params, x, weight, layers):
    """`LabelTransformer`, one query and one class at a time."""
    queries, examples, y = (np.asarray(a, np.float64) for a in x)
    out = np.zeros((len(queries), y.shape[1]))
    for m in range(len(queries)):
        for k in range(y.shape[1]):
            e = [dense(params["embed"], z) + dense(params["label"], y[n, k : k + 1]) for n, z in enumerate(examples)]
            q = dense(params["embed"], queries[m]) + np.asarray(params["unknown"])
            for layer in range(layers):
                own = params[f"block_{layer}"]
                e, q = [block(own, token, e, weight) for token in e], block(own, q, e, weight)
            e, q = [layer_norm(params["LayerNorm_0"], token) for token in e], layer_norm(params["LayerNorm_0"], q)
            query, keys = per_head(params["compare"], q), [per_head(params["compare"], token) for token in e]
            out[m, k] = dense(params["bias"], q)[0]
            for h, gain in enumerate(dense(params["gains"], q)):
                shares = softmax([query[h] @ key[h] / np.sqrt(len(query[h])) for key in keys], weight)
                out[m, k] += gain * sum(share * y[n, k] for n, share in enumerate(shares))
    return out


def made(net, x):
    """Parameters off the start, where biases are zero and scales one."""
    leaves, treedef = jax.tree.flatten(jax.jit(net.init)(KEY, x))
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [p + 0.1 * jax.random.normal(k, p.shape) for k, p in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(treedef, moved)


TOKENS = normal(0, 3, 5), normal(1, 6, 5), jnp.tile(jnp.eye(2), (3, 1))


@pytest.mark.parametrize("weight", [None, [1.0, 0.0, 2.0, 1.0, 0.0, 1.0]])
@pytest.mark.parametrize("layers", [0, 2])
def test_the_transformer_is_that_of_loops(layers, weight):
    net = nets.LabelTransformer(8, 2, layers)
    params = made(net, TOKENS)
    out = jax.jit(net.apply)(params, TOKENS, None if weight is None else jnp.asarray(weight))
    expected = transformer(params["params"], TOKENS, weight or [1.0] * 6, layers)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)


def test_an_example_of_weight_two_counts_as_two():
    net = nets.LabelTransformer(8, 2)
    params, (z, examples, y) = made(net, TOKENS), TOKENS
    twice = z, jnp.concatenate([examples, examples[:1]]), jnp.concatenate([y, y[:1]])
    apply = jax.jit(net.apply)
    assert_close(apply(params, TOKENS, jnp.ones(6).at[0].set(2.0)), apply(params, twice), rtol=1e-4)


def test_like_examples_share_labels_before_any_training():
    net = nets.LabelTransformer(64, 4)
    examples = normal(5, 5, 32)
    tokens = examples + 0.3 * normal(6, 5, 32), examples, jnp.eye(5)
    logits = jax.jit(jax.vmap(lambda key: net.apply(net.init(key, tokens), tokens)))(jax.random.split(KEY, 10))
    assert jnp.mean(jnp.argmax(logits, axis=2) == jnp.arange(5)[None]) > 0.5


def test_heads_that_do_not_divide_the_features_are_refused():
    with pytest.raises(ValueError, match=r"heads must be a divisor of the 10 features, got 4"):
        nets.LabelTransformer(10, 4).init(KEY, TOKENS)
