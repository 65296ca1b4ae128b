"""Scans of all rows: inner products of queries with every row, the best of a range of rows, and masks of rows."""

from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.uint8]
"""Bit r & 7 of byte r >> 3 says whether row r may be found: the layout of FAISS's IDSelectorBitmap."""

_faiss: Any = faiss  # its type stubs leave this function out


def inside(mask: Mask, rows: Rows) -> NDArray[np.bool_]:
    """For each of rows [n] whether it is in the mask, [n]."""
    found: NDArray[np.bool_] = (mask[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).view(np.bool_)
    return found


def inner_products(query: Floats, vectors: Floats, n: int) -> Floats:
    """Inner products [n] of query [D] with the first n rows of vectors [capacity, D], both contiguous."""
    out = np.empty(n, np.float32)
    pointers = map(faiss.swig_ptr, (out, query, vectors))
    _faiss.fvec_inner_products_ny(*pointers, vectors.shape[1], n)
    return out


def products_with(queries: Floats, vectors: Floats, n: int) -> Floats:
    """Inner products [b, n] of queries [b, D] with the first n rows of vectors, read from memory once for all."""
    out = np.empty((len(queries), n), np.float32)
    # On thin matrices NumPy's product with OpenBLAS takes twice as long as PyTorch's with MKL.
    torch.mm(torch.from_numpy(queries), torch.from_numpy(vectors)[:n].T, out=torch.from_numpy(out))
    return out


def best_of(queries: Floats, vectors: Floats, begin: int, end: int, k: int, mask: Mask) -> tuple[Rows, Floats]:
    """The k best rows of `mask` in begin … end − 1 by inner product: (rows, scores), each [b, k]; row −1 fills up."""
    # FAISS numbers rows from the start of the scan. A start at a multiple of 8 keeps the bytes of the mask in step; the
    # mask hides the few rows before `begin`.
    start = begin & ~7
    count = end - start
    scores = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    mask = mask[start >> 3 :].copy()
    mask[0] &= 0xFF << (begin - start) & 0xFF
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(vectors[start:]),
        vectors.shape[1],
        len(queries),
        count,
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(rows),
        faiss.IDSelectorBitmap(count, faiss.swig_ptr(mask)),
    )
    if start:
        rows[rows >= 0] += start
    return rows, scores


def rounding(queries: Floats, norm: float) -> Doubles:
    """The largest rounding error [b] of inner products of queries [b, D] with rows up to `norm` long, in float32."""
    # Calling `lengths` takes as long as all smaller steps of a search. The copy here is as small as the queries.
    squares = np.add.reduce(np.square(queries, dtype=np.float64), axis=1)
    return np.asarray(rounding_of_unit(queries.shape[1]) * norm * np.sqrt(squares))


def rounding_of_unit(dim: int) -> float:
    """The same for a query and a row of length 1 with `dim` dimensions."""
    return 2 * dim * 2.0**-23


def lengths(vectors: Floats) -> Doubles:
    """The lengths [b] of vectors [b, D], in double precision."""
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))
