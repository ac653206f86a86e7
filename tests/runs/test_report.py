"""`jmeta report`: one page of a run, or of several, that needs nothing else."""

import json
import re
import shlex
import shutil
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_runs import TINY, assert_same_run

import jmeta
from jmeta.cli import main
from jmeta.report.figures import figure_maker, png
from jmeta.runs.catalog import EXPERIMENTS
from jmeta.runs.engine import folder, record
from jmeta.runs.engine.members import Member
from jmeta.runs.report.headline import evaluated
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion
VOID = ("img", "meta")


class Page(HTMLParser):
    """The words of a page, its headings and pictures; AssertionError where tags don't close in their order."""

    def __init__(self, path):
        super().__init__()
        self.open, self.words, self.headings, self.alts, self.links, self.tags = [], [], [], [], [], set()
        self.marked = []
        self.feed(Path(path).read_text())
        assert not self.open
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        own = dict(attrs)
        self.tags.add(tag)
        self.links += [own[name] for name in ("src", "href", "srcset", "action", "data") if name in own]
        assert not any(name.startswith("on") for name in own), own
        if tag == "img":
            self.alts.append(own["alt"])
        if tag == "html":
            assert own["lang"] == "en"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)
        elif data.strip():
            assert not {"url(", "@import"} & {*re.findall(r"url\(|@import", data)}
        if self.open and re.fullmatch(r"h\d", self.open[-1]):
            self.headings.append((int(self.open[-1][1]), data))
        if self.open and self.open[-1] == "mark":
            self.marked.append(data)

    def check(self):
        """It takes nothing from elsewhere, its headings are in order, and its pictures have words."""
        assert "script" not in self.tags and "link" not in self.tags
        assert all(link.startswith(("data:image/png;base64,", "#")) for link in self.links)
        levels = [level for level, _ in self.headings]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after - before <= 1 for before, after in pairwise(levels))
        assert all(len(alt) > 10 for alt in self.alts)
        return self


@pytest.fixture(scope="module")
def pair(finished, shapes, tmp_path_factory):
    """Two runs of other seeds, evaluated on the same episodes; not to be changed."""
    place = tmp_path_factory.mktemp("pair")
    shutil.copytree(finished, place / "a")
    assert main(["train", "--dataset", shapes, *TINY, "--seed", "1", "--run-dir", str(place / "b")]) == 0
    for name in ("a", "b"):
        assert main(["evaluate", "--run-dir", str(place / name), "--episodes", "20"]) == 0
    return place


@pytest.fixture
def reported(cli, tmp_path):
    """`reported(*words)` is the page that the command writes."""

    def run(*words, err=""):
        output = tmp_path / "page.html"
        result = cli("report", "--run-dir", *words, "--episodes", 10, "--output", output)
        assert (result.code, result.out) == (0, f"{output}\n"), result
        assert err in result.err and bool(err) == bool(result.err), result.err
        return Page(output).check()

    return run


def read(path):
    return json.loads(path.read_text())


def test_the_page_has_the_numbers_of_the_evaluation(pair, reported):
    """Catches shares in place of percents, the validation in place of the test, and a section that is left out."""
    page, found = reported(pair / "a"), read(pair / "a" / "evaluation.json")
    assert f"{100 * found['accuracy']:.2f} % ± {100 * found['ci95']:.2f} test accuracy, 20 episodes" in page.text
    assert f"{100 * found['floor_accuracy']:.2f} % ± {100 * found['floor_ci95']:.2f} floor" in page.text
    for row in found["steps"]:
        assert f"{row['inner_steps']} {100 * row['accuracy']:.2f} % ± {100 * row['ci95']:.2f}" in page.text
    last = folder.read_rows(pair / "a" / folder.METRICS)[-1]
    assert f"20 {last['loss']:.4g} {last['accuracy']:.4g} {last['val_accuracy']:.4g}" in page.text
    titles = [title for level, title in page.headings if level == 2]
    assert titles == [
        "Training", "Episodes of unseen classes", "What each inner step brings", "How well it knows how sure it is",
        "Evaluation", "Settings", "How it was made",
    ]  # fmt: skip
    assert len(page.alts) == 4 and "left out" not in page.text and "It is finished, after 20 steps." in page.text
    assert read(pair / "a" / "config.json")["facts"]["split_hash"] in page.text


def test_settings_that_are_no_defaults_are_marked(pair, reported):
    page = reported(pair / "a")
    assert {"16", "none", "0.01", "20"} <= {*page.marked} and "16 (default" in page.text
    assert "inner-optimizer sgd" in page.text and "sgd" not in page.marked


def test_the_command_trains_the_same_run_again(pair, reported, cli, tmp_path):
    """Catches a flag that is left out, and one that is not as the command line takes it."""
    again = re.search(r"jmeta (train .*) --run-dir NEW", reported(pair / "b").text)
    assert again is not None
    assert cli(*shlex.split(again[1]), "--run-dir", tmp_path / "again").code == 0
    assert_same_run(pair / "b", tmp_path / "again")


