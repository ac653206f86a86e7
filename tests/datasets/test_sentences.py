"""Sentences of files: what is read, what is refused, and how they become numbers, beside scikit-learn."""

import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jmeta import datasets
from jmeta.datasets.sentences import is_sentences, of_texts, read_sentences, read_texts
from jmeta.datasets.terms import (
    BUCKETS,
    TABLE,
    Words,
    counts,
    pieces_in,
    terms_of,
    tfidf,
    tokens,
    unit_rows,
    words_in,
    words_of,
)
from jmeta.errors import DataError

LINES = [
    {"text": "book a table", "label": "book"},
    {"text": "Is it raining?", "label": "weather", "domain": "outside"},
    {"text": "reserve a room", "label": "book"},
]


def written(path, lines):
    data = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.jsonl.gz", "mine.csv", "mine.TSV"])
def test_sentences_are_read_by_class(name, tmp_path):
    """Catches an order that is not that of the file, classes that are not sorted, and domains of the last line."""
    table = ["text,label,domain", "book a table,book,", "Is it raining?,weather,outside", "reserve a room,book,"]
    tabs = [line.replace(",", "\t") for line in table]
    path = written(tmp_path / name, {"csv": table, "TSV": tabs}.get(name[-3:], LINES))
    found = read_sentences(path)
    assert found.name == "mine" and is_sentences(path)
    assert found.class_names == ("book", "weather") and found.groups == ("mine", "outside")
    assert found.texts == (("book a table", "reserve a room"), ("Is it raining?",))
    assert read_texts(path) == ["book a table", "Is it raining?", "reserve a room"]
    assert (
        found.checksum == of_texts("mine", read_texts(path), ["book", "weather", "book"], ["", "outside", ""]).checksum
    )


def test_a_part_divides_classes_where_each_has_one_and_else_is_passed_over(tmp_path):
    parts = ["train", "test", "train"]
    lines = [{**line, "part": part} for line, part in zip(LINES, parts, strict=True)]
    assert read_sentences(written(tmp_path / "a.jsonl", lines)).class_names == ("test/weather", "train/book")
    both = [*lines, {"text": "a seat", "label": "book", "part": "test"}]
    assert read_sentences(written(tmp_path / "b.jsonl", both)).class_names == ("book", "weather")


def test_labels_that_are_numbers_and_texts_by_another_name(tmp_path):
    """Of a reader for which what other libraries write, `label` as a number, is an error."""
    lines = [{"utterance": line["text"], "label": k} for k, line in enumerate(LINES)]
    found = read_sentences(written(tmp_path / "numbers.jsonl", lines))
    assert found.class_names == tuple(map(str, range(len(LINES))))
    assert found.texts == tuple((line["text"],) for line in LINES)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["not JSON"], "line 1, is no JSON"),
        ([LINES[0], "", '["a", "list"]'], "line 3, is a list and no object"),
        ([{"label": "a"}], "line 1, has no text, but 'label'"),
        ([{"text": "a"}], "line 1, has no label"),
        ([{"text": " ", "label": "a"}], "line 1, has a text that is empty"),
        ([{"text": 3, "label": "a"}], "line 1, has a text that is a int"),
        ([{"text": "a", "label": 3.5}], 'has a label with a point, 3.5: write it as a text, "3.5"'),
        ([{"text": "a", "label": ["b"]}], "line 1, has the label"),
        ([{"text": "a" * 10**7, "label": "b"}], "a text of 10,000,000 characters, and 100,000 are the most"),
        (["[" * 100_000], "line 1, is no JSON"),
        ([], "has no sentences"),
    ],
)
def test_lines_that_are_none_are_refused_in_a_sentence(lines, says, tmp_path):
    with pytest.raises(DataError) as caught:
        read_sentences(written(tmp_path / "mine.jsonl", lines))
    assert says in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_files_that_are_none_are_refused_in_a_sentence(tmp_path):
    (tmp_path / "latin.jsonl").write_bytes('{"text": "café", "label": "a"}'.encode("latin-1"))
    with pytest.raises(DataError, match="is not in UTF-8"):
        read_sentences(tmp_path / "latin.jsonl")
    (tmp_path / "cut.jsonl.gz").write_bytes(gzip.compress(b"x" * 9999)[:-9])
    with pytest.raises(DataError, match="can't be read as sentences"):
        read_sentences(tmp_path / "cut.jsonl.gz")
    with pytest.raises(DataError, match="can't be read as sentences"):
        read_sentences(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="give it to jmeta train"):
        datasets.load(written(tmp_path / "mine.jsonl", LINES))
    with pytest.raises(DataError, match="can't be divided for training"):
        datasets.split(read_sentences(written(tmp_path / "one.jsonl", LINES[:1])))


def test_tokens_of_words_that_training_has_twice_are_their_own():
    """Catches words of one occurrence with a token of their own, which leaves those of others without training."""
    words = words_of(["stop the music", "stop it, stop the car"])
    assert words.known == ("stop", "the") and words.length == 6
    found = tokens(words, ["The stop", "a b c d e f g h", ""])
    assert found.dtype == np.int32 and found[0].tolist() == [2, 1, 0, 0, 0, 0]
    assert ((found[1] > 2) & (found[1] <= 2 + BUCKETS)).all() and not found[2].any()
    assert tokens(words, ["zebra"])[0, 0] == tokens(words, ["zebra"])[0, 0] != tokens(words, ["zebu"])[0, 0]


def test_the_table_has_room_for_all_tokens():
    words = words_of([f"w{i} w{i}" for i in range(2 * TABLE)], length=3)
    assert 1 + len(words.known) + BUCKETS == TABLE


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40), st.integers(1, 9))
def test_any_text_has_tokens(text, length):
    """Catches letters that have no lower case, or words that are cut into nothing, as an index out of range."""
    found = tokens(Words(("a", "b"), length), [text])
    assert found.shape == (1, length) and found.min() >= 0 and found.max() <= 2 + BUCKETS
    assert (found[0] > 0).sum() == min(length, len(words_in(text)))


def test_tfidf_is_that_of_scikit_learn():
    """Catches a piece across words, log counts without 1, idf that isn't smoothed, and rows of another length."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    train = ["book a table for two", "a table a table", "is it raining in paris", "will it rain"]
    new = ["is a table in paris for a book", "zzz"]
    theirs = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True).fit(train)
    terms = terms_of(train)
    assert set(terms.known) == set(theirs.vocabulary_)
    mine = tfidf(terms, new).toarray()
    np.testing.assert_allclose(
        mine, theirs.transform(new).toarray()[:, [theirs.vocabulary_[t] for t in terms.known]], rtol=1e-5
    )
    assert not mine[1].any()


def test_the_most_frequent_terms_are_kept():
    terms = terms_of(["a b", "a c", "a b"], words_in, most=2)
    assert terms.known == ("a", "b") and terms.idf == pytest.approx((1.0, 1 + np.log(4 / 3)))
    found = counts(terms.known, ["b b c a", "c"], words_in)
    assert found.toarray().tolist() == [[1, 2], [0, 0]]
    assert unit_rows(found).toarray().tolist() == [pytest.approx([5**-0.5, 2 * 5**-0.5]), [0, 0]]
    assert pieces_in("a-b") == [" a", "a ", " a ", " -", "- ", " - ", " b", "b ", " b "]
