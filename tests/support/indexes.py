"""Indexes of random vectors, and the search that they are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract.operation_answers import IndexKind
from service.index.item_index import ItemIndex
from service.index.scan import Floats


def vectors_of(n: int, dim: int = 12, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def build(vectors: Floats, kind: IndexKind = "flat", **options: Any) -> ItemIndex:
    return ItemIndex(vectors, np.arange(len(vectors)), split=vectors.shape[1] // 2, kind=kind, **options)


def best(vectors: Floats, query: Floats, k: int, allowed: NDArray[np.bool_] | None = None) -> list[int]:
    scores = (vectors.astype(np.float64) * query.astype(np.float64)).sum(axis=1)
    if allowed is not None:
        scores[~allowed] = -np.inf
    order = np.lexsort((np.arange(len(vectors)), -scores))
    return [int(row) for row in order[:k] if scores[row] > -np.inf]
