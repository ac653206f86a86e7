"""Data sets for meta-learning: every one is a single uint8 array grouped by class, with named splits."""

from jmeta.datasets.cache import cache_dir as cache_dir
from jmeta.datasets.cache import data_root as data_root
from jmeta.datasets.catalog import Available as Available
from jmeta.datasets.catalog import available as available
from jmeta.datasets.catalog import load as load
from jmeta.datasets.splits import protocols as protocols
from jmeta.datasets.splits import split as split
from jmeta.datasets.types import DataError as DataError
from jmeta.datasets.types import Dataset as Dataset
from jmeta.datasets.types import Split as Split
from jmeta.datasets.types import make_dataset as make_dataset
