"""Known data sets from copies of all layouts: one data set, whatever the copy, or a sentence on what is wrong."""

import io
import json
import pickle
import tarfile
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from jmeta import datasets
from jmeta.datasets import medmnist, named
from jmeta.datasets.published import CIFAR100, DIVISIONS, classes_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tensorflow_datasets as tfds

EACH = 2
FINE = sorted(name.partition("/")[2] for name in CIFAR100)
ABOVE = sorted({name.partition("/")[0] for name in CIFAR100})


def pixels(k, i, side=32):
    """A picture of class k, whose colors tell k and i."""
    image = np.full((side, side, 3), (2 * k, 40 * i, 255 - k % 256), np.uint8)
    image[: side // 2, :, 0] //= 2
    return image


def encoded(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **({"lossless": True} if kind == "WEBP" else {}))
    return file.getvalue()


def write(root, files):
    """Writes files by their names, into a folder or, where it ends so, a zip."""
    if root.suffix == ".zip":
        with zipfile.ZipFile(root, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return root
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def pictures(names, form, kind="PNG", each=range(EACH), side=32):
    """The pictures of classes, by names of files made of class, last part of it and number."""
    return {
        form.format(name=name, last=name.rpartition("/")[2], i=i): encoded(pixels(k, i, side), kind)
        for k, name in enumerate(names)
        for i in each
    }


def part(i):
    """The i-th picture of each class as a part of the official archive, with the bytes that Python 2 wrote."""
    fine = [FINE.index(name.partition("/")[2]) for name in CIFAR100]
    order = np.random.default_rng(i).permutation(len(CIFAR100))
    data = np.stack([pixels(k, i).transpose(2, 0, 1).ravel() for k in range(len(CIFAR100))])
    return {
        b"data": data[order],
        b"fine_labels": [fine[k] for k in order],
        b"coarse_labels": [ABOVE.index(CIFAR100[k].partition("/")[0]) for k in order],
        b"filenames": [f"{CIFAR100[k].partition('/')[2]}_s_{i:06}.png".encode() for k in order],
        b"batch_label": b"made up",
    }


def archive(path, parts):
    with tarfile.open(path, "w:gz") as file:
        for name, found in parts.items():
            data = found if isinstance(found, bytes) else pickle.dumps(found, 2)
            info = tarfile.TarInfo(f"cifar-100-python/{name}")
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


WEBP = "cifar100/{name}/{last}_s_{i:06}.webp"


def of_files(root):
    write(root / "cifar100.zip", pictures(CIFAR100, WEBP, "WEBP", [0]))
    write(root / "cifar100_rest.zip", pictures(CIFAR100, WEBP, "WEBP", [1]))


def of_npz(root):
    labels = np.tile([FINE.index(name.partition("/")[2]) for name in CIFAR100], EACH)
    images = np.stack([pixels(k, i) for i in range(EACH) for k in range(len(CIFAR100))])
    np.savez(root / "cifar100.npz", images=images, labels=labels)


CIFAR_LAYOUTS = {
    "official archive": lambda root: archive(root / "cifar-100-python.tar.gz", {"train": part(1), "test": part(0)}),
    "its folder": lambda root: write(
        root / "cifar-100-python", {name: pickle.dumps(part(i), 2) for i, name in enumerate(("train", "test"))}
    ),
    "two zips": of_files,
    "a folder of classes in parts": lambda root: write(
        root / "cifar100",
        pictures(CIFAR100, "train/{last}/{last}_s_{i:06}.png", each=[0])
        | pictures(CIFAR100, "test/{last}/{last}_s_{i:06}.png", each=[1]),
    ),
    "arrays": of_npz,
}


@pytest.fixture
def small(monkeypatch):
    """Originals of two pictures a class."""
    for name, known in named.KNOWN.items():
        monkeypatch.setitem(named.KNOWN, name, known._replace(pictures=EACH * len(known.classes)))


@pytest.mark.parametrize("layout", CIFAR_LAYOUTS)
def test_cifar_is_one_data_set_whatever_the_copy(tmp_path, small, layout):
    """Catches numbers of classes taken for places in the order of superclasses, and channels taken for rows."""
    CIFAR_LAYOUTS[layout](tmp_path)
    found = datasets.load("cifar-fs", tmp_path)
    assert found.class_names == CIFAR100 and found.groups == tuple(name.partition("/")[0] for name in CIFAR100)
    expected = np.stack([np.stack([pixels(k, i) for i in range(EACH)]) for k in range(100)])
    np.testing.assert_array_equal(found.images, expected)
    split = found.split()
    assert (split.protocol, split.hash) == ("cifar-fs", "42f55cdb40f886d6")
    other = datasets.load("fc100", tmp_path)
    assert other.split().hash == "284d6b4a4fd1854a" and other.checksum != found.checksum
    np.testing.assert_array_equal(other.images, expected)


def test_one_zip_alone_is_said(tmp_path):
    """Catches a part of CIFAR-100 that passes for all of it."""
    write(tmp_path / "cifar100.zip", pictures(CIFAR100, WEBP, "WEBP", [0]))
    with pytest.warns(
        UserWarning, match=r"cifar-fs has 100 pictures in .*cifar100.zip, 1 a class, and the original 60"
    ):
        assert datasets.load("cifar-fs", tmp_path).images.shape == (100, 1, 32, 32, 3)


def test_files_are_read_once(tmp_path, small, monkeypatch):
    of_files(tmp_path)
    first = datasets.load("cifar-fs", tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(named, "open_picture", lambda file: pytest.fail("read a picture again"))
        assert datasets.load("cifar-fs", tmp_path).checksum == first.checksum
        assert datasets.load("fc100", tmp_path).images.shape == (100, 2, 32, 32, 3)
    changed = pictures(CIFAR100, WEBP, "WEBP", [1]) | {"cifar100/people/baby/baby_s_000001.webp": encoded(pixels(0, 5))}
    write(tmp_path / "cifar100_rest.zip", changed)
    assert datasets.load("cifar-fs", tmp_path).checksum != first.checksum


def test_a_folder_of_data_sets_may_be_the_copy_itself(tmp_path, small):
    write(tmp_path / "EuroSAT", pictures(named.KNOWN["eurosat"].classes, "{name}/{name}_{i}.jpg", "JPEG", side=64))
    assert datasets.load("eurosat", tmp_path / "EuroSAT").images.shape == (10, 2, 64, 64, 3)


def wnids(name):
    return named.KNOWN[name].classes


def land(name, place, form, kind):
    return lambda root: write(root / place, pictures(wnids(name), form, kind, side=named.KNOWN[name].size))


def tiny(root):
    """As Stanford has it: validation in one folder with a table, and a test without labels."""
    side = encoded(pixels(7, 1, 64), "JPEG")
    beside = {"val/images/val_0.JPEG": side, "val/val_annotations.txt": b"val_0.JPEG\tn01443537", "wnids.txt": b"x"}
    files = pictures(wnids("tiny-imagenet"), "train/{name}/images/{name}_{i}.JPEG", "JPEG", side=64)
    every = files | beside | {"test/images/test_0.JPEG": side}
    write(root / "tiny-imagenet-200.zip", {f"tiny-imagenet-200/{name}": data for name, data in every.items()})


def ravi(root, change=lambda part, rows: rows, left_out=()):
    """As Ravi and Larochelle have it: a table for each part, and all pictures in one folder."""
    names, files = wnids("mini-imagenet"), {}
    for part_name in ("train", "val", "test"):
        rows = [f"{name}{i:08}.jpg,{name}" for name in getattr(DIVISIONS["ravi"], part_name) for i in range(EACH)]
        files[f"{part_name}.csv"] = "\n".join(["filename,label", *change(part_name, rows)]).encode()
    images = pictures(names, "images/{name}{i:08}.jpg", "JPEG", side=84)
    write(root / "mini-imagenet", files | {name: data for name, data in images.items() if name not in left_out})


LAYOUTS = {
    ("tiny-imagenet", "original"): tiny,
    ("tiny-imagenet", "classes"): land("tiny-imagenet", "tiny_imagenet.zip", "tiny_imagenet/{name}/{i}.jpg", "JPEG"),
    ("mini-imagenet", "tables"): ravi,
    ("mini-imagenet", "wnids"): land("mini-imagenet", "miniImageNet", "train/{name}/{i}.jpg", "JPEG"),
    ("eurosat", "original"): land("eurosat", "EuroSAT.zip", "2750/{name}/{name}_{i}.jpg", "JPEG"),
    ("resisc45", "original"): land("resisc45", "NWPU-RESISC45", "{name}/{name}_{i:03}.jpg", "JPEG"),
    ("uc-merced", "original"): land("uc-merced", "UCMerced_LandUse", "Images/{name}/{name}{i:02}.tif", "TIFF"),
}
SPLITS = {
    "tiny-imagenet": ("meta-dataset", 160, 13, 27),
    "mini-imagenet": ("ravi", 64, 16, 20),
    "eurosat": ("classes", 4, 3, 3),
    "resisc45": ("classes", 29, 7, 9),
    "uc-merced": ("classes", 9, 6, 6),
}


@pytest.mark.parametrize(("name", "layout"), LAYOUTS)
def test_other_known_sets(tmp_path, small, name, layout):
    """Catches pictures without labels taken for a class, and classes out of order."""
    LAYOUTS[name, layout](tmp_path)
    known = named.KNOWN[name]
    found = datasets.load(name, tmp_path)
    assert found.class_names == known.classes and found.name == name
    assert found.images.shape == (len(known.classes), EACH, known.size, known.size, 3)
    split = found.split()
    assert (split.protocol, len(split.train), len(split.val), len(split.test)) == SPLITS[name]
    last = len(known.classes) - 1
    expected = pixels(last, 1, known.size).astype(int)
    assert np.abs(found.images[last, 1].astype(int) - expected).max() < 30  # JPEG
    assert named.status(name, tmp_path).startswith(str(tmp_path))


def test_size_that_is_asked_for(tmp_path, small):
    LAYOUTS["eurosat", "original"](tmp_path)
    assert datasets.load("eurosat", tmp_path, size=20).images.shape == (10, 2, 20, 20, 3)


class Ground(tfds.core.GeneratorBasedBuilder):
    """EuroSAT's classes in another order, a picture each."""

    VERSION = tfds.core.Version("2.0.0")

    def _info(self):
        names = list(reversed(wnids("eurosat")))
        shape = {"image": tfds.features.Tensor(shape=(64, 64, 3), dtype=np.uint8)}
        features = tfds.features.FeaturesDict(shape | {"label": tfds.features.ClassLabel(names=names)})
        return tfds.core.DatasetInfo(builder=self, features=features, supervised_keys=("image", "label"))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for k, name in enumerate(wnids("eurosat")):
            yield k, {"image": pixels(k, 1, 64), "label": name}


def test_what_tfds_has_prepared(tmp_path):
    """Catches classes that keep the order of TFDS."""
    builder = Ground(data_dir=tmp_path)
    builder.download_and_prepare(file_format="array_record")
    (tmp_path / "ground").rename(tmp_path / "eurosat")
    with pytest.warns(UserWarning, match="eurosat has 10 pictures in .*2.0.0, 1 a class, and the original 27,000"):
        found = datasets.load("eurosat", tmp_path)
    np.testing.assert_array_equal(found.images[:, 0], [pixels(k, 1, 64) for k in range(10)])


@pytest.mark.parametrize("name", DIVISIONS)
def test_divisions_are_of_different_classes(name):
    division = DIVISIONS[name]
    parts = [set(part) for part in division[:3]]
    assert len(set().union(*parts)) == sum(map(len, division[:3])) == len(classes_of(division))
    sizes = {"cifar-fs": (64, 16, 20), "fc100": (60, 20, 20), "ravi": (64, 16, 20), "meta-dataset": (160, 13, 27)}
    assert tuple(map(len, parts)) == sizes[name]
    above = [{name.partition("/")[0] for name in part} for part in parts]
    assert (len(set().union(*above)) == sum(map(len, above))) == (name not in ("cifar-fs",))


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("cifar-fs", "cifar_fs.json", None),
        ("fc100", "fc100.json", None),
        ("ravi", "mini_imagenet_ravi.json", None),
        ("meta-dataset", "tiny_imagenet.json", "meta_dataset_ilsvrc"),
    ],
)
def test_divisions_are_the_published_ones(data_root, name, file, key):
    path = data_root / "splits" / file
    if not path.is_file():
        pytest.skip(f"JMETA_DATA has no splits/{file}")
    found = json.loads(path.read_text())
    found = found[key] if key else found
    assert {part: set(names) for part, names in found.items()} == {
        part: set(getattr(DIVISIONS[name], part)) for part in ("train", "val", "test")
    }


def test_a_published_division_of_a_folder_of_ones_own(tmp_path):
    """Catches a default that changes for data of the same classes under another name."""
    images = np.zeros((100, 1, 1, 1), np.uint8)
    found = datasets.make_dataset("own", images, CIFAR100)
    assert datasets.protocols(found) == ("classes", "cifar-fs", "fc100", "all")
    assert len(found.split("fc100").train) == 60
    fewer = datasets.make_dataset("cifar-fs", images[:99], CIFAR100[:99])
    assert datasets.protocols(fewer) == ("classes", "all")


@pytest.mark.parametrize("name", named.KNOWN)
def test_what_is_missing_is_said_in_a_sentence(tmp_path, name):
    known = named.KNOWN[name]
    with pytest.raises(datasets.DataError) as error:
        datasets.load(name, tmp_path)
    told = str(error.value)
    assert told.startswith(f"{name} needs ") and known.page in told and told.endswith("put it there.")
    assert "\n" not in told and named.status(name, tmp_path).startswith("lacks ")


def cut(path, share=0.6):
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])


