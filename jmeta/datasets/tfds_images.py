"""Any image classification set of TensorFlow Datasets as one array, read without TensorFlow."""

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jmeta.datasets import cache, downloads, omniglot
from jmeta.datasets.pictures import MIXED, UNREADABLE, fit, opened
from jmeta.datasets.types import DataError, Dataset, by_class, make_dataset
from jmeta.errors import first_line
from jmeta.report.arrays import check_regular

MAX_BYTES = 8 * 2**30
_MOST_FEATURES = 2**24
_OWN = re.compile(r"tensorflow_datasets\.core\.features\.\w+\.\w+")
_NAME = re.compile(r"\w+(/[\w.+-]+)?(:[\d.*]+)?")


def load(name: str, root: Path, download: bool = True) -> Dataset:
    """Loads every labeled image of all splits of a TFDS set, by class.

    The name is one of TFDS, such as "mnist" or "cmaterdb/bangla", or the path of a folder that holds a prepared set.
    Omniglot is read from its archives, as `omniglot`. Another set is read where it is prepared in array_record form,
    in `root` or in TFDS's default folder; else, if it may, TFDS downloads and prepares it in `root`, as far as that
    goes without TensorFlow. Images of different sizes are brought to 84x84 by `pictures.fit`.

    Raises:
        DataError: an unknown set, one that is neither prepared nor to be had, or one without images and labels.
    """
    if name == "omniglot":
        return omniglot.load(name, root, download)
    builder = _builder(name, root)
    if not (download or builder.is_prepared()):
        raise DataError(f"tfds:{builder.name} is not prepared in {root}: prepare it there.")
    _prepare(builder, root)
    key = _fingerprint(builder)
    return cache.cached(f"tfds-{builder.name}-{key}", lambda: _read(builder)) if key else _read(builder)


def _builder(name: str, root: Path) -> Any:
    import tensorflow_datasets as tfds

    place = Path(name).expanduser()
    try:
        if (place / "dataset_info.json").is_file():
            _check_features(place)
            return tfds.builder_from_directory(place)
        if not _NAME.fullmatch(name):  # TFDS would fetch and run the code of what it calls communities
            raise ValueError("its own sets alone are taken, by NAME, NAME/CONFIG or NAME:1.0.0")
        for folder in downloads.tfds_folders(root):
            _check_features(folder / re.split("[/:]", name)[0])
        builders = [_quietly(lambda f=f: tfds.builder(name, data_dir=f)) for f in downloads.tfds_folders(root)]
        return next((builder for builder in builders if builder.is_prepared()), builders[0])
    except (ValueError, ImportError, OSError) as error:
        raise DataError(
            f"TFDS has no set {name!r} that can be opened ({first_line(error)}): "
            "choose a name from its catalog, or the folder of a prepared set."
        ) from error


def _check_features(folder: Path) -> None:
    """Refuse features that are not TFDS's own: it would import the modules that they name."""
    for path in folder.rglob("features.json"):
        try:
            check_regular(path)
            if path.stat().st_size > _MOST_FEATURES:
                raise ValueError(f"it has more than {_MOST_FEATURES:,} bytes")
            foreign = sorted(set(_kinds(json.loads(path.read_bytes()))))
        except (OSError, ValueError, RecursionError) as error:
            raise DataError(f"{path} can't be read ({first_line(error)}): prepare the set again.") from error
        if foreign:
            raise DataError(
                f"{path} names features whose code is not TFDS's own, {', '.join(foreign)[:200]}: nothing of it is "
                "run, so save the pictures as an .npz file or a folder."
            )


def _kinds(values: Any) -> Iterator[str]:
    """The classes that a description of features names, all but TFDS's own."""
    if isinstance(values, list):
        for value in values:
            yield from _kinds(value)
    if isinstance(values, dict):
        for key, value in values.items():
            named = key in ("pythonClassName", "python_class_name", "type") and isinstance(value, str)
            if named and not _OWN.fullmatch(value):
                yield value
            yield from _kinds(value)


