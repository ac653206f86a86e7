"""Neural processes beside NumPy's loops, and the Gaussian whose spread they learn."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from algorithms_table import assert_close, random_episode

import jmeta
from jmeta import evaluation, losses, nets

KEY = jax.random.key(0)
ENCODER, PAIRS = nets.MLPEncoder((5,)), nets.MLP((6,), 4)
IDENTITY = nets.MLPEncoder(())
CLASSES = random_episode(0, way=3, shot=3)
WEIGHT = jnp.array([1.0, 0.5, 2.0, 0.0, 1.0, 1.0, 3.0, 0.0, 1.0])


def curve(n, m):
    """Points of a curve with a single target."""
    sample = jmeta.sinusoid_sampler(shot=n, query_shot=m)
    return sample(jax.random.key(3))


def moved(learner, x):
    """Parameters off the symmetric start."""
    return jax.tree.map(lambda p: p + 0.1, jax.jit(learner.init)(KEY, x))


@functools.cache
def compiled(net):
    return jax.jit(net.apply)


def forward(net, params, row):
    """The outputs for a single row."""
    return np.asarray(compiled(net)(params, np.asarray(row, np.float32)[None])[0], np.float64)


def mean_code(params, z, y, weight, k, member):
    """The mean over the examples that are members, one after another."""
    total, count = np.zeros(4), 0.0
    for n in range(len(z)):
        if member(y[n, k]):
            total += weight[n] * forward(PAIRS, params.pairs, [*z[n], y[n, k]])
            count += weight[n]
    return total / count


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_classes_are_decoded_from_the_means_of_the_class_and_of_the_rest(weight):
    decoder = nets.MLP((7,), 1)
    learner = jmeta.neural_process(ENCODER, PAIRS, decoder)
    support = CLASSES.support._replace(weight=weight)
    params = moved(learner, support.x)
    adapted = jax.jit(learner.adapt)(params, support)
    z = [forward(ENCODER, params.encoder, x) for x in support.x]
    share, y = np.ones(9) if weight is None else np.asarray(weight), np.asarray(support.y)
    expected = []
    for k in range(3):
        own = mean_code(params, z, y, share, k, lambda label: label == 1)
        rest = mean_code(params, z, y, share, k, lambda label: label == 0)
        expected.append(np.concatenate([own, rest]))
    np.testing.assert_allclose(adapted.r, expected, rtol=1e-4, atol=1e-5)
    out = jax.jit(learner.predict)(adapted, CLASSES.query.x)
    for m, x in enumerate(CLASSES.query.x):
        for k in range(3):
            logit = forward(decoder, params.decoder, [*forward(ENCODER, params.encoder, x), *expected[k]])
            np.testing.assert_allclose(out[m, k], logit[0], rtol=1e-4, atol=1e-5)


def test_a_curve_is_decoded_from_the_mean_of_its_points():
    """With a single target, the paper's equations 1 to 3."""
    decoder, episode = nets.MLP((7,), 1), curve(6, 4)
    pairs = nets.MLP((6,), 4)
    learner = jmeta.neural_process(
        IDENTITY, pairs, decoder, groups=jmeta.algorithms.all_examples, loss_fn=losses.squared_error
    )
    params = moved(learner, episode.support.x)
    codes = [forward(pairs, params.pairs, [x[0], y[0]]) for x, y in zip(*episode.support[:2], strict=True)]
    r = sum(codes) / 6
    expected = [forward(decoder, params.decoder, [x[0], *r]) for x in episode.query.x]
    out = jax.jit(learner.predict)(jax.jit(learner.adapt)(params, episode.support), episode.query.x)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


def test_an_example_of_weight_two_counts_as_two():
    learner = jmeta.neural_process(ENCODER, PAIRS, nets.MLP((7,), 1))
    x, y = CLASSES.support[:2]
    params = moved(learner, x)
    twice = jmeta.Batch(jnp.concatenate([x, x[:1]]), jnp.concatenate([y, y[:1]]))
    weighted = jmeta.Batch(x, y, jnp.ones(9).at[0].set(2.0))
    assert_close(jax.jit(learner.adapt)(params, weighted).r, jax.jit(learner.adapt)(params, twice).r)


