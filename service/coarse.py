"""The approximate kinds of index: HNSW and IVF-PQ, by FAISS, over the rows that were there when they were built."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from service.settings import IndexKind

Floats = NDArray[np.float32]
Rows = NDArray[np.int64]
Mask = NDArray[np.uint8]

_faiss: Any = faiss  # its type stubs leave out or misname the search parameters

_MIN_IVFPQ = 1024  # below, product quantization has too little to learn from


class BadIndex(ValueError):
    """An index that cannot be built as asked."""


class Coarse:
    """An approximate index of the first n rows; immutable once built."""

    def __init__(
        self, n: int, index: faiss.Index, params: Callable[[faiss.IDSelector | None], faiss.SearchParameters]
    ) -> None:
        self.n = n
        self._index = index
        self._params = params

    def search(self, queries: Floats, fetch: int, mask: Mask | None) -> tuple[Rows, Floats]:
        selector = None if mask is None else faiss.IDSelectorBitmap(self.n, faiss.swig_ptr(mask))
        scores, rows = self._index.search(queries, min(fetch, self.n), params=self._params(selector))
        return rows, scores


def build_coarse(vectors: Floats, kind: IndexKind, ef_search: int, probes: int) -> Coarse | None:
    """The index of a kind over vectors [n, D]; None for "flat". Raises BadIndex for a kind that does not fit."""
    n, dim = vectors.shape
    if kind == "flat":
        return None
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(dim, 32, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = 200
        graph.add(vectors)
        return Coarse(n, graph, lambda sel: _faiss.SearchParametersHNSW(efSearch=ef_search, sel=sel))
    if n < _MIN_IVFPQ:
        raise BadIndex(f"KINDRED_INDEX=ivfpq needs at least {_MIN_IVFPQ} items, the artifact has {n}: use flat")
    cells = max(1, min(int(4 * math.sqrt(n)), n // 39))
    parts = next(parts for parts in range(dim // 4 or 1, 0, -1) if dim % parts == 0)
    inverted = faiss.IndexIVFPQ(
        faiss.IndexFlatIP(dim), dim, cells, parts, 8 if n >= 39 * 256 else 4, faiss.METRIC_INNER_PRODUCT
    )
    inverted.cp.seed = 0
    inverted.train(vectors)
    inverted.add(vectors)
    return Coarse(n, inverted, lambda sel: _faiss.SearchParametersIVF(nprobe=probes, sel=sel))
