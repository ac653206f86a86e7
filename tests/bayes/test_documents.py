"""Dirichlet-multinomial documents: Bayes' answer beside SciPy's gamma functions, and how good it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gammaln

from jmeta import Batch, evaluation
from jmeta.bayes.documents import documents
from jmeta.tasks.documents import document_sampler, zipf_prior


def test_logits_are_those_of_gamma_functions():
    """Catches a word that is counted twice as if it were two words, padding that counts, and a sum over one class."""
    prior = np.array([0.0, 0.5, 2.0, 1.0])
    support, labels = np.array([[1, 1, 2], [3, 0, 0], [1, 3, 0]]), np.array([0, 1, 0])
    query = np.array([[1, 1, 3], [2, 0, 0]])
    learner = documents(jnp.asarray(prior))
    adapted = learner.adapt({}, Batch(jnp.asarray(support), jax.nn.one_hot(labels, 2)))
    found = learner.predict(adapted, jnp.asarray(query))
    for n, text in enumerate(query):
        q = np.bincount(text, minlength=4)[1:]
        for k in range(2):
            a = prior[1:] + np.bincount(support[labels == k].ravel(), minlength=4)[1:]
            right = gammaln(a.sum()) - gammaln(a.sum() + q.sum()) + np.sum(gammaln(a + q) - gammaln(a))
            np.testing.assert_allclose(found[n, k], right, rtol=1e-5)


@pytest.fixture(scope="module")
def accuracy():
    """Of Bayes' answer, by shot."""

    def measured(shot):
        sample = document_sampler(shot=shot, query_shot=5, length=10, concentration=100.0)
        learner = documents(zipf_prior(2000, 100.0))
        return evaluation.evaluate(learner, {}, sample, jax.random.key(0), episodes=600)

    return measured


@pytest.mark.parametrize(("shot", "known"), [(1, 0.543), (5, 0.858)])
def test_bayes_is_as_good_as_it_is_known_to_be(accuracy, shot, known):
    """Catches words drawn from another prior, and classes that share their frequencies."""
    found = accuracy(shot)
    assert found.ci95 < 0.012 and abs(found.mean - known) < 0.02, found


def test_words_of_a_class_are_those_of_an_urn():
    """The second word of a class is the first again with the probability of 1 / (A + 1), and of its own frequency."""
    sample = document_sampler(way=1, shot=1, query_shot=1, words=50, length=2, concentration=3.0)
    x = np.asarray(jax.vmap(sample)(jax.random.split(jax.random.key(0), 20_000)).support.x)[:, 0]
    p = np.asarray(zipf_prior(50, 1.0))[1:]
    again = 1 / 4 + 3 / 4 * np.sum(p**2)
    assert abs(np.mean(x[:, 0] == x[:, 1]) - again) < 4 * np.sqrt(again * (1 - again) / 20_000)
    assert abs(np.mean(x[:, 1] == 1) - p[0]) < 4 * np.sqrt(p[0] * (1 - p[0]) / 20_000)


def test_documents_refuse_what_can_not_be():
    with pytest.raises(ValueError, match="concentration"):
        document_sampler(shot=1, query_shot=1, concentration=0.0)
    with pytest.raises(ValueError, match="length"):
        document_sampler(shot=1, query_shot=1, length=0)
