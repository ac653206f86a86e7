"""Sentences from a file to names of new ones, on the command line and in Python, and what is refused on the way."""

import csv
import json
import shutil

import numpy as np
import pytest

import jmeta
from jmeta.runs.few_shot.pages import episodes_page
from jmeta.runs.few_shot.trained import load_trained

pytestmark = pytest.mark.standard_promotion
SHORT = tuple(
    "--algorithm prototypical --way 2 --query-shot 2 --features 16 --meta-batch-size 4 --outer-steps 20 --log-every 10 "
    "--save-every 20 --val-episodes 10 --devices 1 --outer-lr 0.05".split()
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Twelve classes of ten sentences, in each of which two words are of the class alone, and a division of them."""
    folder, rng = tmp_path_factory.mktemp("sentences"), np.random.default_rng(0)
    with open(folder / "mine.jsonl", "w") as file:
        for k in range(12):
            for _ in range(10):
                words = [f"own{k}x", f"own{k}y", *(f"w{i}" for i in rng.integers(0, 20, 4))]
                file.write(json.dumps({"text": " ".join(rng.permutation(words)), "label": f"c{k}"}) + "\n")
    parts = {"train": range(6), "val": range(6, 9), "test": range(9, 12)}
    division = {name: [f"c{k}" for k in each] for name, each in parts.items()}
    (folder / "division.json").write_text(json.dumps({"first": division}))
    (folder / "support.csv").write_text("text,label\nown9x own9y,nine\nown10x own10y,ten\n")
    (folder / "query.csv").write_text('text\n"own10y, w1"\nown9x w2 w3\n')
    return folder


def trained(cli, place, name, *words):
    result = cli(
        "train", "--dataset", place / "mine.jsonl", "--split", f"{place / 'division.json'}:first", *SHORT, *words,
        "--run-dir", place / name,
    )  # fmt: skip
    assert result.code == 0, result
    assert "train 6 classes, 60 sentences; val 3 classes, 30 sentences; test 3" in result.out + result.err
    return place / name


@pytest.fixture(scope="module")
def runs(place):
    """A run on tokens and one on TF-IDF, by their network, made once."""
    return {}


def run_of(cli, place, runs, network, *words):
    if network not in runs:
        runs[network] = trained(cli, place, network, "--network", network, *words)
    return runs[network]


@pytest.mark.parametrize("network", ["bag", "metric"])
def test_a_run_knows_the_words_of_its_training_classes_alone(cli, place, runs, network):
    """Catches a vocabulary, or rarity, that has seen the classes of the test."""
    facts = load_trained(run_of(cli, place, runs, network)).facts
    known = facts["reader"]["known"]
    assert any("w1" in term for term in known) and any("own5" in term for term in known)
    assert not any(f"own{k}" in term for term in known for k in (6, 8, 9))  # of the pieces, "own1" and others are known
    assert facts["input_dtype"] == ("int32" if network == "bag" else "float32")
    assert facts["input_shape"] == [facts["reader"]["length"] if network == "bag" else len(known)]


def test_new_sentences_are_named_beside_what_they_say(cli, place, runs):
    """Catches sentences that are read by a vocabulary of the support set, and rows in another order."""
    run = run_of(cli, place, runs, "metric")
    words = ("predict", "--run-dir", run, "--support", place / "support.csv", "--query", place / "query.csv")
    result = cli(*words, "--csv", place / "named.csv")
    assert result.code == 0, result
    with open(place / "named.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["text"], row["class"]) for row in rows] == [("own10y, w1", "ten"), ("own9x w2 w3", "nine")]
    shown = cli(*words).out.splitlines()
    assert shown[0].split() == ["own10y,", "w1", "ten", *shown[0].split()[-2:]] and len(shown) == 2
    found = jmeta.predict(run, {"nine": ["own9x own9y"], "ten": ["own10x own10y"]}, ["own10y, w1", "own9x w2 w3"])
    assert [one.name for one in found] == ["ten", "nine"] and found[1].text == "own9x w2 w3"
    assert f"{found[0].probability:.4f}" == rows[0]["probability"]


def test_sentences_in_quotes_and_several_files_are_named(cli, refused, place, runs):
    """Catches a sentence that is looked for as a file, a file that is read as a sentence, and one that is not there."""
    words = ("predict", "--run-dir", run_of(cli, place, runs, "metric"), "--support", place / "support.csv", "--query")
    named = lambda *query: [line.split()[-3] for line in cli(*words, *query).out.splitlines()]
    assert named("own10y w1") == ["ten"]
    assert named("own10y w1", place / "query.csv", "own9x w3") == ["ten", "ten", "nine", "nine"]
    assert "nowhere.csv is no file of sentences" in refused(*words, "own10y w1", place / "nowhere.csv")


def test_a_run_is_evaluated_as_it_was_trained_and_on_other_sentences(cli, place, runs):
    for network in ("bag", "metric"):
        run = run_of(cli, place, runs, network)
        result = cli("evaluate", "--run-dir", run, "--episodes", 20)
        assert result.code == 0, result
        found = json.loads((run / "evaluation.json").read_text())
        assert found["data_checksum"] == load_trained(run).facts["checksum"]
        assert ("floor_accuracy" in found) == (network == "metric")  # tokens have no distance
    shutil.copy(place / "mine.jsonl", place / "again.jsonl")
    with open(place / "again.jsonl", "a") as file:
        file.write('{"text": "one more", "label": "c0"}\n')
    result = cli("evaluate", "--run-dir", run, "--episodes", 20, "--dataset", place / "again.jsonl")
    assert result.code == 0, result
    other = json.loads((run / "evaluation-again.json").read_text())
    assert other["seen_classes"] == 6


def test_answers_are_drawn_where_there_are_no_pictures(cli, place, runs, tmp_path):
    """Sentences were drawn as pictures, in a traceback. Of classes that are far apart all answers are right:
    catches rows of another order than their marks."""
    pytest.importorskip("matplotlib")
    run = run_of(cli, place, runs, "metric")
    assert cli("plot", "--run-dir", run).code == 0 and (run / "episodes.png").exists()
    centers = 30 * np.random.default_rng(0).normal(size=(12, 1, 6))
    features = (centers + np.random.default_rng(1).normal(size=(12, 10, 6))).reshape(-1, 6).astype(np.float32)
    np.savez(tmp_path / "apart.npz", features=features, labels=np.repeat([f"kind{k}" for k in range(12)], 10))
    words = (*SHORT, "--network", "linear", "--run-dir", tmp_path / "run")
    assert cli("train", "--dataset", tmp_path / "apart.npz", *words).code == 0
    figure = episodes_page(load_trained(tmp_path / "run"), seed=0)
    for ax in figure.axes[:4]:
        shares = np.asarray(ax.images[0].get_array())
        assert np.allclose(shares.sum(axis=1), 1, atol=1e-5) and ax.get_title().endswith(": 100 % right")
        assert shares.argmax(axis=1).tolist() == [0] * 9 + [1] * 9 and ax.get_yticks().tolist() == [4.0, 13.0]
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert len({*names} & {f"kind{k}" for k in range(12)}) == 2 and names == [
            t.get_text() for t in ax.get_xticklabels()
        ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--network", "mlp", "--text", "tokens"), "is read as tokens, so --network must be one of bag, transformer"),
        (("--network", "bag", "--text", "tfidf"), "is read as tfidf, so --network must be one of mlp, linear, metric"),
        (("--text-features", 9), "is read as tokens, which has no --text-features"),
        (("--rotations",), "has no pictures"),
        (("--dataset", "sinusoid", "--text", "tokens", "--algorithm", "maml"), "has no sentences: leave --text out"),
        (("--dataset", "glyphs:40", "--network", "bag"), "and bag reads tokens, int32 [N, L]"),
    ],
)
def test_what_does_not_go_together_is_refused(refused, place, words, says, tmp_path):
    start = ("train", "--algorithm", "prototypical", "--dataset", place / "mine.jsonl", "--run-dir", tmp_path / "run")
    assert says in refused(*start, *words)


def test_what_can_not_be_named_is_refused(cli, refused, finished, place, runs, tmp_path):
    run = run_of(cli, place, runs, "bag")
    words = ("predict", "--run-dir", run, "--support", place / "support.csv", "--query")
    assert "is no file of sentences" in refused(*words, tmp_path)
    assert "which it would replace" in refused(*words, place / "query.csv", "--csv", place / "support.csv")
    (tmp_path / "empty.csv").write_text("text\n")
    assert "query has no sentences" in refused(*words, tmp_path / "empty.csv")
    assert "are for pictures" in refused(*words, place / "query.csv", "--strict")
    evaluate = ("evaluate", "--episodes", 10, "--run-dir")
    assert "has sentences, and" in refused(*evaluate, finished, "--dataset", place / "mine.jsonl")
    assert "has no sentences, and" in refused(*evaluate, run, "--dataset", "glyphs:20")


@pytest.mark.parametrize(
    "reader",
    [3, {}, {"known": ["a"], "length": 7}, {"known": ["a", "a"], "idf": [1.0, 1.0]}, {"known": "a", "length": 6}],
)
def test_a_folder_with_another_reader_is_refused(cli, refused, place, runs, tmp_path, reader):
    """Catches a reader that is taken as it stands, which reads what the network was never shown."""
    shutil.copytree(run_of(cli, place, runs, "bag"), tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["facts"]["reader"] = reader
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    assert "reader" in refused("evaluate", "--run-dir", tmp_path / "run", "--episodes", 10)
