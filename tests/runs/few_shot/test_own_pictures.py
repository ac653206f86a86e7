"""What people bring, from the command line: divisions that share nothing, and real data from end to end."""

import csv
import gzip
import io
import json
import warnings
import zipfile
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import jmeta
from jmeta.datasets import from_csv
from jmeta.runs.few_shot import settings_of
from jmeta.runs.few_shot.experiment import builder
from jmeta.runs.few_shot.parts import parts_of
from jmeta.runs.few_shot.problems import load_problem
from jmeta.runs.few_shot.trained import load_trained

pytestmark = pytest.mark.standard_promotion

PARTS = ("train", "val", "test")
SHORT = tuple(
    "--algorithm prototypical --network mlp --features 32 --norm none --query-shot 2 --outer-steps 20 --log-every 10 "
    "--save-every 20 --val-episodes 10 --devices 1".split()
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> Path:
    """12 classes of 6 pictures below train, val and test, and without the parts; the last of each part is a copy of one
    of the next."""
    rng, place = np.random.default_rng(0), tmp_path_factory.mktemp("own")
    pictures = rng.integers(0, 255, (12, 6, 8, 8, 3), np.uint8)
    pictures[5, 5], pictures[8, 5] = pictures[6, 0], pictures[9, 0]
    for k in range(12):
        for i in range(6):
            for folder in (place / "parted" / PARTS[(k > 5) + (k > 8)], place / "plain"):
                (folder / f"k{k:02}").mkdir(parents=True, exist_ok=True)
                Image.fromarray(pictures[k, i]).save(folder / f"k{k:02}" / f"{i}.png")
    names = [f"k{k:02}" for k in range(12)]
    division = {"train": names[:6], "val": names[6:9], "test": names[9:]}
    (place / "division.json").write_text(json.dumps(division))
    (place / "many.json").write_text(json.dumps({"mine": division}))
    with open(place / "table.csv", "w", newline="") as file:
        rows = [(f"plain/k{k:02}/{i}.png", f"k{k:02}", PARTS[(k > 5) + (k > 8)]) for k in range(12) for i in range(6)]
        csv.writer(file).writerows([("file", "label", "part"), *rows])
    return place


@pytest.mark.parametrize(
    ("dataset", "given"),
    [
        ("parted", {}),
        ("table.csv", {}),
        ("plain", {"split": "division.json"}),
        ("plain", {"split": "many.json:mine"}),
        ("plain", {"test_classes": "k09,k10,k11"}),
        ("plain", {}),
    ],
)
def test_parts_share_no_class_no_file_and_no_picture(folders, dataset, given):
    """However a division is given; and its hash is in the record. Catches copies that were trained on."""
    given = {name: str(folders / value) if name == "split" else value for name, value in given.items()}
    settings = settings_of(algorithm="prototypical", dataset=str(folders / dataset), query_shot=2, way=2, **given)
    with pytest.warns(UserWarning, match="the same in several classes|in a later part too"):
        problem = load_problem(settings.tasks)
        facts = builder()(settings).facts
        parts = parts_of(problem.dataset, problem.split, own=True)
    assert facts["split_hash"] == problem.split.hash and facts["protocol"] == problem.split.protocol
    seen = [{row.tobytes() for row in parts[name].examples.rows} for name in PARTS]
    classes = [{*parts[name].classes.tolist()} for name in PARTS]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert not seen[one] & seen[other] and not classes[one] & classes[other]
    assert sum(map(len, classes)) == 12
    if dataset != "plain" or "split" in given:
        named = [[problem.dataset.class_names[k].rpartition("/")[2] for k in parts[name].classes] for name in PARTS]
        assert named == [[f"k{k:02}" for k in range(*ends)] for ends in ((0, 6), (6, 9), (9, 12))]
        assert [int(parts[name].examples.counts.sum()) for name in PARTS] == [35, 17, 18]
    elif given:
        assert classes[2] == {9, 10, 11}


def test_a_test_of_other_data_tells_what_was_trained_on(cli, folders, tmp_path):
    (tmp_path / "new").mkdir()
    for k in (0, 5, 99):
        images = np.random.default_rng(k).integers(0, 255, (4, 8, 8, 3), np.uint8)
        (tmp_path / "new" / f"n{k}").mkdir()
        for i, image in enumerate(images):
            Image.fromarray(image).save(tmp_path / "new" / f"n{k}" / f"{i}.png")
    copied = folders / "plain" / "k00" / "0.png"
    (tmp_path / "new" / "n0" / "0.png").write_bytes(copied.read_bytes())
    words = ("--dataset", folders / "plain", "--test-dataset", tmp_path / "new", "--way", 2, *SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli("train", *words, "--run-dir", tmp_path / "run").code == 0
        result = cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 5)
    assert result.code == 0 and "1 of these classes were trained on: this is no measure of new ones" in result.out


def test_a_run_on_pictures_of_a_file_is_the_run_on_those_in_memory(cli, folders, tmp_path, monkeypatch):
    """Trained and tested with more pictures than may be held; the same to the last bit."""
    runs, said = [], []
    for name in ("held", "kept"):
        runs.append(tmp_path / name)
        words = ("--dataset", folders / "parted", "--way", 3, *SHORT, "--run-dir", runs[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert cli("train", *words).code == 0
            said.append(cli("evaluate", "--run-dir", runs[-1], "--episodes", 5).out)
        monkeypatch.setenv("JMETA_MEMORY", "0")
        monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))
    assert said[0].replace("held", "kept") == said[1]
    assert len([*(tmp_path / "cache").glob("parted-*.rows")]) == 1
    params = [load_trained(str(run)).params for run in runs]
    jax.tree.map(np.testing.assert_array_equal, *params)


def test_a_division_without_validation_trains_without(cli, folders, tmp_path):
    """Four classes, of which none can be spared."""
    division = {"train": ["k00", "k01"], "test": ["k02", "k03"]}
    (tmp_path / "four.json").write_text(json.dumps(division))
    words = ("--dataset", folders / "plain", "--split", tmp_path / "four.json", "--way", 2, *SHORT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert cli("train", *words, "--run-dir", tmp_path / "run").code == 0
        assert cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 5).code == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(rows) == 2 and not any(name.startswith("val_") for row in rows for name in row)


def in_zip(path, members):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist() if members(name)}