def test_a_comparison_has_the_paired_difference(pair, reported):
    """Catches an unpaired interval, the other sign, and settings that are the same."""
    page = reported(pair / "a", pair / "b")
    values = [np.array(read(pair / name / "evaluation.json")["values"]) for name in ("a", "b")]
    more = 100 * (values[1] - values[0])
    half = stats.t.ppf(0.975, len(more) - 1) * more.std(ddof=1) / np.sqrt(len(more))
    assert f"{more.mean():+.2f} % ± {half:.2f}, paired" in page.text and "unpaired" not in page.text
    floor = read(pair / "b" / "evaluation.json")["floor_accuracy"]
    assert f"paired {100 * floor:.2f} % ±" in page.text and "difference floor best" in page.text
    differing = page.text.partition("What differs")[2].partition("How they were made")[0]
    assert "Settings that differ a b seed 0 1" in differing and "inner_lr" not in differing
    assert len(page.alts) == 1 and page.text.count("jmeta train --") == 2


def test_other_episodes_are_not_paired(pair, reported, tmp_path):
    other = shutil.copytree(pair / "b", tmp_path / "c")
    found = read(other / "evaluation.json") | {"seed": 5}
    (other / "evaluation.json").write_text(json.dumps(found))
    base = read(pair / "a" / "evaluation.json")
    more = 100 * (found["accuracy"] - base["accuracy"])
    half = 100 * np.hypot(found["ci95"], base["ci95"])
    assert f"{more:+.2f} % ± {half:.2f}, unpaired" in reported(pair / "a", other).text
    (other / "evaluation.json").write_text(json.dumps(found | {"way": 3}))
    page = reported(pair / "a", other)
    assert "unpaired" not in page.text and "on other data or tasks of another size" in page.text


def test_what_comes_from_files_is_escaped(finished, reported, tmp_path):
    """A folder, a class, a row of an evaluation and a version. Catches each place where text is put as it is."""
    evil = '<script>alert("x")<'
    run = shutil.copytree(finished, tmp_path / evil)
    stored = read(run / "config.json")
    stored["test_classes"] = f"{evil}/script>,$x_$"
    stored["facts"] |= {"device": evil, "versions": {evil: evil}}
    (run / "config.json").write_text(json.dumps(stored))
    rows = {"rows": {evil: {evil: evil}}, evil: evil}
    (run / "evaluation-other.json").write_text(json.dumps(rows))
    page = reported(run)
    assert page.text.count(evil) >= 8 and page.headings[0] == (1, evil)
    assert f"not {evil}/script>,$x_$" in page.text  # the sentence of a refusal
    shutil.copytree(run, tmp_path / "_$x_$")
    assert evil in reported(run, tmp_path / "_$x_$").text


