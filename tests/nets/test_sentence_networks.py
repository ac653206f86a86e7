"""Networks of sentences beside loops, and what padding must not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jmeta import nets

X = jnp.array([[3, 1, 3, 0], [2, 0, 0, 0], [0, 0, 0, 0]], jnp.int32)
KEY = jax.random.key(0)


def moved(params, seed=1):
    """Parameters away from where they start, such as from weights that are all alike."""
    leaves, form = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return jax.tree.unflatten(
        form, [a + 0.3 * jax.random.normal(k, a.shape) for k, a in zip(keys, leaves, strict=True)]
    )


def test_a_bag_is_the_weighted_mean_of_its_words():
    """Catches padding in the mean, a word that counts once however often it is there, and weights of no effect."""
    net = nets.BagEncoder((5,), table=8)
    params = moved(net.init(KEY, X))
    words, louder = (np.asarray(params["params"][name]["embedding"]) for name in ("words", "louder"))
    share = np.exp(louder[:, 0])
    right = (2 * share[3] * words[3] + share[1] * words[1]) / (2 * share[3] + share[1])
    found = net.apply(params, X)
    np.testing.assert_allclose(found[0], right, rtol=1e-5)
    np.testing.assert_allclose(found[1], words[2], rtol=1e-5)
    assert not found[2].any()


@pytest.mark.parametrize("net", [nets.BagEncoder((8, 4), table=8), nets.SentenceTransformerEncoder((8, 8), table=8)])
def test_padding_and_other_sentences_have_no_part(net):
    """Catches attention to padding, a mean over it, and a sentence that sees another."""
    params = moved(net.init(KEY, X))
    found = net.apply(params, X)
    np.testing.assert_allclose(net.apply(params, jnp.pad(X, ((0, 0), (0, 3)))), found, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(net.apply(params, X[1:2]), found[1:2], rtol=1e-4, atol=1e-5)
    grads = jax.grad(lambda p: jnp.sum(jnp.square(net.apply(p, X))))(params)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert not grads["params"]["words"]["embedding"][0].any()
    assert float(jnp.abs(grads["params"]["words"]["embedding"][3]).max()) > 0


def test_the_order_of_words_is_seen_by_the_transformer_alone():
    turned = X[:1, jnp.array([1, 0, 2, 3])]
    for net, sees in ((nets.BagEncoder((8,)), False), (nets.SentenceTransformerEncoder((8,)), True)):
        params = net.init(KEY, X)
        apart = jnp.abs(net.apply(params, X[:1]) - net.apply(params, turned)).max()
        assert bool(apart > 1e-3) == sees


def test_tokens_beyond_the_table_share_rows():
    net = nets.BagEncoder((4,), table=8)
    params = net.init(KEY, X)
    np.testing.assert_array_equal(net.apply(params, jnp.array([[3]])), net.apply(params, jnp.array([[10]])))
    assert net.apply(params, jnp.array([[7]])).any()  # and none shares that of padding


@pytest.mark.parametrize("net", [nets.Bag(2), nets.SentenceTransformer(2)])
def test_what_is_no_token_is_refused(net):
    with pytest.raises(ValueError, match=r"integers \[N, L\], got float32"):
        net.init(KEY, jnp.zeros((2, 3)))


def test_a_transformer_says_which_features_it_takes():
    for features in ((8, 4), (6,)):
        with pytest.raises(ValueError, match="must be alike and multiples of its 4 heads"):
            nets.SentenceTransformerEncoder(features).init(KEY, X)


def test_a_metric_starts_as_that_of_its_inputs():
    """Catches a start at which the projection has a part, and a scale that is not the square root of that of logits."""
    x = jax.random.normal(KEY, (3, 6))
    net = nets.MetricEncoder((4,), spread=0.0)
    z = net.apply(net.init(KEY, x), x)
    assert z.shape == (3, 10)
    np.testing.assert_allclose(jnp.sum((z[0] - z[1]) ** 2), 16 * jnp.sum((x[0] - x[1]) ** 2), rtol=1e-5)
    params = moved(net.init(KEY, x))["params"]
    own = np.asarray(x) * np.exp(params["gain"])
    right = np.exp(params["scale"]) * np.concatenate([own, own @ params["Dense_0"]["kernel"]], axis=1)
    np.testing.assert_allclose(net.apply({"params": params}, x), right, rtol=1e-5)
