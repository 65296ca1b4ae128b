"""Readers of interactions and items into one `Dataset`; they name every problem with file and line.

May import config and `model`.
"""

from training.datasets.base import Dataset, DatasetReport
from training.datasets.columns import ColumnMap
from training.datasets.load import load_dataset
from training.datasets.problems import DatasetError, Problem
from training.datasets.write import write_dataset

__all__ = [
    "ColumnMap",
    "Dataset",
    "DatasetError",
    "DatasetReport",
    "Problem",
    "load_dataset",
    "write_dataset",
]