def test_a_run_that_has_not_ended_is_said_to_be_so(finished, reported, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    lines = (run / folder.METRICS).read_text().splitlines(keepends=True)
    (run / folder.METRICS).write_text("".join(lines[:2]))
    assert "It was stopped at step 10 of 20" in reported(run).text
    with folder.locked(run):
        assert "It is still training, at step 10 of 20." in reported(run).text
    shutil.rmtree(run / folder.CHECKPOINTS)
    (run / folder.METRICS).unlink()
    page = reported(run)
    assert "stopped before its first" in page.text and "Episodes are left out" in page.text and not page.alts


def test_a_damaged_line_is_told_and_left_out(finished, reported, tmp_path):
    run = shutil.copytree(finished, tmp_path / "run")
    with open(run / folder.METRICS, "a") as file:
        file.write('{"step": tru\n{"step": 21, "loss": 1.0}\n')
    page = reported(run, err="metrics.jsonl is damaged in 1 of")
    assert "metrics.jsonl is damaged in 1 of" in page.text and "It is finished, after 21 steps" in page.text


def test_without_matplotlib_there_are_tables_and_the_pictures_of_the_folder(finished, reported, tmp_path, monkeypatch):
    run = shutil.copytree(finished, tmp_path / "run")
    (run / "training.png").write_bytes(png(figure_maker()(2, 2)))
    (run / "broken.png").write_bytes(b"nothing")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    page = reported(run)
    assert "pip install 'jmeta[plots]'" in page.text and "broken.png is left out" in page.text
    assert page.alts == ["The picture training.png of the run folder"]
    assert "Accuracy after each number of inner steps" in page.text


def test_a_group_is_compared_with_the_means_of_its_settings(shapes, reported, cli, tmp_path):
    run = tmp_path / "group"
    assert cli("train", "--dataset", shapes, *TINY, "--seeds", 2, "--run-dir", run).code == 0
    page, found = reported(run), read(run / "summary.json")["settings"][0]
    assert f"all 2 {100 * found['mean']:.2f} % ± {100 * found['ci95']:.2f}" in page.text
    assert page.headings[0] == (1, "group") and "seed0" in page.text and "seed1" in page.text
    assert cli("report", "--run-dir", run).out == f"{run / 'report.html'}\n"


def test_places_and_the_line_of_the_documentation(pair, cli, tmp_path, monkeypatch):
    """Catches a page of several runs that is put into one of them, and rows that pandas takes for texts."""
    monkeypatch.chdir(tmp_path)
    assert cli("report", "--run-dir", pair / "a", pair / "b").out == "report.html\n"
    pandas = pytest.importorskip("pandas")
    said = (Path(jmeta.__file__).parents[1] / "docs" / "command_line.md").read_text()
    line = re.search(r"^rows = (pandas.read_json\(.*\))$", said, re.MULTILINE)
    assert line is not None
    rows = eval(line[1].replace("runs/maml", str(pair / "a")), {"pandas": pandas})
    assert rows["step"].tolist() == [5, 10, 15, 20] and rows["loss"].dtype == float
    assert rows["val_accuracy"].isna().tolist() == [True, False, True, False]


ROW = {"accuracy": 0.5, "ci95": 0.1, "area": 0.5, "final": 0.5, "nats": [1.0, 0.5], "curve": [1.0, 0.5]}
EVALUATIONS = {
    "rl": {"mean": 0.5, "ci95": 0.1, "references": [{"name": "exact optimum", "total": 2.0, "ci95": None}]},
    "join": {"rows": {"the join": ROW}},
    "active": {"rows": {"random": ROW, "learned": ROW}},
    "continual": {"rows": {"oml": {**ROW, "accuracy": [0.9, 0.5]}}},
    "optimizers": {"rows": {"learned": ROW}, "exact": {}},
    "generative": {"rows": {"learned": ROW}},
}


@pytest.mark.parametrize("kind", EVALUATIONS)
def test_every_area_has_a_page(kind, reported, tmp_path):
    """Of its default settings but for one. Catches an area without groups, a command, or its number of evaluation."""
    area = EXPERIMENTS.get(kind)
    settings, options = area.defaults(area.choice())
    run, steps = tmp_path / "run", "updates" if kind == "rl" else "outer_steps"
    member = Member(replaced(settings, {steps: 7}), replaced(options, {"run_dir": str(run)}), {})
    record.make(record.for_run(run, kind, member, {"steps": 7}))
    for step in (3, 7):
        folder.append_row(run / folder.METRICS, {"step": step, "loss": 1.5 / step, "val_loss": 1.0, "seconds": 0.5})
    (run / folder.EVALUATION).write_text(json.dumps(EVALUATIONS[kind]))
    (run / "extra.png").write_bytes(png(figure_maker()(2, 2)))
    page, found = reported(run), evaluated(kind, EVALUATIONS[kind])
    assert found is not None and found.mean == 0.5 and found.name in page.text
    assert f"{area.prog} " in page.text and f"--{steps.replace('_', '-')} 7" in page.text
    assert "7 (default" in page.text and "7" in page.marked
    assert len(page.alts) == 2 and "It is finished, after 7 steps." in page.text


def test_what_is_no_run_is_refused(finished, refused, cli, tmp_path):
    assert "no run folder" in refused("report", "--run-dir", tmp_path)
    assert "give --run-dir FOLDER" in refused("report", "--run-dir")
    assert "in no folder that exists" in refused("report", "--run-dir", finished, "--output", tmp_path / "no" / "x")
    assert "file of run folders" in refused("report", "--run-dir", finished, "--output", tmp_path / "config.json")
    assert "there is no checkpoint 'newer'" in refused("report", "--run-dir", finished, "--checkpoint", "newer")
    other = shutil.copytree(finished, tmp_path / "other")
    (other / "config.json").write_text(json.dumps(read(other / "config.json") | {"experiment": "rl"}))
    assert "compare runs of one kind" in refused("report", "--run-dir", finished, other)
    (other / "config.json").write_text("{")
    assert "damaged" in refused("report", "--run-dir", other)
    assert cli("report", "--run-dir", finished, "--colour", "red").code == 2
    assert not list(tmp_path.glob("*.html"))


def test_code_that_a_folder_names_is_not_run(finished, reported, tmp_path):
    """The page has what is stored, and says how to trust it."""
    run = shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nlearner = 1\n")
    stored = read(run / "config.json") | {"algorithm": f"{tmp_path}/mine.py:learner"}
    (run / "config.json").write_text(json.dumps(stored))
    page = reported(run, err="--trust-code")
    assert "--trust-code" in page.text and "mine.py:learner" in page.text and not (tmp_path / "ran").exists()
