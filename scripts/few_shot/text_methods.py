"""What tells sentences apart: nearest means of counts and TF-IDF, and learners that are trained on episodes."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import sparse

import jmeta
from jmeta import evaluation, nets, training
from jmeta.algorithms.nearest import nearest
from jmeta.datasets.sentences import Sentences
from jmeta.datasets.splits import split
from jmeta.datasets.terms import Terms, counts, pieces_in, terms_of, tfidf, tokens, unit_rows, words_in, words_of
from jmeta.ragged import Ragged
from jmeta.types import Learner, Model, Params

LENGTH = 32
"""Words of a sentence that a network reads."""
CHECKS = 4
"""Validations of a training, of which the best is kept."""
Judge = Callable[..., np.ndarray]


class Part(NamedTuple):
    """The sentences of the classes of a part, one class after another, and how many each has."""

    texts: list[str]
    counts: np.ndarray


class Method(NamedTuple):
    """A row of the table.

    Attributes:
        label: in the table.
        read: `training sentences -> (sentences -> features [N, ...])`.
        candidates: what is trained on them, and its rate, of which validation chooses; none where nothing is trained.
    """

    label: str
    read: Callable[[Sequence[str]], Callable[[Sequence[str]], Any]]
    candidates: tuple[tuple[Any, float], ...] = ()


def _counted(texts: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    return lambda new: unit_rows(counts(terms_of(new, words_in).known, new, words_in))


def _weighed(texts: Sequence[str], cut: Any) -> Callable[[Sequence[str]], Any]:
    """Terms that training has not are as rare as can be."""
    terms, rarest = terms_of(texts, cut), 1 + math.log(1 + len(texts))

    def read(new: Sequence[str]) -> Any:
        others = sorted({term for text in new for term in cut(text)} - {*terms.known})
        return tfidf(Terms((*terms.known, *others), (*terms.idf, *[rarest] * len(others))), new, cut)

    return read


def _tokens(texts: Sequence[str]) -> Callable[[Sequence[str]], Any]:
    words = words_of(texts, length=LENGTH)
    return lambda new: tokens(words, new)


def _dense(texts: Sequence[str], most: int) -> Callable[[Sequence[str]], Any]:
    terms = terms_of(texts, most=most)
    return lambda new: tfidf(terms, new).toarray()


def _sized(kind: Callable[..., Any], *pairs: tuple[int, float]) -> tuple[tuple[Any, float], ...]:
    return tuple((kind((size,)), rate) for size, rate in pairs)


METHODS = {
    "counts": Method("counts of words", _counted),
    "words": Method("TF-IDF of words", partial(_weighed, cut=words_in)),
    "pieces": Method("TF-IDF of pieces of words", partial(_weighed, cut=pieces_in)),
    "bag": Method("prototypical, bag of words", _tokens, _sized(nets.BagEncoder, (256, 1e-3), (256, 1e-2))),
    "transformer": Method(
        "prototypical, transformer", _tokens, _sized(nets.SentenceTransformerEncoder, (64, 3e-4), (64, 3e-3))
    ),
    "metric": Method(
        "prototypical, metric on TF-IDF of pieces",
        partial(_dense, most=4096),
        _sized(nets.MetricEncoder, (64, 1e-3), (256, 3e-4), (256, 1e-3), (256, 3e-3)),
    ),
}
FLOOR = "pieces"


def parts_of(sentences: Sentences, protocol: str) -> dict[str, Part]:
    """The sentences of each part of a division."""
    found = split(sentences, protocol)
    texts = {name: [sentences.texts[i] for i in getattr(found, name)] for name in ("train", "val", "test")}
    return {
        name: Part([*itertools.chain(*each)], np.array([len(own) for own in each], np.int32))
        for name, each in texts.items()
    }


def sampler(part: Part, rows: Any, way: int, shot: int, query_shot: int) -> Any:
    """Episodes of the classes that are large enough; which sentences they are of is decided by the key alone."""
    examples = Ragged(rows, part.counts)[np.flatnonzero(part.counts >= shot + query_shot)]
    return jmeta.few_shot_sampler(examples, way=way, shot=shot, query_shot=query_shot)


def nearest_means(rows: sparse.csr_matrix, support: np.ndarray, query: np.ndarray) -> np.ndarray:
    """The share of queries `[episodes]` whose cosine is largest to the mean of their class.

    Args:
        rows: features of length 1, `[N, D]`.
        support, query: rows `[episodes, shot, way]` and `[episodes, query_shot, way]`.
    """
    found = []
    for own, asked in zip(support, query, strict=True):
        shot, way = own.shape
        means = sparse.kron(np.full((1, shot), 1 / shot, np.float32), sparse.identity(way), format="csr")
        cosines = (rows[asked.ravel()] @ unit_rows(means @ rows[own.ravel()]).T).toarray()
        found.append((cosines.argmax(axis=1) == np.tile(np.arange(way), len(asked))).mean())
    return np.array(found)


class Asked(NamedTuple):
    """Of which episodes: classes, support examples and queries of each, and a key for each episode."""

    way: int
    shot: int
    query_shot: int
    keys: jax.Array


class Training(NamedTuple):
    """How a learner is trained, at one shot: its rate and steps, classes in an episode of training and of validation,
    queries of each, episodes of a step and of a validation, and the seed."""

    rate: float
    steps: int
    train_way: int
    way: int
    query_shot: int
    meta_batch_size: int
    val_episodes: int
    seed: int


def judging(encoder: Model) -> Judge:
    """`(params, part, rows, asked) -> accuracies [episodes]` of prototypes; each sentence is read once."""

    @jax.jit
    def encoded(params: Params, rows: jax.Array) -> jax.Array:
        return jax.lax.map(lambda x: encoder.apply(params, x[None])[0], rows, batch_size=256)

    @jax.jit
    def accuracies(sample: Any, keys: jax.Array) -> jax.Array:
        def one(key: jax.Array) -> jax.Array:
            episode = sample(key)
            return evaluation.accuracy(evaluation.inductive(nearest(), {}, episode), episode.query)

        return jax.lax.map(one, keys, batch_size=50)

    def judge(params: Params, part: Part, rows: Any, asked: Asked) -> np.ndarray:
        features = encoded(params, jnp.asarray(rows))
        return np.asarray(accuracies(sampler(part, features, asked.way, asked.shot, asked.query_shot), asked.keys))

    return judge


def trained(
    own: Training, learner: Learner, judge: Judge, parts: Mapping[str, Part], rows: Mapping[str, Any]
) -> tuple[Params, float]:
    """The parameters that are best on validation, and how good they are there.

    The first are those before training, so that what only gets worse is kept as it starts.
    """
    optimizer = optax.adam(optax.cosine_decay_schedule(own.rate, own.steps))
    way = min(own.train_way, len(parts["train"].counts))
    drawn = sampler(parts["train"], rows["train"], way, 1, own.query_shot)
    state = training.init_state(learner, optimizer, jax.random.key(own.seed), jnp.asarray(rows["train"][:way]))
    run = training.make_run(learner, optimizer, drawn, meta_batch_size=own.meta_batch_size)
    asked = Asked(own.way, 1, own.query_shot, jax.random.split(jax.random.key(own.seed + 1), own.val_episodes))
    best, accuracy = jax.tree.map(jnp.copy, state.params), judge(state.params, parts["val"], rows["val"], asked).mean()
    for _ in range(CHECKS):
        state, _ = run(state, own.steps // CHECKS)
        now = judge(state.params, parts["val"], rows["val"], asked).mean()
        if now > accuracy:
            best, accuracy = jax.tree.map(jnp.copy, state.params), now
    return best, float(accuracy)
