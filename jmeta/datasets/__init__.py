"""Data sets for meta-learning: every one is a single uint8 array grouped by class, with named splits."""

from jmeta.datasets.types import DataError as DataError
from jmeta.datasets.types import Dataset as Dataset
from jmeta.datasets.types import Split as Split
from jmeta.datasets.types import make_dataset as make_dataset
