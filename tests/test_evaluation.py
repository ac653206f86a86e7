"""Means, intervals and other readings of many episodes."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from algorithms_table import ALGORITHMS, conv_net, difference, mlp_net, random_episode
from sklearn.metrics import precision_score, recall_score

import jmeta
from jmeta import Batch, Episode, augment, evaluation, losses, nets, uncertainty

IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(8, 6, 4, 4, 1)), jnp.float32)
SAMPLE = jmeta.few_shot_sampler(IMAGES, way=3, shot=1, query_shot=3)
KEY = jax.random.key(5)


@functools.cache
def trained(name="maml", norm=None, steps=1):
    net = mlp_net(3, (8,)) if norm is None else conv_net(3, norm, (8,))
    learner = ALGORITHMS[name].make(net, losses.cross_entropy, 0.3, steps)
    return learner, jax.jit(learner.init)(jax.random.key(0), SAMPLE(KEY).support.x)


def test_mean_interval_and_values():
    values = np.array([0.2, 0.4, 0.9, 0.5])
    got = evaluation.summarize(values)
    np.testing.assert_allclose(got.mean, 0.5)
    np.testing.assert_allclose(got.ci95, 3.182446 * np.sqrt((0.09 + 0.01 + 0.16) / 3) / 2, rtol=1e-6)
    np.testing.assert_array_equal(got.accuracy, values)
    assert np.isnan(evaluation.summarize(np.array([0.3])).ci95)


def test_the_interval_holds_the_truth_in_95_of_100_cases():
    rng = np.random.default_rng(0)
    inside = [
        abs(got.mean - 0.7) < got.ci95
        for got in (evaluation.summarize(rng.binomial(75, 0.7, size=100) / 75) for _ in range(1000))
    ]
    assert 0.93 < np.mean(inside) < 0.97


def test_evaluate_is_adapt_predict_and_count():
    learner, params = trained()
    got = jmeta.evaluate(learner, params, SAMPLE, KEY, episodes=7)
    expected = []
    sample, predict = jax.jit(SAMPLE), jax.jit(lambda s, x: learner.predict(learner.adapt(params, s), x))
    for key in jax.random.split(KEY, 7):
        episode = sample(key)
        logits = predict(episode.support, episode.query.x)
        expected.append(np.mean(np.argmax(logits, -1) == np.argmax(episode.query.y, -1)))
    np.testing.assert_allclose(got.accuracy, expected, rtol=1e-6)
    np.testing.assert_allclose(got.mean, np.mean(expected), rtol=1e-6)
    np.testing.assert_allclose(got.ci95, 2.446912 * np.std(expected, ddof=1) / np.sqrt(7), rtol=1e-6)


@pytest.mark.parametrize(
    "chunk_size", [pytest.param(2, marks=pytest.mark.long), 3, pytest.param(7, marks=pytest.mark.long)]
)
def test_chunks_change_nothing(chunk_size):
    learner, params = trained()
    plain = jmeta.evaluate(learner, params, SAMPLE, KEY, episodes=7)
    chunks = jmeta.evaluate(learner, params, SAMPLE, KEY, episodes=7, chunk_size=chunk_size)
    np.testing.assert_allclose(chunks.accuracy, plain.accuracy, rtol=1e-6)


def fingerprint(prediction, query):
    """A number that tells the episodes apart."""
    return jnp.sum(query.x**3)


def test_the_same_key_gives_every_learner_the_same_episodes():
    prints = [
        jmeta.evaluate(*trained(name), SAMPLE, KEY, episodes=5, metric=fingerprint).accuracy
        for name in ("maml", "prototypical")
    ]
    np.testing.assert_allclose(prints[0], prints[1], rtol=1e-5)
    assert len(set(prints[0].tolist())) == 5
    other = jmeta.evaluate(*trained(), SAMPLE, jax.random.key(6), episodes=5, metric=fingerprint).accuracy
    assert np.abs(other - prints[0]).max() > 1e-2


@pytest.mark.parametrize("episodes", [0, -5])
def test_no_episodes_are_refused(episodes):
    with pytest.raises(ValueError, match=f"episodes must be 1 or more, got {episodes}"):
        jmeta.evaluate(*trained(), SAMPLE, KEY, episodes=episodes)
    with pytest.raises(ValueError, match=f"episodes must be 1 or more, got {episodes}"):
        evaluation.measure_steps(lambda k: trained()[0], trained()[1], SAMPLE, KEY, steps=1, episodes=episodes)


@pytest.mark.parametrize("chunk_size", [0, -1])
def test_chunks_of_nothing_are_refused(chunk_size):
    with pytest.raises(ValueError, match=f"chunk_size must be 1 or more, got {chunk_size}"):
        jmeta.evaluate(*trained(), SAMPLE, KEY, episodes=2, chunk_size=chunk_size)


@pytest.mark.parametrize("steps", [-1, [0, -2], []])
def test_step_numbers_out_of_range_are_refused(steps):
    with pytest.raises(ValueError, match="0 or more"):
        evaluation.measure_steps(lambda k: trained()[0], trained()[1], SAMPLE, KEY, steps=steps, episodes=2)


@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 5))])
def test_precision_and_recall_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    labels, guesses = rng.integers(0, 4, 30), rng.integers(0, 4, 30)
    weight = rng.integers(0, 3, 30).astype(np.float32)
    y, logits = jax.nn.one_hot(labels, 4), jax.nn.one_hot(guesses, 4)
    for sample_weight in (None, weight):
        query = jmeta.Batch(None, y, None if sample_weight is None else jnp.asarray(sample_weight))
        options = dict(average="macro", sample_weight=sample_weight)
        np.testing.assert_allclose(
            evaluation.precision(logits, query), precision_score(labels, guesses, **options), rtol=1e-5
        )
        np.testing.assert_allclose(
            evaluation.recall(logits, query), recall_score(labels, guesses, **options), rtol=1e-5
        )
        expected = np.average(labels == guesses, weights=sample_weight)
        np.testing.assert_allclose(evaluation.accuracy(logits, query), expected, rtol=1e-5)


def test_a_class_that_is_never_predicted_has_precision_zero():
    labels, guesses = np.array([0, 1, 2, 2]), np.array([0, 1, 1, 1])
    query = jmeta.Batch(None, jax.nn.one_hot(labels, 3))
    got = evaluation.precision(jax.nn.one_hot(guesses, 3), query)
    np.testing.assert_allclose(got, precision_score(labels, guesses, average="macro", zero_division=0), rtol=1e-6)


def test_several_metrics_in_one_pass():
    learner, params = trained()
    metrics = {"accuracy": evaluation.accuracy, "recall": evaluation.recall, "precision": evaluation.precision}
    got = evaluation.measure(learner, params, SAMPLE, KEY, episodes=6, metrics=metrics)
    assert set(got) == set(metrics)
    for name, metric in metrics.items():
        alone = jmeta.evaluate(learner, params, SAMPLE, KEY, episodes=6, metric=metric).accuracy
        np.testing.assert_allclose(got[name], alone, rtol=1e-6)
    # Queries are as many in every class.
    np.testing.assert_allclose(got["recall"], got["accuracy"], rtol=1e-5)
    assert np.abs(got["precision"] - got["accuracy"]).max() > 1e-3


def test_the_same_evaluation_is_compiled_once():
    """And so is one at other parameters, or of another sampler of the same kind."""
    learner, params = trained()
    counted = chex.assert_max_traces(evaluation.accuracy, n=1)
    evaluate = lambda params, key: jmeta.evaluate(learner, params, SAMPLE, key, episodes=4, metric=counted).accuracy
    first = evaluate(params, KEY)
    np.testing.assert_array_equal(evaluate(params, KEY), first)
    other = evaluate(jax.tree.map(lambda p: -p, params), jax.random.key(1))
    assert not np.array_equal(other, first)


def test_mean_squared_error():
    sample = jmeta.sinusoid_sampler(shot=5, query_shot=4)
    learner = ALGORITHMS["maml"].make(mlp_net(1, (8,)), losses.squared_error, 0.01, 1)
    params = jax.jit(learner.init)(jax.random.key(0), jnp.zeros((5, 1)))
    got = jmeta.evaluate(learner, params, sample, KEY, episodes=3, metric=evaluation.mean_squared_error)
    loss = jax.jit(lambda key: learner.loss(params, sample(key))[0])
    expected = [loss(key) for key in jax.random.split(KEY, 3)]
    np.testing.assert_allclose(got.accuracy, expected, rtol=1e-5)


def readings(norm):
    learner, params = trained("maml", norm)
    episode = SAMPLE(KEY)
    return [
        jax.jit(lambda p, f=f: f(learner, p, episode))(params) for f in (evaluation.transductive, evaluation.inductive)
    ]


def test_inductive_and_transductive_differ_with_batch_statistics():
    together, alone = readings(nets.BatchNorm)
    assert together.shape == alone.shape == (9, 3)
    assert difference(together, alone) > 1e-2


@pytest.mark.parametrize("norm", [nets.SupportNorm, nets.GroupNorm, pytest.param(nets.NoNorm, marks=pytest.mark.long)])
def test_inductive_and_transductive_agree_where_queries_do_not_see_each_other(norm):
    together, alone = readings(norm)
    np.testing.assert_allclose(together, alone, rtol=1e-4, atol=1e-5)


def test_inductive_predicts_each_query_with_the_support_set_alone():
    learner, params = trained("maml", nets.BatchNorm)
    episode = SAMPLE(KEY)
    adapted, predict = learner.adapt(params, episode.support), learner.predict
    expected = jnp.concatenate(
        [predict(adapted, jnp.concatenate([episode.support.x, x[None]]))[-1:] for x in episode.query.x]
    )
    found = jax.jit(lambda params: evaluation.inductive(learner, params, episode))(params)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_queries_do_not_influence_each_other_with_support_statistics():
    episode = SAMPLE(KEY)
    changed = episode.query.x.at[1:].set(random_episode(3).query.x[:1] * 7)
    differences = {}
    for norm in (nets.SupportNorm, nets.BatchNorm):
        learner, params = trained("maml", norm)
        adapted, predict = learner.adapt(params, episode.support), learner.predict
        differences[norm] = difference(predict(adapted, episode.query.x)[0], predict(adapted, changed)[0])
    assert differences[nets.SupportNorm] < 1e-6
    assert differences[nets.BatchNorm] > 1e-2


BOTH_WAYS = (lambda image: image, augment.mirror)


@pytest.mark.parametrize("read", [evaluation.transductive, evaluation.inductive])
@pytest.mark.parametrize("name", ["prototypical", "maml"])
def test_a_reading_with_the_mirror_image_does_not_tell_left_from_right(name, read):
    """Catches labels of other pictures, means over queries in place of views, and a view that the support lacks."""
    learner, params = trained(name)
    seen = jax.jit(lambda episode: evaluation.with_views(read, BOTH_WAYS)(learner, params, episode))
    support, query = SAMPLE(KEY)
    some = lambda x: x.at[1::2].set(x[1::2, :, ::-1])
    plain = seen(Episode(support, query))
    turned = seen(Episode(support._replace(x=some(support.x)), query._replace(x=some(query.x))))
    np.testing.assert_allclose(turned, plain, rtol=1e-4, atol=1e-5)
    assert plain.shape == query.y.shape and difference(plain, read(learner, params, Episode(support, query))) > 1e-3


def test_views_are_more_support_examples_and_a_mean_of_predictions():
    """Logits are those of an episode of twice the shots, and padding stays padding."""
    learner, params = trained("prototypical")
    support, query = SAMPLE(KEY)
    more = Batch(jnp.concatenate([support.x, support.x[:, :, ::-1]]), jnp.concatenate([support.y, support.y]))
    adapted = learner.adapt(params, more)
    expected = (learner.predict(adapted, query.x) + learner.predict(adapted, query.x[:, :, ::-1])) / 2
    read = evaluation.with_views(evaluation.transductive, BOTH_WAYS)
    np.testing.assert_allclose(read(learner, params, Episode(support, query)), expected, rtol=1e-4, atol=1e-5)
    add = lambda batch: Batch(
        jnp.concatenate([batch.x, 9 + batch.x[:2]]),
        jnp.concatenate([batch.y, batch.y[:2]]),
        jnp.append(jnp.ones(len(batch.y)), jnp.zeros(2)),
    )
    padded = read(learner, params, Episode(add(support), add(query)))[: len(query.y)]
    np.testing.assert_allclose(padded, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("views", [(), augment.mirror, ["mirror"], [3]])
def test_views_that_are_none_are_refused(views):
    with pytest.raises(ValueError, match="a list of functions of an example"):
        evaluation.with_views(evaluation.transductive, views)


@pytest.mark.parametrize("view", [lambda x: x[:2], lambda x: x.astype(jnp.int32)])
def test_views_of_another_form_are_refused(view):
    """A half of the picture goes through a network with a mean over positions, and integers through any."""
    read = evaluation.with_views(evaluation.transductive, (view for _ in range(2)))
    with pytest.raises(ValueError, match="a view must keep shape and dtype"):
        read(*trained("prototypical"), SAMPLE(KEY))


@pytest.mark.parametrize("words", [{"predict": "transductive"}, {"metric": "accuracy"}])
def test_names_of_functions_are_refused(words):
    with pytest.raises(ValueError, match=f"{next(iter(words))} must be a function, got '"):
        jmeta.evaluate(*trained(), SAMPLE, KEY, episodes=2, **words)


@pytest.mark.parametrize(
    "name", ["maml", *(pytest.param(name, marks=pytest.mark.long) for name in ("anil", "meta_sgd", "reptile"))]
)
def test_accuracy_after_each_step_is_that_of_separate_evaluations(name):
    """One program for any number of steps gives what a program for each gives."""
    _, params = trained(name)

    def learner_of(k):
        return ALGORITHMS[name].make(mlp_net(3, (8,)), losses.cross_entropy, 0.3, k)

    loss = lambda logits, query: losses.mean_loss(logits, query, losses.cross_entropy)
    got = evaluation.measure_steps(learner_of, params, SAMPLE, KEY, steps=2, episodes=4, metric=loss)
    assert got.shape == (3, 4)
    for k in range(3):
        alone = jmeta.evaluate(learner_of(k), params, SAMPLE, KEY, episodes=4, metric=loss).accuracy
        np.testing.assert_allclose(got[k], alone, rtol=1e-4)
    assert np.abs(got[0] - got[2]).max() > 1e-2


def test_chosen_numbers_of_steps():
    params = trained()[1]
    learner_of = lambda k: jmeta.maml(mlp_net(3, (8,)).model, inner_optimizer=optax.sgd(0.3), inner_steps=k)
    loss = lambda logits, query: losses.mean_loss(logits, query, losses.cross_entropy)
    measure = lambda steps, **o: evaluation.measure_steps(
        learner_of, params, SAMPLE, KEY, steps=steps, episodes=4, metric=loss, **o
    )
    np.testing.assert_allclose(measure((4, 1), chunk_size=2), measure(4)[jnp.array([4, 1])], rtol=1e-5)


METRICS = [evaluation.accuracy, evaluation.precision, evaluation.recall, uncertainty.calibration]


@pytest.mark.parametrize("metric", METRICS)
def test_predictions_of_another_shape_are_refused(metric):
    """Of a prediction of one query, or of more classes, that is compared with all labels."""
    query = jmeta.Batch(None, jnp.eye(3)[jnp.zeros(10, int)])
    for shape in ((10, 5), (1, 3), (5, 3), (3,)):
        with pytest.raises(ValueError, match="give it as many outputs"):
            metric(jnp.zeros(shape), query)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_the_accuracy_of_predictions_in_half_precision_is_not_rounded(dtype):
    query = jmeta.Batch(None, jnp.eye(3)[jnp.zeros(10, int)])
    prediction = query.y.at[0].set(jnp.array([0.0, 1.0, 0.0])).astype(dtype)
    np.testing.assert_allclose(evaluation.accuracy(prediction, query), 0.9, rtol=1e-6)