def test_a_class_without_examples_has_a_mean_of_zeros():
    learner = jmeta.neural_process(ENCODER, PAIRS, nets.MLP((7,), 1))
    params = moved(learner, CLASSES.support.x)
    support = CLASSES.support._replace(weight=1 - CLASSES.support.y[:, 0])
    r = jax.jit(learner.adapt)(params, support).r
    assert jnp.all(r[0, :4] == 0) and jnp.all(jnp.abs(r[1:]).sum(1) > 0)
    grads = jax.jit(jax.grad(learner.loss, has_aux=True))(params, CLASSES._replace(support=support))[0]
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(grads))


def test_support_statistics_in_the_decoder_are_those_of_the_support_set():
    decoder = nets.MLP((7,), 1, norm=nets.SupportNorm)
    learner = jmeta.neural_process(ENCODER, PAIRS, decoder)
    params = moved(learner, CLASSES.support.x)
    adapted = jax.jit(learner.adapt)(params, CLASSES.support)
    together = jax.jit(learner.predict)(adapted, CLASSES.query.x)
    assert_close(jax.jit(learner.predict)(adapted, CLASSES.query.x[:1]), together[:1])


def test_what_the_decoder_gives_besides_goes_to_the_loss():
    """With a Gaussian, the spread; what is predicted is its mean."""
    decoder, episode = nets.MLP((7,), 2), curve(5, 4)
    learner = jmeta.neural_process(
        IDENTITY, PAIRS, decoder, groups=jmeta.algorithms.all_examples, loss_fn=losses.gaussian
    )
    params = moved(learner, episode.support.x)
    adapted = jax.jit(learner.adapt)(params, episode.support)
    value, metrics = jax.jit(learner.loss)(params, episode)
    terms = []
    for x, y in zip(*episode.query[:2], strict=True):
        mean, raw = forward(decoder, params.decoder, [x[0], *np.asarray(adapted.r[0])])
        sigma = 0.1 + 0.9 * np.log1p(np.exp(raw))
        terms.append(0.5 * ((float(y[0]) - mean) / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi))
    np.testing.assert_allclose([value, metrics.loss], np.mean(terms), rtol=1e-4)
    out = jax.jit(learner.predict)(adapted, episode.query.x)
    assert out.shape == (4, 1)
    error = evaluation.mean_squared_error(out, episode.query)
    np.testing.assert_allclose(error, np.mean(np.square(out - episode.query.y)), rtol=1e-5)


def test_groups_are_asked_about_labels_alone():
    """Those that count the targets of an example see no features, of which there are five."""
    seen = []
    groups = lambda y: seen.append(y.shape) or (y,)
    learner = jmeta.neural_process(ENCODER, PAIRS, nets.MLP((6,), 1), groups=groups)
    params = learner.init(KEY, CLASSES.support.x)
    learner.adapt(params, CLASSES.support)
    assert seen == [(9, 1), (9, 3)]


@pytest.mark.parametrize("padding", ["weight", "classes"])
def test_padding_marked_in_one_way_is_of_the_dtype_that_it_has(padding):
    """In float32 beside a default of float64, where nothing is converted by accident."""
    learner = jmeta.neural_process(ENCODER, PAIRS, nets.MLP((6,), 1))
    support = CLASSES.support._replace(weight=None, classes=None)
    support = support._replace(**{padding: jnp.ones(9 if padding == "weight" else 3, jnp.float32)})
    params = learner.init(KEY, support.x)
    with jax.enable_x64(True):
        out = learner.predict(learner.adapt(params, support), support.x)
    assert out.dtype == jnp.float32


@pytest.mark.parametrize("raw", [-5.0, 0.0, 2.0])
def test_the_gaussian_is_a_density_no_narrower_than_a_tenth(raw):
    y = jnp.linspace(-40.0, 42.0, 40_001)[:, None]
    density = np.exp(-np.asarray(losses.gaussian(jnp.full_like(y, 1.0), y, jnp.full_like(y, raw)), np.float64))
    grid = np.asarray(y[:, 0], np.float64)
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=1e-3)
    spread = np.sqrt(np.trapezoid(density * (grid - 1) ** 2, grid))
    assert spread == pytest.approx(0.1 + 0.9 * np.log1p(np.exp(raw)), rel=1e-2)
