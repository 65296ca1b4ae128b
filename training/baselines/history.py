"""Histories as weights of items, for methods that sum over the items of a history."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from training.datasets.base import Indices


def weighted_histories(histories: Sequence[Indices], n_items: int, decay: float) -> csr_matrix:
    """Sparse [histories, n_items]: decay^age for each item of a history, age 0 for the latest; repeats add up.

    decay 1 weighs all items the same; decay 0 counts only the latest.
    """
    lengths = np.array([len(history) for history in histories], dtype=np.int64)
    indices = np.concatenate(histories) if histories else np.empty(0, dtype=np.int64)
    ages = np.concatenate([np.arange(length)[::-1] for length in lengths]) if histories else np.empty(0)
    weights = np.power(float(decay), ages).astype(np.float32)  # 0 to the power 0 is 1
    matrix = csr_matrix((weights, indices, np.concatenate([[0], np.cumsum(lengths)])), shape=(len(lengths), n_items))
    matrix.sum_duplicates()
    return matrix