def bad_pickle(root):
    class Runs:
        def __reduce__(self):
            return print, ("run",)

    archive(root / "cifar-100-python.tar.gz", {"train": pickle.dumps(Runs()), "test": part(1)})


def changed(root, **own):
    first = part(0) | {name.encode(): value for name, value in own.items()}
    archive(root / "cifar-100-python.tar.gz", {"train": first, "test": part(1)})


def broken(root):
    files = pictures(CIFAR100, WEBP, "WEBP", [0])
    write(root / "cifar100.zip", files | {"cifar100/people/baby/baby_s_000000.webp": b"no picture"})


FLAT = pictures(CIFAR100, "{last}/{i}.png", each=[0])
HOSTILE = {
    "archive cut short": (
        lambda root: cut(CIFAR_LAYOUTS["official archive"](root)),
        r"cifar-100-python.tar.gz is damaged, cut short or another file \(.*\): get .* again from https://www.cs",
    ),
    "no archive": (lambda root: (root / "cifar-100-python.tar.gz").write_bytes(b"x"), "is damaged, cut short or"),
    "a part left out": (
        lambda root: archive(root / "cifar-100-python.tar.gz", {"train": part(0)}),
        r"cut short or another file \('test'\)",
    ),
    "code in it": (bad_pickle, r"cut short or another file \(it names builtins.print, which is never run\)"),
    "another form": (lambda root: changed(root, data=[1, 2]), r"cut short or another file"),
    "labels of CIFAR-10": (lambda root: changed(root, fine_labels=[200] * 100), "classes of 200 to 200, and 0 to 99"),
    "labels mixed up": (lambda root: changed(root, fine_labels=list(range(100))), "in another superclass"),
    "fewer labels": (lambda root: changed(root, fine_labels=[1]), "100 pictures with 1 classes and 100 superclasses"),
    "zip cut short": (lambda root: (of_files(root), cut(root / "cifar100.zip")), "cannot be read as a zip archive"),
    "a class missing": (
        lambda root: write(root / "cifar100", {k: v for k, v in FLAT.items() if k != "worm/0.png"}),
        r"cifar100 lacks 1 of the 100 classes of cifar100, non-insect_invertebrates/worm: get cifar-100-python.tar.gz",
    ),
    "a foreign class": (
        lambda root: write(root / "cifar100", FLAT | {"unicorn/0.png": FLAT["worm/0.png"]}),
        "cifar100 has 1 classes that are none of the 100 of cifar100, unicorn: take them out",
    ),
    "a class in another superclass": (
        lambda root: write(root / "cifar100", {"people/worm/0.png": FLAT["worm/0.png"]}),
        "has non-insect_invertebrates/worm in the folder people: move it to non-insect_invertebrates",
    ),
    "no picture": (broken, r"baby_s_000000.webp is not a picture that can be read"),
    "arrays of ten classes": (
        lambda root: np.savez(root / "cifar100.npz", images=np.zeros((10, 2, 32, 32, 3), np.uint8)),
        "lacks 90 of the 100 classes of cifar100",
    ),
    "arrays of 101 classes": (
        lambda root: np.savez(root / "cifar100.npz", images=np.zeros((101, 2, 32, 32, 3), np.uint8)),
        "cifar100 has 1 classes that are none of the 100 of cifar100, 100: take",
    ),
    "no pictures": (
        lambda root: np.savez(root / "cifar100.npz", features=np.eye(100), labels=np.arange(100)),
        "cifar100 has no pictures",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.filterwarnings("ignore:.*that are the same in several classes")
def test_a_copy_that_is_another_is_told_in_a_sentence(tmp_path, case):
    """Catches a trace, code that runs, or a set that lacks a class and is trained on."""
    make, expected = HOSTILE[case]
    make(tmp_path)
    with pytest.raises(datasets.DataError, match=expected) as error:
        datasets.load("cifar-fs", tmp_path)
    assert "\n" not in str(error.value)


def test_gray_pictures_become_colors(tmp_path, small):
    """Catches one channel where the others have three: a few pictures of Tiny ImageNet are gray."""
    files = pictures(wnids("eurosat"), "{name}/{i}.png", side=64)
    files["River/0.png"] = encoded(np.full((64, 64), 90, np.uint8))
    write(tmp_path / "EuroSAT", files)
    found = datasets.load("eurosat", tmp_path)
    assert found.images.shape[-1] == 3 and (found.images[8, 0] == 90).all()


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            lambda part, rows: [*rows, *["n0185567200000000.jpg,n01855672"] * (part == "train")],
            "train.csv has the label 'n01855672', which is none of the 64 classes of this part",
        ),
        (lambda part, rows: [*rows, rows[0].replace("00.jpg", "99.jpg")], "which is not in images beside it: restore"),
        (lambda part, rows: rows[EACH:], "lacks 3 of the 100 classes of mini-imagenet, n01532829"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, change, expected):
    ravi(tmp_path, change)
    with pytest.raises(datasets.DataError, match=expected):
        datasets.load("mini-imagenet", tmp_path)


@pytest.mark.parametrize("text", [b"a,b\n1,2", b"\xff\xfe\x00", b"filename,label\nn01532829"])
def test_tables_that_cannot_be_read(tmp_path, text):
    ravi(tmp_path)
    (tmp_path / "mini-imagenet" / "val.csv").write_bytes(text)
    with pytest.raises(datasets.DataError, match=r"val.csv can't be read as a table of filename and label"):
        datasets.load("mini-imagenet", tmp_path)


def test_a_split_file_with_foreign_names(tmp_path, small):
    LAYOUTS["eurosat", "original"](tmp_path)
    (tmp_path / "own.json").write_text(json.dumps({"train": ["River", "Rivers"], "test": ["Forest"]}))
    with pytest.raises(
        datasets.DataError, match="names the class 'Rivers', which the data have not: did you mean 'River'"
    ):
        datasets.load("eurosat", tmp_path).split(str(tmp_path / "own.json"))


def blood(channels=3, labels=8, **own):
    """A file of MedMNIST, two pictures of each class in each part."""
    shape = (28, 28, 3) if channels == 3 else (28, 28)
    y = np.repeat(np.arange(labels, dtype=np.uint8), 2)[:, None]
    parts = {f"{part}_labels": y for part in ("train", "val", "test")}
    parts |= {
        f"{part}_images": (y.reshape(-1, *(1,) * len(shape)) * 20 + np.zeros(shape) + 3 * p).astype(np.uint8)
        for p, part in enumerate(("train", "val", "test"))
    }
    return parts | own


@pytest.mark.parametrize("place", ["", "medmnist"])
def test_medmnist(tmp_path, place):
    """Catches a part that is left out, and a label of another part."""
    (tmp_path / place).mkdir(exist_ok=True)
    np.savez(tmp_path / place / "bloodmnist.npz", **blood())
    found = datasets.load("medmnist:bloodmnist", tmp_path)
    assert found.images.shape == (8, 6, 28, 28, 3) and found.name == "medmnist-bloodmnist"
    assert [set(np.unique(found.images[k])) for k in range(8)] == [{20 * k, 20 * k + 3, 20 * k + 6} for k in range(8)]
    assert medmnist.status(tmp_path) == "bloodmnist"
    np.savez(tmp_path / "pneumoniamnist.npz", **blood(1, 2))
    assert datasets.load("medmnist:pneumoniamnist", tmp_path).images.shape == (2, 6, 28, 28, 1)


@pytest.mark.parametrize(
    ("name", "arrays", "expected"),
    [
        ("chestmnist", None, "medmnist:NAME needs NAME to be a set of one label a picture, got 'chestmnist'"),
        ("blodmnist", None, "did you mean 'bloodmnist'"),
        ("bloodmnist", None, "needs bloodmnist.npz, which is not in .*: get it from https://medmnist.com"),
        ("bloodmnist", {"images": np.zeros(3)}, r"can't be read as a set of MedMNIST \(it lacks 'train_images'\)"),
        ("bloodmnist", blood(labels=7), "must have 8 classes, got 7"),
        ("bloodmnist", blood(train_images=np.zeros((16, 28, 28, 3))), r"must have pictures uint8 .* got float64"),
        ("bloodmnist", blood(train_labels=np.zeros((16, 14), np.uint8)), "can't be read as a set of MedMNIST"),
    ],
)
def test_medmnist_that_is_another(tmp_path, name, arrays, expected):
    if arrays is not None:
        np.savez(tmp_path / f"{name}.npz", **arrays)
    with pytest.raises(datasets.DataError, match=expected):
        datasets.load(f"medmnist:{name}", tmp_path)


@pytest.mark.long
def test_all_of_cifar100(data_root):
    """Of real pictures, raw pixels tell classes apart: what has its labels wrong is at chance."""
    if not (data_root / "cifar100_rest.zip").is_file():
        pytest.skip("JMETA_DATA has no cifar100_rest.zip")
    found = datasets.load("cifar-fs", data_root)
    assert found.images.shape == (100, 600, 32, 32, 3)
    images = found.images[found.split().test].reshape(20, 600, -1) / 255
    means, queries = images[:, :300].mean(1), images[:, 300:]
    near = (np.sum(means**2, -1) - 2 * queries @ means.T).argmin(-1)
    assert (near == np.arange(20)[:, None]).mean() > 0.12  # of 20 classes, chance is 0.05
