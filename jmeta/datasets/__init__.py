"""Data sets for meta-learning: examples grouped by class, with named splits."""

from jmeta.datasets.arrays import from_labels as from_labels
from jmeta.datasets.cache import cache_dir as cache_dir
from jmeta.datasets.cache import data_root as data_root
from jmeta.datasets.catalog import Available as Available
from jmeta.datasets.catalog import available as available
from jmeta.datasets.catalog import load as load
from jmeta.datasets.files import from_folder as from_folder
from jmeta.datasets.splits import protocols as protocols
from jmeta.datasets.splits import split as split
from jmeta.datasets.splits import whole_groups as whole_groups
from jmeta.datasets.tables import from_csv as from_csv
from jmeta.datasets.types import DataError as DataError
from jmeta.datasets.types import Dataset as Dataset
from jmeta.datasets.types import Split as Split
from jmeta.datasets.types import make_dataset as make_dataset
