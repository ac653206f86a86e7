"""The study of sentences, on a few made ones: floors by hand, and a learner that is kept where it is best."""

import gzip
import itertools
import json

import jax
import numpy as np
import pytest
from scipy import sparse

from jmeta.datasets.sentences import read_sentences
from jmeta.errors import RunError
from scripts.few_shot import text
from scripts.few_shot.text_methods import METHODS, Part, nearest_means, sampler
from scripts.study import run


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Nine classes of eight sentences, told apart by which two of five rare words they have, in two divisions."""
    folder, rng = tmp_path_factory.mktemp("texts"), np.random.default_rng(0)
    pairs, often = (
        [*itertools.combinations(["zebra", "piano", "lemon", "cloud", "tiger"], 2)],
        ["and", "of", "to", "in"],
    )
    (folder / "text").mkdir(), (folder / "splits").mkdir()
    with gzip.open(folder / "text" / "made.jsonl.gz", "wt") as file:
        for k in range(9):
            for _ in range(8):
                words = [*pairs[k], *(often[i] for i in rng.integers(0, 4, 6))]
                file.write(json.dumps({"text": " ".join(rng.permutation(words)), "label": f"c{k}"}) + "\n")
    names = [f"c{k}" for k in range(9)]
    of = lambda names: {"train": names[:3], "val": names[3:6], "test": names[6:]}
    divisions = {"first": of(names), "second": of(names[::-1])}
    (folder / "splits" / "made.json").write_text(json.dumps(divisions))
    return folder


def config(data, place, **others):
    given = {
        "datasets": ("made",), "divisions": ("first", "second"), "way": 3, "query_shot": 2, "episodes": 40,
        "outer_steps": 8, "train_way": 3, "val_episodes": 20,
    }  # fmt: skip
    return text.Config(**(given | others), run_dir=str(place), data_dir=str(data))


def test_nearest_means_are_those_by_hand():
    """Catches means that aren't brought to length 1, and labels that don't go round as rows of an episode do."""
    rows = sparse.csr_matrix(np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8], [0.8, 0.6], [0, 1]], np.float32))
    support, query = np.array([[[0, 1], [2, 3]]]), np.array([[[4, 5], [3, 0]]])
    # Means: (1, 0), and (0.3, 0.9), at length 1 (0.32, 0.95), which (0.8, 0.6) of the first class is nearer to.
    assert nearest_means(rows, support, query).tolist() == [0.25]


def test_all_methods_meet_the_same_sentences(data, tmp_path):
    """Catches episodes that the kind of numbers decides."""
    part = Part(["a"] * 24, np.array([8, 8, 8], np.int32))
    made = config(data, tmp_path)
    support, query = text.places(made, part, 1)
    sample = sampler(part, np.arange(24.0, dtype=np.float32)[:, None] * np.ones((1, 5), np.float32), 3, 1, 2)
    episode = sample(text.keys(made)[7])
    np.testing.assert_array_equal(episode.support.x[:, 0], support[7].ravel())
    np.testing.assert_array_equal(episode.query.x[:, 0], query[7].ravel())


def test_floors_and_a_learner_make_a_table(data, tmp_path):
    result = run(text.study, config(data, tmp_path, methods=("counts", "pieces", "metric")))
    rows = result["rows"]
    # Words of a class are in all its sentences: who weighs them right is all but never wrong.
    pieces, counted = (rows[f"{name}, made"]["shots"]["1"]["mean"] for name in ("pieces", "counts"))
    assert pieces > 0.95 > counted > 0.4
    metric = rows["metric, made"]
    assert len(metric["val"]) == 2 and min(metric["val"]) > 0.9 and metric["shots"]["1"]["above"] is not None
    of = [rows[f"{name}, made"]["shots"]["1"]["of_division"] for name in ("metric", "pieces")]
    assert metric["shots"]["1"]["above"]["mean"] == pytest.approx(np.mean(np.subtract(*of)))
    assert list(result["summary"]) == ["metric"]
    table = (tmp_path / "table.md").read_text().splitlines()
    assert table[0].startswith("| 3-way, % | made, 1-shot | made, 5-shot |") and len(table) == 5
    assert METHODS["metric"].label in table[4]


def test_an_unknown_method_is_refused(data, tmp_path):
    with pytest.raises(RunError, match="did you mean 'metric'"):
        run(text.study, config(data, tmp_path, methods=("metrik",)))


def test_validation_chooses_among_the_candidates(data, tmp_path, monkeypatch):
    """Catches a candidate that the test chooses, the first in place of the best, and the best's numbers of another."""
    tried = {}

    def trained(own, learner, judge, parts, rows):
        params = learner.init(jax.random.key(0), rows["val"])
        params = jax.tree.map(lambda leaf: {1e-3: 0.0, 3e-4: 1.0, 3e-3: 3.0}[own.rate] * leaf, params)
        tried[own.rate] = judge(params, parts["test"], rows["test"], text.Asked(3, 1, 2, text.keys(asked))).mean()
        return params, {1e-3: 0.2, 3e-4: 0.9, 3e-3: 0.4}[own.rate]

    asked = config(data, tmp_path, methods=("metric",))
    monkeypatch.setattr(text, "trained", trained)
    found = text.measured(asked, METHODS["metric"], read_sentences(data / "text" / "made.jsonl.gz"),
                          f"{data / 'splits' / 'made.json'}:first")  # fmt: skip
    assert found["chosen"] == 1 and found["val"] == 0.9
    assert found["values"][1].mean() == pytest.approx(tried[3e-4]) and len({*tried.values()}) > 1, tried
