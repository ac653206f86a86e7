"""Data sets that are known by their classes: what each has, what its copies are called, and where they come from."""

from typing import NamedTuple

from jmeta.datasets import cifar
from jmeta.datasets.published import CIFAR100, DIVISIONS, classes_of


class Known(NamedTuple):
    """A data set that is told by its classes.

    Attributes:
        copy: the name of its pictures, which several data sets may be divisions of.
        classes: their names in order, superclass/class where there are superclasses.
        pictures: how many the original has.
        size: height and width that pictures are brought to where nothing else is asked for.
        places: where a copy may be in the folder of data sets, each of names that are read together.
        archive: what the original is called.
        page: of the project.
        tfds: its name in TensorFlow Datasets; empty for none.
        unlabeled: folders whose pictures have no label.
        division: the published one that tables of its classes follow; empty where there are no tables.
    """

    copy: str
    classes: tuple[str, ...]
    pictures: int
    size: int
    places: tuple[tuple[str, ...], ...]
    archive: str
    page: str
    tfds: str = ""
    unlabeled: tuple[str, ...] = ()
    division: str = ""


_CIFAR100 = Known(
    "cifar100",
    CIFAR100,
    60_000,
    cifar.SIZE,
    (
        ("cifar-100-python",),
        (cifar.ARCHIVE,),
        ("cifar100",),
        ("cifar100.zip", "cifar100_rest.zip"),
        ("cifar100.npz",),
    ),
    cifar.ARCHIVE,
    cifar.PAGE,
    "cifar100",
)
_EUROSAT = "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River SeaLake"
_RESISC45 = """
    airplane airport baseball_diamond basketball_court beach bridge chaparral church circular_farmland cloud
    commercial_area dense_residential desert forest freeway golf_course ground_track_field harbor industrial_area
    intersection island lake meadow medium_residential mobile_home_park mountain overpass palace parking_lot railway
    railway_station rectangular_farmland river roundabout runway sea_ice ship snowberg sparse_residential stadium
    storage_tank tennis_court terrace thermal_power_station wetland
"""
_UC_MERCED = """
    agricultural airplane baseballdiamond beach buildings chaparral denseresidential forest freeway golfcourse harbor
    intersection mediumresidential mobilehomepark overpass parkinglot river runway sparseresidential storagetanks
    tenniscourt
"""


def _each(*names: str) -> tuple[tuple[str, ...], ...]:
    return tuple((f"{name}{ending}",) for name in names for ending in ("", ".zip", ".npz"))


KNOWN = {
    "cifar-fs": _CIFAR100,
    "fc100": _CIFAR100,
    "mini-imagenet": Known(
        "mini-imagenet",
        classes_of(DIVISIONS["ravi"]),
        60_000,
        84,
        _each("mini-imagenet", "mini_imagenet", "miniimagenet", "miniImageNet", "miniImagenet"),
        "a folder of its 100 wnids, or images/ with train.csv, val.csv and test.csv,",
        "https://github.com/twitter-research/meta-learning-lstm",
        division="ravi",
    ),
    "tiny-imagenet": Known(
        "tiny-imagenet",
        classes_of(DIVISIONS["meta-dataset"]),
        100_000,
        64,
        _each("tiny-imagenet-200", "tiny-imagenet", "tiny_imagenet"),
        "tiny-imagenet-200.zip",
        "http://cs231n.stanford.edu",
        unlabeled=("val", "test"),
    ),
    "eurosat": Known(
        "eurosat",
        tuple(_EUROSAT.split()),
        27_000,
        64,
        _each("EuroSAT", "EuroSAT_RGB", "eurosat", "2750"),
        "EuroSAT.zip",
        "https://github.com/phelber/EuroSAT",
        "eurosat",
    ),
    "resisc45": Known(
        "resisc45",
        tuple(_RESISC45.split()),
        31_500,
        84,
        _each("NWPU-RESISC45", "RESISC45", "resisc45"),
        "NWPU-RESISC45.rar, unpacked,",
        "https://www.tensorflow.org/datasets/catalog/resisc45",
        "resisc45",
    ),
    "uc-merced": Known(
        "uc-merced",
        tuple(_UC_MERCED.split()),
        2_100,
        84,
        _each("UCMerced_LandUse", "uc_merced", "uc-merced"),
        "UCMerced_LandUse.zip",
        "http://weegee.vision.ucmerced.edu/datasets/landuse.html",
        "uc_merced",
    ),
}
