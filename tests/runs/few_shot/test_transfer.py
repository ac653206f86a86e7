import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from jmeta.datasets import downloads
from jmeta.errors import RunError
from jmeta.ragged import ragged
from jmeta.runs.few_shot import load_trained
from jmeta.runs.few_shot.evaluate import file_name
from jmeta.runs.few_shot.settings import Tasks
from jmeta.runs.few_shot.transfer import known_to, seen, show
from jmeta.settings import replaced

pytestmark = pytest.mark.standard_promotion


@pytest.fixture
def bars(tmp_path):
    """Five classes of six dark drawings on white, in color and of another size."""
    images = np.full((5, 6, 11, 13, 3), 255, np.uint8)
    for k in range(5):
        images[k, :, 2 * k + 1, 2:-2] = np.random.default_rng(k).integers(0, 80, (6, 9, 1), np.uint8)
    np.savez(tmp_path / "bars.npz", images=images)
    return tmp_path / "bars.npz"


@pytest.fixture(scope="session")
def of_dots(cli_once, tmp_path_factory):
    """A run on bright dots on black; not to be changed."""
    folder = tmp_path_factory.mktemp("dots")
    images = np.zeros((16, 8, 8, 8, 1), np.uint8)
    for k in range(16):
        images[k, :, 1 + k // 6, 1 + k % 6] = 255
        images[k, :, 4, 1 + k % 5] = 50 + np.random.default_rng(k).permutation(150)[:8, None]
    np.savez(folder / "dots.npz", images=images)
    return cli_once(folder / "dots.npz", folder / "run")


@pytest.fixture(scope="session")
def cli_once():
    from small_runs import TINY

    from jmeta.cli import main

    def train(data, run_dir):
        assert main(["train", "--dataset", str(data), *TINY, "--outer-steps", "10", "--run-dir", str(run_dir)]) == 0
        return run_dir

    return train


def test_other_data_are_matched_and_it_is_said(cli, of_dots, bars, tmp_path):
    words = ("evaluate", "--run-dir", of_dots, "--dataset", bars, "--episodes", 20, "--output", tmp_path / "e.json")
    result = cli(*words, "--way", 5, "--query-shot", 2)
    assert result.code == 0, result
    found = json.loads((tmp_path / "e.json").read_text())
    assert (found["protocol"], found["part"], found["seen_classes"]) == ("all", "test", 0)
    assert found["changes"] == (
        "made gray by luminance, resized from 11 x 13 to 8 x 8, inverted (dark ink here and light ink in training)"
    )
    assert f"pictures of bars: {found['changes']}" in result.out
    assert found["accuracy"] > 0.3


def test_an_evaluation_on_other_data_leaves_that_on_its_own(cli, of_dots, bars, tmp_path):
    run_dir = tmp_path / "run"
    shutil.copytree(of_dots, run_dir)
    words = ("evaluate", "--run-dir", run_dir, "--episodes", 5)
    assert cli(*words).code == 0
    own = (run_dir / "evaluation.json").read_bytes()
    assert cli(*words, "--dataset", bars, "--query-shot", 2).code == 0
    assert (run_dir / "evaluation.json").read_bytes() == own
    assert json.loads((run_dir / "evaluation-bars.json").read_text())["dataset"] == "bars"
    shutil.copy(of_dots.parent / "dots.npz", tmp_path)
    assert cli(*words, "--dataset", tmp_path / "dots.npz", "--seed", 1).code == 0  # its own in another place
    assert {path.name for path in run_dir.glob("evaluation*")} == {"evaluation.json", "evaluation-bars.json"}
    assert json.loads((run_dir / "evaluation.json").read_text())["seed"] == 1
    # Other pictures of the same name, in another folder.
    (tmp_path / "there").mkdir()
    np.savez(tmp_path / "there" / "bars.npz", images=np.load(bars)["images"][:, :, ::-1])
    assert cli(*words, "--dataset", tmp_path / "there" / "bars.npz", "--query-shot", 2).code == 0
    assert len({*run_dir.glob("evaluation-bars-????????.json")}) == 1 == len([*run_dir.glob("evaluation-bars.json")])


def test_file_names_of_evaluations():
    tasks, facts = Tasks(way=5, shot=1), {"checksum": "c", "protocol": "finn"}
    own = {"data_checksum": "c", "protocol": "finn", "way": 5, "shot": 1, "dataset": "omniglot", "part": "test"}
    other = {**own, "dataset": "cmaterdb/bangla: 2", "data_checksum": "d", "protocol": "all"}
    official = {"dataset": "omniglot-runs", "part": "test", "way": 20, "shot": 1, "protocol": "official"}
    for result, name in (
        (own, "evaluation.json"),
        ({**own, "shot": 5}, "evaluation-5w5s.json"),
        ({**own, "way": 20, "part": "val"}, "evaluation-20w1s-val.json"),
        ({**own, "protocol": "lake"}, "evaluation-lake.json"),
        (other, "evaluation-cmaterdb-bangla-2.json"),
        ({**other, "way": 20, "shot": 5}, "evaluation-cmaterdb-bangla-2-20w5s.json"),
        (official, "evaluation-omniglot-runs.json"),
        ({**other, "dataset": "фото"}, "evaluation-фото.json"),
    ):
        assert file_name(result, tasks, facts) == name
    assert file_name(other, tasks, facts, "all") == "evaluation-cmaterdb-bangla-2-all.json"


def test_data_are_not_replaced_by_an_evaluation_of_them(refused, of_dots, bars):
    before = bars.read_bytes()
    told = refused("evaluate", "--run-dir", of_dots, "--dataset", bars, "--output", bars, "--episodes", 5)
    assert "a file of another kind, which it would replace" in told and bars.read_bytes() == before
    for place in (bars.parent, ""):
        assert "is no name for a file" in refused("evaluate", "--run-dir", of_dots, "--output", place)


def test_data_of_a_run_that_have_gone_are_said_to_be_so(of_dots, tmp_path):
    """Catches a close match that is offered for the data of a run, as for a misspelled word."""
    trained = load_trained(of_dots)
    gone = trained._replace(settings=replaced(trained.settings, {"dataset": "lineaar"}))
    with pytest.raises(RunError, match=f"was trained on lineaar, which is neither here nor in {tmp_path}: restore it"):
        show(gone, data_dir=str(tmp_path))


def test_own_data_are_left_alone(cli, of_dots, tmp_path):
    result = cli("evaluate", "--run-dir", of_dots, "--episodes", 5, "--output", tmp_path / "e.json")
    assert result.code == 0 and "pictures of" not in result.out
    found = json.loads((tmp_path / "e.json").read_text())
    assert found["changes"] == "" and found["seen_classes"] == 0 and found["protocol"] == "classes"


def test_pictures_that_were_trained_on_are_found_in_other_data(of_dots, tmp_path):
    trained = load_trained(of_dots)
    known = known_to(trained)
    assert trained.look == ((8, 8), 1, "light", None)
    images, train = np.load(of_dots.parent / "dots.npz")["images"], known.split.train
    some = np.concatenate([images[train[:2]], images[known.split.test], 255 - images[train[2:4]]])
    some[1, :7] = 9  # one picture of eight is enough
    assert seen(known, ragged(some)) == 2
    assert seen(known, ragged(some, np.full(len(some), 7))) == 1
    assert seen(known, ragged(np.zeros_like(some))) == 0
    np.savez(tmp_path / "some.npz", images=some)
    assert show(trained, str(tmp_path / "some.npz")).seen == 2


def test_its_own_data_by_another_name_keep_their_split(of_dots, monkeypatch):
    monkeypatch.chdir(of_dots.parent)
    trained = load_trained(of_dots)
    own, again = show(trained), show(trained, "dots.npz")
    assert again.problem.split.hash == own.problem.split.hash and again.seen == own.seen == 0
    assert again.tasks == trained.settings.tasks
    assert show(trained, "dots.npz", part="train").seen == show(trained, part="train").seen > 0


def test_training_data_that_are_gone_leave_it_unknown(cli, cli_once, shapes, bars, tmp_path):
    data = tmp_path / "gone.npz"
    data.write_bytes(Path(shapes).read_bytes())
    run_dir = cli_once(data, tmp_path / "run")
    data.unlink()
    result = cli("evaluate", "--run-dir", run_dir, "--dataset", bars, "--episodes", 5, "--query-shot", 2)
    assert result.code == 0, result
    assert "not inverted (dark ink here and no ink in training)" in result.out
    assert "whether its classes were trained on is not known" in result.out
    assert json.loads((run_dir / "evaluation-bars.json").read_text())["seen_classes"] is None


def test_training_data_are_looked_for_where_they_were_and_known_by_their_checksum(shapes, of_dots, tmp_path):
    there, elsewhere = tmp_path / "there", tmp_path / "elsewhere"
    for folder, source in ((there, of_dots.parent / "dots.npz"), (elsewhere, Path(shapes))):
        folder.mkdir()
        (folder / "dots.npz").write_bytes(source.read_bytes())
    trained = load_trained(of_dots)
    named = trained._replace(settings=replaced(trained.settings, {"dataset": "dots", "data_dir": str(there)}))
    checksum = trained.facts["checksum"]
    assert known_to(named, str(elsewhere)).dataset.checksum == checksum
    (there / "dots.npz").rename(tmp_path / "dots.npz")
    assert known_to(named, str(elsewhere)) is None
    assert known_to(named, str(tmp_path)).dataset.checksum == checksum


def test_nothing_is_downloaded_to_know_what_was_trained_on(of_dots, tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    monkeypatch.setattr(downloads, "reachable", lambda url: pytest.fail("asked the network"))
    trained = load_trained(of_dots)
    for name in ("omniglot", "tfds:mnist"):
        run = replaced(trained.settings, {"dataset": name, "data_dir": str(tmp_path)})
        assert known_to(trained._replace(settings=run)) is None


def test_channels_that_do_not_fit_are_refused(refused, of_dots, tmp_path):
    np.savez(tmp_path / "two.npz", images=np.zeros((5, 4, 8, 8, 2), np.uint8))
    message = refused("evaluate", "--run-dir", of_dots, "--dataset", tmp_path / "two.npz")
    assert "pictures of 2 channels can't be shown to a network that takes 1" in message


def test_other_parts_need_a_split(refused, of_dots, bars):
    assert "--split" in refused("evaluate", "--run-dir", of_dots, "--dataset", bars, "--way", 6)
    words = ("evaluate", "--run-dir", of_dots, "--dataset", bars, "--split", "all", "--part", "train")
    assert "the train part of bars (all) has no classes" in refused(*words)
