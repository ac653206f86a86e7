import pytest

from jmeta import datasets


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
