"""Finding and fetching the original files of a data set, the way TensorFlow Datasets keeps them."""

import os
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jmeta.datasets.types import DataError
from jmeta.errors import first_line


def tfds_folders(root: Path) -> list[Path]:
    """The data folders of TensorFlow Datasets, `root` first."""
    default = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    return [root, Path(default).expanduser()]


def find_in_tfds(name: str, url: str, root: Path) -> Path | None:
    """Finds the file of a TFDS data set where TFDS's own downloader looks for it, in `root` and the user's data folder:
    in `downloads/manual` or in the download cache."""
    from tensorflow_datasets.core.download import resource

    info = _url_infos(name).get(url)
    plain = (info.filename if info else None) or url.rpartition("/")[2]
    known = resource.get_dl_fname(url, info.checksum if info else None)
    unknown = resource.get_dl_fname(url)
    for folder in (f / "downloads" for f in tfds_folders(root)):
        for kind, file in (("manual", plain), (name, known), (name, unknown), ("", known), ("", unknown)):
            if (folder / kind / file).is_file():
                return folder / kind / file
    return None


def reachable(url: str, seconds: float = 3.0) -> bool:
    """Whether `url` answers within `seconds`, looking up its host included."""
    answers: list[int] = []

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=seconds) as response:
                answers.append(response.status)
        except (OSError, ValueError):
            pass

    # The look-up of a host name has no time limit of its own, so it must not run in this thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(answers)


def download(name: str, urls: Mapping[str, str], root: Path) -> dict[str, Path]:
    """Downloads files of a TFDS data set, by name and address, through TFDS into `root/downloads`, to name and path.

    Raises:
        DataError: a download that failed, or whose size or checksum is not the registered one.
    """
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, util

    downloads = root / "downloads"
    try:
        manager = tfds.download.DownloadManager(
            download_dir=downloads, manual_dir=downloads / "manual", dataset_name=name, url_infos=_url_infos(name)
        )
        return {file: Path(path) for file, path in manager.download(dict(urls)).items()}
    except (OSError, util.DownloadError, download_manager.NonMatchingChecksumError) as error:
        raise DataError(
            f"{name}: downloading {', '.join(urls.values())} to {downloads} failed ({first_line(error)}): "
            "try again, or fetch the files by hand."
        ) from error


def _url_infos(name: str) -> dict[str, Any]:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    try:
        return tfds.builder_cls(name).url_infos or {}
    except registered.DatasetNotFoundError:  # a set prepared elsewhere, whose code is not here
        return {}