def _prepare(builder: Any, root: Path) -> None:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import download_manager, extractor, util

    if builder.is_prepared():
        return
    urls = builder.url_infos or {}
    missing = [url for url in urls if downloads.find_in_tfds(builder.name, url, root) is None]
    if missing and not downloads.reachable(missing[0]):
        raise DataError(
            f"tfds:{builder.name} is not prepared in {root}, and there is no network to download "
            f"{', '.join(missing)}: prepare it where there is one, with file_format='array_record'."
        )
    settings = tfds.download.DownloadConfig(manual_dir=root / "downloads" / "manual")
    refusals = (util.DownloadError, download_manager.NonMatchingChecksumError, extractor.ExtractError, AssertionError)
    try:
        builder.download_and_prepare(file_format="array_record", download_config=settings)
    except (OSError, ValueError, ImportError, NotImplementedError, *refusals) as error:
        raise DataError(
            f"tfds:{builder.name} could not be prepared in {root} ({first_line(error)}): many sets need TensorFlow "
            "for this step, so prepare it where that is installed, with file_format='array_record'."
        ) from error


def _fingerprint(builder: Any) -> str | None:
    folder = Path(builder.data_path)
    files = sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else []
    state = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(repr((str(folder), state)).encode()).hexdigest()[:16] if state else None


def _read(builder: Any) -> Dataset:
    name = builder.name
    image_key, label_key = _keys(builder)
    found: dict[int, list[np.ndarray]] = {}
    size = 0
    for feature in _images_in(builder.info.features):
        feature.decode_example_np = partial(_decoded, name, feature.decode_example_np)
    for split in list(builder.info.splits) or ["train"]:
        for example in _examples(builder, split):
            image, label = np.asarray(example[image_key]), int(example[label_key])
            if label < 0:  # how TFDS marks images without a label
                continue
            size += image.nbytes
            if size > MAX_BYTES:
                raise DataError(f"tfds:{name} has more than {MAX_BYTES} bytes of images: save a part of it as an npz.")
            found.setdefault(label, []).append(image if image.ndim == 3 else image[..., None])
    if not found:
        raise DataError(f"tfds:{name} has no labeled images.")
    labels = sorted(found)
    pictures = by_class(_of_one_shape([found[label] for label in labels]))
    return make_dataset(name, pictures, [builder.info.features[label_key].int2str(i) for i in labels])


def _images_in(feature: Any) -> Iterator[Any]:
    """The image features of a description, at any depth."""
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.Image):
        yield feature
    inside = (
        feature.values() if isinstance(feature, tfds.features.FeaturesDict) else [getattr(feature, "feature", None)]
    )
    for each in inside:
        if each is not None:
            yield from _images_in(each)


def _decoded(name: str, decode: Callable[[bytes], Any], image: bytes) -> Any:
    """What TFDS makes of an image, which is of a format that `pictures` takes."""
    try:
        opened(io.BytesIO(image)).close()
        return decode(image)
    except UNREADABLE as error:
        why = first_line(error)
        raise DataError(f"tfds:{name} has an image that can't be read ({why}): prepare the set again.") from error


def _examples(builder: Any, split: str) -> Any:
    try:
        return builder.as_data_source(split)
    except (NotImplementedError, ImportError, OSError, ValueError) as error:
        raise DataError(
            f"tfds:{builder.name} in {builder.data_path} cannot be read ({first_line(error)}): "
            "prepare it again with file_format='array_record'."
        ) from error


def _keys(builder: Any) -> tuple[str, str]:
    import tensorflow_datasets as tfds

    features = dict(builder.info.features)
    labels = [key for key, value in features.items() if isinstance(value, tfds.features.ClassLabel)]
    images = [key for key, value in features.items() if _is_image(value)]
    order = (*(builder.info.supervised_keys or ()), *features)
    if not (images and labels):
        raise DataError(
            f"tfds:{builder.name} is no image classification set, got the features {', '.join(features)}: "
            "it needs a uint8 image and a class label."
        )
    return next(key for key in order if key in images), next(key for key in order if key in labels)


def _is_image(feature: Any) -> bool:
    import tensorflow_datasets as tfds

    if not isinstance(feature, tfds.features.Image | tfds.features.Tensor):
        return False
    return feature.np_dtype == np.uint8 and isinstance(feature.shape, tuple) and len(feature.shape) in (2, 3)


def _of_one_shape(classes: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    shapes = {image.shape for images in classes for image in images}
    if len(shapes) == 1:
        return classes
    shape = (MIXED, MIXED, max(shape[-1] for shape in shapes))
    return [[fit(image, shape) for image in images] for images in classes]


def _quietly(make: Callable[[], Any]) -> Any:
    # TFDS logs a warning for each folder that does not hold the set, which is no news here.
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return make()
    finally:
        logger.setLevel(level)