def caltech(root, place):
    """A zip, read as it is; few of its pictures, so that they are soon decoded."""
    kept = in_zip(root / "caltech101.zip", lambda name: name[-1] != "/" and sum(map(ord, name)) % 5 == 0)
    with zipfile.ZipFile(place / "caltech.zip", "w") as archive:
        for name, content in kept.items():
            archive.writestr(name, content)
    return ["--dataset", place / "caltech.zip", "--image-size", 16]


def flowers(root, place):
    """Train, val and test folders."""
    kept = in_zip(root / "flowers17.zip", lambda name: name.endswith(".jpg") and sum(map(ord, name)) % 3 == 0)
    classes = sorted({Path(name).parent.name for name in kept})
    for name, content in kept.items():
        number = classes.index(Path(name).parent.name)
        path = place / "flowers" / PARTS[(number > 8) + (number > 12)] / Path(name).parent.name / Path(name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return ["--dataset", place / "flowers", "--image-size", 16, "--way", 4]


def grocery(root, place):
    """A table of files and labels."""
    kept = in_zip(root / "grocery.zip", lambda name: name[-1] != "/" and sum(map(ord, name)) % 3 == 0)
    rows = []
    for name, content in kept.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
        rows.append((name, Path(name).parent.name))
    with open(place / "grocery.csv", "w", newline="") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    return ["--dataset", place / "grocery.csv", "--image-size", 16]


def photos(root, place):
    """A folder of photographs of ten sizes, some turned by EXIF, with what cameras and systems leave in it."""
    kept = in_zip(root / "clothing.zip", lambda name: name[-1] != "/" and sum(map(ord, name)) % 4 == 0)
    for i, (name, content) in enumerate(kept.items()):
        picture = Image.open(io.BytesIO(content)).convert("RGB").resize((40 + 8 * (i % 10), 50 + 6 * (i % 7)))
        exif = Image.Exif()
        if i % 3 == 0:
            picture, exif[0x0112] = picture.transpose(Image.Transpose.ROTATE_90), 6
        path = place / "photos" / Path(name).parent.name / f"IMG_{i:04}.JPG"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, "jpeg", exif=exif)
        (path.parent / "Thumbs.db").write_bytes(b"junk")
    (place / "photos" / "notes.txt").write_text("junk")
    (path.parent / "IMG_9999.JPG").write_bytes(b"\xff\xd8 cut short")
    return ["--dataset", place / "photos", "--image-size", 16, "--way", 3]


def letters(root, place):
    return ["--dataset", root / "letters62.npz"]


def clinc(root, place):
    """TF-IDF of texts, with a division by intents."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    with gzip.open(root / "text" / "clinc150.jsonl.gz", "rt") as file:
        rows = [row for i, row in enumerate(map(json.loads, file)) if i % 6 == 0 and row["label"] != "oos"]
    found = TfidfVectorizer(min_df=3, max_features=400).fit_transform([row["text"] for row in rows])
    features = np.asarray(found.todense(), np.float32)
    np.savez(place / "clinc.npz", features=features, labels=np.array([row["label"] for row in rows]))
    division = f"{root / 'splits' / 'clinc150.json'}:protaugment1"
    return ["--dataset", place / "clinc.npz", "--split", division]


@pytest.mark.parametrize(
    "bring",
    [flowers, photos, clinc, *(pytest.param(each, marks=pytest.mark.long) for each in (caltech, grocery, letters))],
    ids=lambda f: f.__name__,
)
def test_real_data_end_in_names_and_a_score_beside_its_floor(cli, data_root, tmp_path, bring):
    words = ("train", *bring(data_root, tmp_path), *SHORT, "--run-dir", tmp_path / "run")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        result = cli(*words)
        assert result.code == 0, result
        assert cli("evaluate", "--run-dir", tmp_path / "run", "--episodes", 50).code == 0
    found = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    chance = 1 / found["way"]
    assert found["floor_accuracy"] - found["floor_ci95"] > chance  # else labels are wrong
    assert found["accuracy"] > chance
    if bring is photos:
        assert any(" 1 of " in str(each.message) and "IMG_9999.JPG" in str(each.message) for each in said)
        assert not any("Thumbs.db" in str(each.message) for each in said)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = load_problem(load_trained(tmp_path / "run").settings.tasks)
        kinds = problem.split.test[:3]
        support = {problem.dataset.class_names[k]: problem.dataset.examples[k][:2] for k in kinds}
        query = np.concatenate([problem.dataset.examples[k][2:4] for k in kinds])
        named = jmeta.predict(tmp_path / "run", support, query, invert="no")
    assert {one.name for one in named} <= {*support} and len(named) == len(query)


def test_a_table_of_real_files_is_the_folder(data_root, tmp_path):
    grocery(data_root, tmp_path)
    table = from_csv(tmp_path / "grocery.csv", size=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = jmeta.datasets.from_folder(tmp_path / "grocery", size=16)
    assert {name.rpartition("/")[2] for name in folder.class_names} == {*table.class_names}
    assert folder.counts.sum() == table.counts.sum()
