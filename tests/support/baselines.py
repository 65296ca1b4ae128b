"""Tiny data sets and baselines of the baseline tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from model.items import Item
from training.datasets.base import Dataset, DatasetReport
from training.evaluate.splits import EvaluationCases


def dataset_of(sequences: Sequence[Sequence[int]], n_items: int, items: list[Item] | None = None) -> Dataset:
    """A data set of these sequences; items get a title each where none are given."""
    items = items or [Item(f"item-{number}", title=f"word{number} thing") for number in range(n_items)]
    rows = [np.array(row, dtype=np.int32) for row in sequences]
    users = [f"user-{number}" for number in range(len(rows))]
    return Dataset("tiny", users, items, rows, None, DatasetReport("test", "test", []))


def cases_of(histories: Sequence[Sequence[int]], targets: Sequence[int]) -> EvaluationCases:
    rows = [np.array(row, dtype=np.int32) for row in histories]
    return EvaluationCases(np.arange(len(rows), dtype=np.int32), rows, np.array(targets, dtype=np.int32))
