"""The index over hybrid embeddings: one writer adds, replaces and removes rows while readers search.

The writer only appends rows; it masks a row that is removed or replaced. A reader takes an `IndexSnapshot` (row count,
mask and buffers of one moment) and keeps it for the whole request. So readers need no lock, a writer never waits for a
reader, and every step of a request sees the same items. A readers-writer lock would block writers for the length of a
batch, and HNSW cannot grow while it is searched. The price is a copy of the mask, one bit a row, for each write.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from service.contract.operation_answers import IndexKind
from service.index.coarse import build_coarse
from service.index.scan import Floats, Mask, Rows, inside
from service.index.snapshot import IndexSnapshot


def pack(flags: NDArray[np.bool_]) -> Mask:
    """The mask of boolean flags [n], one a row."""
    return np.packbits(flags, bitorder="little")


class ItemIndex:
    """Hybrid embeddings by row, for one writer at a time (the caller's lock) and any number of readers (`snapshot`)."""

    def __init__(
        self,
        vectors: Floats,
        orders: Rows,
        split: int,
        kind: IndexKind = "flat",
        ef_search: int = 512,
        probes: int = 64,
    ) -> None:
        """vectors: [n, D]. orders [n]: break ties, smallest first. split: columns of the semantic half.

        Raises BadIndex for a kind that needs more rows.
        """
        n, dim = vectors.shape
        capacity = _capacity(n)
        self._buffer = np.zeros((capacity, dim), np.float32)
        self._buffer[:n] = vectors
        self._orders = np.zeros(capacity, np.int64)
        self._orders[:n] = orders
        self.kind = kind
        coarse = build_coarse(np.ascontiguousarray(vectors, np.float32), kind, ef_search, probes)
        flags = np.ones(n, np.bool_)
        norm = _largest_norm(vectors)
        self.snapshot = IndexSnapshot(n, self._buffer, self._orders, pack(flags), n, norm, split, coarse)

    def update(self, vectors: Floats, orders: Rows, removed: Collection[int] = ()) -> range:
        """Append vectors [m, D] with their orders [m] and mask the rows `removed`, in one step for readers.

        Returns the numbers of the new rows.
        """
        before = self.snapshot
        n = before.n + len(vectors)
        if n > len(self._buffer):
            # Readers keep the old buffers in their snapshots.
            capacity = _capacity(n)
            buffer = np.zeros((capacity, self._buffer.shape[1]), np.float32)
            buffer[: before.n] = self._buffer[: before.n]
            numbers = np.zeros(capacity, np.int64)
            numbers[: before.n] = self._orders[: before.n]
            self._buffer, self._orders = buffer, numbers
        self._buffer[before.n : n] = vectors
        self._orders[before.n : n] = orders
        live = np.zeros((n + 7) >> 3, np.uint8)
        live[: len(before.live)] = before.live
        added = np.arange(before.n, n)
        np.bitwise_or.at(live, added >> 3, _bits(added))
        dead = np.unique(np.fromiter(removed, np.int64, len(removed)))
        dead = dead[inside(live, dead)]
        np.bitwise_and.at(live, dead >> 3, ~_bits(dead))
        self.snapshot = IndexSnapshot(
            n=n,
            vectors=self._buffer,
            orders=self._orders,
            live=live,
            live_count=before.live_count + len(added) - len(dead),
            norm=max(before.norm, _largest_norm(vectors)),
            split=before.split,
            coarse=before.coarse,
        )
        return range(before.n, n)

    def recall(self, queries: Floats, k: int = 10) -> float:
        """The share of the exact k best rows that this kind finds, 0 … 1, over sample queries [b, D]; 1 for flat."""
        if self.kind == "flat":
            return 1.0
        rows, _ = self.snapshot.search(queries, k)
        exact, _ = self.snapshot.search(queries, k, allow=self.snapshot.live)
        hits = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(rows, exact, strict=True))
        return hits / max(1, int((exact >= 0).sum()))


def _bits(rows: Rows) -> Mask:
    """The bit of each row in its byte of a mask."""
    bits: Mask = np.left_shift(1, rows & 7).astype(np.uint8)
    return bits


def _capacity(n: int) -> int:
    return n + max(1024, n // 4)


def _largest_norm(vectors: Floats) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))
