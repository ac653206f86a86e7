"""Sentences as numbers: tokens of words, and TF-IDF of pieces of words, by what the training classes have alone."""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import scipy.sparse as sparse

TABLE = 8192
"""Different tokens at most, the padding among them."""
BUCKETS = 256
"""Tokens that words share which training has once at most."""
_LONGEST = 64
_WORD = re.compile(r"\w+|[^\w\s]")

Cut = Callable[[str], list[str]]
"""What a sentence is made of, such as `words_in`, in its order."""


class Words(NamedTuple):
    """How sentences become tokens.

    Attributes:
        known: words that have a token of their own, from 1 on; those behind are shared by all others.
        length: tokens of a sentence; what it has more is left out.
    """

    known: tuple[str, ...]
    length: int


class Terms(NamedTuple):
    """How sentences become TF-IDF.

    Attributes:
        known: terms that count, one a column.
        idf: of each.
    """

    known: tuple[str, ...]
    idf: tuple[float, ...]


def words_in(text: str) -> list[str]:
    """The words of a sentence, in lower case, and what stands between them.

    Example:
        >>> words_in("Don't panic!")
        ['don', "'", 't', 'panic', '!']
    """
    return _WORD.findall(text.lower())


def pieces_in(text: str, shortest: int = 2, longest: int = 5) -> list[str]:
    """All pieces of `shortest` to `longest` letters of each word, which has a space before and behind.

    A word that is shorter than a piece is one itself, once.

    Example:
        >>> pieces_in("hi")
        [' h', 'hi', 'i ', ' hi', 'hi ', ' hi ']
    """
    found = []
    for word in words_in(text):
        spaced = f" {word} "
        for size in range(shortest, longest + 1):
            found += [spaced[i : i + size] for i in range(max(len(spaced) - size + 1, 1))]
            if len(spaced) <= size:
                break
    return found


def words_of(texts: Sequence[str], *, length: int | None = None) -> Words:
    """The words that get a token of their own: those that training sentences have twice or more, the most frequent.

    Args:
        texts: of the training classes alone.
        length: tokens of a sentence; None for the longest of these, or 64.
    """
    cut = [words_in(text) for text in texts]
    frequent = Counter(word for words in cut for word in words)
    known = sorted((word for word, count in frequent.items() if count > 1), key=lambda word: (-frequent[word], word))
    return Words(tuple(known[: TABLE - 1 - BUCKETS]), length or min(_LONGEST, max(map(len, cut), default=1) or 1))


def tokens(words: Words, texts: Iterable[str]) -> np.ndarray:
    """Int32 `[N, length]`, 0 behind the last word.

    A word that is not known has one of the 256 tokens behind those that are, by the CRC-32 of its letters; training has
    them too, for words that it has once, so they are learned.

    Example:
        >>> tokens(Words(("how", "are"), 4), ["How are", "are how are how are"]).tolist()
        [[1, 2, 0, 0], [2, 1, 2, 1]]
    """
    place = {word: i for i, word in enumerate(words.known, 1)}
    behind = 1 + len(place)
    cut = [words_in(text)[: words.length] for text in texts]
    found = np.zeros((len(cut), words.length), np.int32)
    for row, own in zip(found, cut, strict=True):
        row[: len(own)] = [place.get(word) or behind + zlib.crc32(word.encode()) % BUCKETS for word in own]
    return found


def terms_of(texts: Sequence[str], cut: Cut = pieces_in, *, most: int | None = None) -> Terms:
    """The terms of training sentences, and how rare each is.

        idf_t = 1 + log((1 + N) / (1 + n_t))      N sentences, of which n_t have the term

    Args:
        texts: of the training classes alone.
        cut: what a sentence is made of.
        most: terms that are kept, those in most sentences; None for all.
    """
    having = Counter(term for text in texts for term in set(cut(text)))
    known = sorted(having, key=lambda term: (-having[term], term))[:most]
    return Terms(tuple(known), tuple(1 + float(np.log((1 + len(texts)) / (1 + having[term]))) for term in known))


def counts(known: Sequence[str], texts: Sequence[str], cut: Cut = pieces_in) -> sparse.csr_matrix:
    """How often each sentence has each term: float32 `[N, terms]`; others don't count."""
    place, columns, starts = {term: i for i, term in enumerate(known)}, [], [0]
    for text in texts:
        columns += [place[term] for term in cut(text) if term in place]
        starts.append(len(columns))
    ones = np.ones(len(columns), np.float32)
    found = sparse.csr_matrix((ones, np.array(columns, np.int32), np.array(starts)), (len(texts), len(known)))
    found.sum_duplicates()
    return found


def tfidf(terms: Terms, texts: Sequence[str], cut: Cut = pieces_in) -> sparse.csr_matrix:
    """TF-IDF `[N, terms]`, float32, of length 1; zeros where a sentence has no term.

        x_t = (1 + log n_t) idf_t / |x|      where the sentence has the term n_t times

    Source: Salton and Buckley 1988, Term-weighting approaches in automatic text retrieval,
    https://doi.org/10.1016/0306-4573(88)90021-0
    """
    found = counts(terms.known, texts, cut)
    found.data = 1 + np.log(found.data)
    return unit_rows(found @ sparse.diags(np.array(terms.idf, np.float32)))


def unit_rows(rows: sparse.spmatrix) -> sparse.csr_matrix:
    """The rows of a matrix at length 1; those of zeros as they are."""
    found = sparse.csr_matrix(rows)
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags(1 / np.where(length > 0, length, 1)).astype(np.float32) @ found)
