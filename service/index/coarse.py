"""Coarse indexes: FAISS indexes that find candidates among the rows that they were built from.

"hnsw" and "ivfpq" are approximate. A large "flat" catalogue is rounded to a byte a dimension: a quarter of the memory,
and a scan spends its time on reading memory. The index knows how far rounding moved a row at most, so a search can tell
when it is exact.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import faiss
import numpy as np

from service.contract.operation_answers import IndexKind
from service.index.scan import Doubles, Floats, Mask, Rows, lengths, rounding_of_unit

_faiss: Any = faiss  # its type stubs leave out or misname the search parameters

_MIN_ROUNDED = 32_768  # fewer rows fit in the processor's cache, and the scan is quicker without rounding
_MIN_IVFPQ = 1024  # product quantization cannot learn from fewer rows
_LEARNED_FROM = 64  # rows a cell; FAISS takes 256, which is slower to build and finds no more
_BLOCK = 16_384  # rows rounded at once, to bound memory


class BadIndex(ValueError):
    """The settings ask for an index that cannot be built."""


class Coarse:
    """An index of the first n rows; immutable once built.

    error: the largest distance between a row and its rounded copy in the index. None for an approximate kind, whose
    candidates a search trusts as long as there are as many as it asked for. scale [D]: the unit of each dimension in
    the index.
    """

    def __init__(
        self,
        n: int,
        index: faiss.Index,
        params: Callable[[faiss.IDSelector | None], faiss.SearchParameters],
        error: float | None = None,
        scale: Floats | None = None,
    ) -> None:
        self.n = n
        self.error = error or 0.0
        self.approximate = error is None
        self._index = index
        self._params = params
        self._scale = scale

    def search(self, queries: Floats, fetch: int, mask: Mask | None) -> tuple[Rows, Doubles]:
        """Candidate rows [b, min(fetch, n)], filled up with −1, and an upper bound [b] on the scores of all others.

        The bound is +inf where an approximate kind found fewer rows than asked for: it knows nothing of the others.
        """
        scaled = queries if self._scale is None else queries * self._scale
        selector = None if mask is None else faiss.IDSelectorBitmap(self.n, faiss.swig_ptr(mask))
        scores, rows = self._index.search(scaled, min(fetch, self.n), params=self._params(selector))
        if self.approximate:
            return rows, np.where(rows[:, -1] < 0, np.inf, scores[:, -1].astype(np.float64))
        if fetch >= self.n:
            return rows, np.full(len(queries), -np.inf)
        return rows, scores[:, -1] + self.error * lengths(queries)


def build_coarse(vectors: Floats, kind: IndexKind, ef_search: int, probes: int) -> Coarse | None:
    """The coarse index of a kind over vectors [n, D]; None for "flat" with few rows, which need none.

    Raises BadIndex for a kind that needs more rows.
    """
    n, dim = vectors.shape
    if kind == "flat":
        return None if n < _MIN_ROUNDED else _rounded(vectors)
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
    inverted.cp.max_points_per_centroid = _LEARNED_FROM
    inverted.train(vectors)
    inverted.add(vectors)
    return Coarse(n, inverted, lambda sel: _faiss.SearchParametersIVF(nprobe=probes, sel=sel))


def _rounded(vectors: Floats) -> Coarse:
    """Every row rounded to a byte a dimension, each dimension in units of its own largest value."""
    n, dim = vectors.shape
    low, high = vectors.min(axis=0), vectors.max(axis=0)
    scale = np.maximum(np.maximum(-low, high), np.finfo(np.float32).tiny)
    index = faiss.IndexScalarQuantizer(dim, faiss.ScalarQuantizer.QT_8bit_uniform, faiss.METRIC_INNER_PRODUCT)
    ends = (low / scale).min(), (high / scale).max()
    index.train(np.repeat(np.array(ends, np.float32)[:, None], dim, axis=1))  # it learns the range, nothing else
    error = 0.0
    for start in range(0, n, _BLOCK):
        part = vectors[start : start + _BLOCK]
        index.add(np.ascontiguousarray(part / scale))
        rounded = index.reconstruct_n(start, len(part)) * scale
        error = max(error, float(lengths(part - rounded).max()))
    error += rounding_of_unit(dim) * float(lengths(vectors).max())
    return Coarse(n, index, lambda sel: _faiss.SearchParameters(sel=sel), error, scale)
