"""Sentences as a data set of numbers, and the reader that makes them so, which a run keeps for what it is shown."""

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets import Dataset, make_dataset
from jmeta.datasets.catalog import place_of
from jmeta.datasets.sentences import Sentences, is_lines, read_sentences, read_texts
from jmeta.datasets.sources import listed
from jmeta.datasets.splits import split
from jmeta.datasets.tables import is_table
from jmeta.datasets.terms import TABLE, Terms, Words, terms_of, tfidf, tokens, words_of
from jmeta.errors import RunError
from jmeta.ragged import Ragged
from jmeta.report.arrays import check_fits
from jmeta.runs.few_shot.settings import Tasks
from jmeta.settings import typed

Reader = Words | Terms
"""What makes numbers of sentences: `Words` tokens, `Terms` TF-IDF."""
FEATURES = 4096


def load(tasks: Tasks, protocol: str, reader: Reader | None) -> tuple[Dataset, Reader]:
    """The sentences of a file as numbers, and their reader: that of the training classes, where none is given.

    Raises:
        DataError: for a file that can't be read, or classes that can't be divided.
        RunError: where the numbers don't fit into memory.
    """
    found = read_sentences(place_of(tasks.dataset, tasks.data_dir))
    if reader is None:
        training = [text for i in split(found, protocol).train for text in found.texts[i]]
        own = tasks.reading
        reader = (
            terms_of(training, most=own.text_features or FEATURES)
            if own.text == "tfidf"
            else words_of(training, length=own.text_length)
        )
    return read(found, reader), reader


def read(sentences: Sentences, reader: Reader) -> Dataset:
    """Sentences as a data set, whose checksum is that of the sentences, however they are read."""
    number = sum(map(len, sentences.texts))
    try:
        check_fits(f"{number:,} sentences as numbers", 8 * number * width(reader))
    except ValueError as error:
        raise RunError(f"{error}: give a smaller --text-features or --text-length.") from error
    rows = numbers(reader, [*itertools.chain(*sentences.texts)])
    counts = np.array([len(texts) for texts in sentences.texts], np.int32)
    made = make_dataset(sentences.name, Ragged(rows, counts), sentences.class_names, sentences.groups)
    return made._replace(checksum=sentences.checksum)


def numbers(reader: Reader, texts: Sequence[str]) -> np.ndarray:
    """Tokens int32 `[N, length]`, or TF-IDF float32 `[N, terms]`."""
    return tokens(reader, texts) if isinstance(reader, Words) else tfidf(reader, texts).toarray()


def width(reader: Reader) -> int:
    """Numbers of a sentence."""
    return reader.length if isinstance(reader, Words) else len(reader.known)


def as_facts(reader: Reader) -> dict[str, Any]:
    """A reader as JSON has it."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in reader._asdict().items()}


def of_facts(facts: Mapping[str, Any]) -> Reader:
    """The reader that `as_facts` made, after `check_facts`."""
    if "idf" in facts:
        return Terms(tuple(facts["known"]), tuple(facts["idf"]))
    return Words(tuple(facts["known"]), facts["length"])


def check_facts(facts: Any, where: str, input_shape: Sequence[int]) -> None:
    """RunError for what `as_facts` has not made, or of other inputs."""
    found, inside = typed("reader", facts, dict, where), f"{where} in its reader,"
    known = typed("known", found.get("known"), tuple[str, ...], inside)
    if "idf" in found:
        idf = typed("idf", found["idf"], tuple[float, ...], inside)
        whole = len(idf) == len(known) and np.isfinite(idf).all()
    else:
        whole = typed("length", found.get("length"), int, inside) >= 1 and len(known) < TABLE
    if not whole or len(set(known)) < len(known) or [width(of_facts(found))] != list(input_shape):
        raise RunError(f"{where} has a reader that makes no {list(input_shape)} of a sentence: restore the folder.")


def given(support: str | Path | Mapping[Any, Any], query: Any) -> tuple[dict[str, list[str]], list[str]]:
    """The sentences of each class, and those to be named by `jmeta.predict`: of files, or texts in lists.

    Raises:
        RunError: for what is not there, too little, or no sentences.
        DataError: for a file that can't be read.
    """
    if isinstance(support, Mapping):
        classes = {str(name): _texts(found) for name, found in support.items()}
    else:
        found = read_sentences(_file(support))
        classes = {name: [*texts] for name, texts in zip(found.class_names, found.texts, strict=True)}
    if len(classes) < 2:
        raise RunError(f"support has {len(classes)} classes: give two or more.")
    if empty := [name for name, each in classes.items() if not each]:
        raise RunError(f"support has no sentences of {listed(empty)}: add some, or leave them out.")
    queries = _texts(query)
    if not queries:
        raise RunError("query has no sentences: put those to be named there.")
    return classes, queries


def _texts(found: Any) -> list[str]:
    """Of a file, or a list of texts in which a `Path` is a file of them. Several words that name no file are a text."""
    if isinstance(found, str) and len(found.split()) > 1 and not names_file(found):
        return [found]
    if isinstance(found, str | Path):
        return read_texts(_file(found))
    if not isinstance(found, Sequence) or not all(isinstance(one, Path) or _is_text(one) for one in found):
        raise RunError("the run was trained on sentences: give lists of texts that are not empty, or a file of them.")
    return [text for one in found for text in (read_texts(_file(one)) if isinstance(one, Path) else [one])]


def _is_text(found: Any) -> bool:
    return isinstance(found, str) and bool(found.strip())


def names_file(word: str) -> bool:
    """Whether a word of a command line is a file or folder, and no text: it has the ending of a table, or is there."""
    return _may_have_sentences(word) or os.path.exists(word)


def _may_have_sentences(path: str | Path) -> bool:
    return is_lines(path) or is_table(path) or Path(path).suffix.lower() == ".txt"


def _file(path: str | Path) -> Path:
    if not Path(path).is_file() or not _may_have_sentences(path):
        raise RunError(
            f"{path} is no file of sentences, which the run was trained on: give a .csv, .jsonl or .txt, or a sentence "
            "in quotes."
        )
    return Path(path)
