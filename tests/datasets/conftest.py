import numpy as np
import pytest

from jmeta import datasets
from jmeta.datasets import omniglot as source


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads or writes the user's own folders."""
    monkeypatch.setenv("JMETA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))


@pytest.fixture(scope="session")
def real_data(data_root):
    """The folder $JMETA_DATA with the real data sets."""
    if not (data_root / "omniglot" / "images_background.zip").is_file():
        pytest.skip("JMETA_DATA names no folder with omniglot/images_background.zip")
    return data_root


@pytest.fixture(scope="session")
def real_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def omniglot(real_data, real_cache, monkeypatch):
    """The real Omniglot, read from its archives once a session."""
    monkeypatch.setenv("JMETA_CACHE", str(real_cache))
    return datasets.load("omniglot", real_data)


@pytest.fixture(scope="session")
def names_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("names")


@pytest.fixture
def omniglot_names(real_data, names_cache, monkeypatch):
    """The real Omniglot by its names, with pictures that are blank: reading its 32,460 drawings takes a minute."""
    blank = np.zeros((source.SIZE, source.SIZE), np.uint8)
    monkeypatch.setenv("JMETA_CACHE", str(names_cache))
    monkeypatch.setattr(source, "read", lambda archive, name: b"")
    monkeypatch.setattr(source, "read_drawing", lambda content: blank)
    return datasets.load("omniglot", real_data)


@pytest.fixture(params=["a small set", pytest.param("all", marks=pytest.mark.long)])
def drawings(request, real_data):
    """Images and names of real Omniglot: of its first small set, and of all."""
    if request.param == "all":
        whole = request.getfixturevalue("omniglot")
        return source.Characters(whole.images[..., 0], whole.class_names)
    return request.getfixturevalue("small_set")


@pytest.fixture(scope="session")
def small_set(real_data):
    """The 136 characters of the first small background set."""
    file = "images_background_small1.zip"
    return source.read_archive(real_data / "omniglot" / file, source.CLASSES[file])
