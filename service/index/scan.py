"""Reading every row with FAISS: all inner products of one query, or the best of some rows."""

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
    """Which of rows [n] are in the mask, [n]."""
    found: NDArray[np.bool_] = (mask[rows >> 3] >> (rows & 7).astype(np.uint8) & 1).view(np.bool_)
    return found


def inner_products(query: Floats, vectors: Floats, n: int) -> Floats:
    """Inner products [n] of query [D] with the first n rows of vectors [capacity, D], both contiguous."""
    out = np.empty(n, np.float32)
    pointers = map(faiss.swig_ptr, (out, query, vectors))
    _faiss.fvec_inner_products_ny(*pointers, vectors.shape[1], n)
    return out


def products_with(queries: Floats, vectors: Floats, n: int) -> Floats:
    """Inner products [b, n] of queries [b, D] with the first n rows of vectors, which are read from memory once."""
    out = np.empty((len(queries), n), np.float32)
    # Not NumPy's product: with OpenBLAS, thin matrices take it twice as long as PyTorch with MKL.
    torch.mm(torch.from_numpy(queries), torch.from_numpy(vectors)[:n].T, out=torch.from_numpy(out))
    return out


def best_of(queries: Floats, vectors: Floats, begin: int, end: int, k: int, mask: Mask | None) -> tuple[Rows, Floats]:
    """Exact search of the rows begin … end − 1 by inner product: (rows, scores), each [b, k]; row −1 fills up."""
    # FAISS numbers rows from where the scan begins; starting at a multiple of 8 keeps the mask's bytes in
    # step.
    start = begin & ~7
    count = end - start
    scores = np.empty((len(queries), k), np.float32)
    rows = np.empty((len(queries), k), np.int64)
    selector = None
    if mask is not None:
        mask = np.ascontiguousarray(mask[start >> 3 :])
        if begin > start:
            mask = mask.copy()
            mask[0] &= 0xFF << (begin - start) & 0xFF
        selector = faiss.IDSelectorBitmap(count, faiss.swig_ptr(mask))
    faiss.knn_inner_product(
        faiss.swig_ptr(queries),
        faiss.swig_ptr(vectors[start:]),
        vectors.shape[1],
        len(queries),
        count,
        k,
        faiss.swig_ptr(scores),
        faiss.swig_ptr(rows),
        selector,
    )
    if start:
        rows[rows >= 0] += start
    return rows, scores


def rounding(queries: Floats, norm: float) -> Doubles:
    """By how much dot products of queries [b, D] with rows up to `norm` long may be off in single precision, [b]."""
    # Not `lengths`, whose call takes as long as all of a search's smaller steps; the copy is as small as the queries.
    squares = np.add.reduce(np.square(queries, dtype=np.float64), axis=1)
    return np.asarray(rounding_of_unit(queries.shape[1]) * norm * np.sqrt(squares))


def rounding_of_unit(dim: int) -> float:
    return 2 * dim * 2.0**-23


def lengths(vectors: Floats) -> Doubles:
    """Lengths of vectors [b, D], in double precision."""
    return np.asarray(np.sqrt(np.einsum("nd,nd->n", vectors, vectors, dtype=np.float64)))
