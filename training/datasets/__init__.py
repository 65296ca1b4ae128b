"""Readers of interactions and items, to one `Dataset`; splits; validation with file and line."""

from training.datasets.base import Dataset, DatasetReport
from training.datasets.columns import ColumnMap
from training.datasets.load import load_dataset
from training.datasets.problems import DatasetError, Problem
from training.datasets.write import write_dataset
from training.evaluate.splits import Split, cold_holdout, leave_one_out

__all__ = [
    "ColumnMap",
    "Dataset",
    "DatasetError",
    "DatasetReport",
    "Problem",
    "Split",
    "cold_holdout",
    "leave_one_out",
    "load_dataset",
    "write_dataset",
]
