"""The index at one moment, as a request searches it.

A search of a flat index of moderate size, or one with a filter, takes the inner product with every row, adds the
boosts and keeps the best. The other kinds let a coarse index (`service.index.coarse`) find candidates among the rows
that it was built from. The search scans the rows added since exactly. Rows with a boost join the candidates where they
could reach the best.

The search scores its candidates again in double precision. So equal embeddings have equal scores in any row, and ties
follow `orders`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from model.chunks import row_chunks
from service.index.boosts import Boosts
from service.index.coarse import Coarse
from service.index.scan import Doubles, Floats, Mask, Rows, best_of, inner_products, inside, products_with, rounding

_MARGIN = 16  # rows fetched beyond those asked for, so that the search sees ties at the end
_ONE_PRODUCT = 4  # from so many queries on, one matrix product is quicker than a product for each
_CELLS = 4_000_000  # products in memory at once
_GROUP = 32  # cells of which only the largest is compared
_REFINE = 8  # a coarse index is asked for so many times k candidates


@dataclass(frozen=True, slots=True)
class IndexSnapshot:
    """The index at one moment; immutable. `n` rows, of which those in `live` can be found."""

    n: int
    vectors: Floats  # [capacity, D]; rows below n never change
    orders: Rows  # [capacity]
    live: Mask
    live_count: int
    norm: float  # the largest length of a row
    split: int  # columns of the semantic half
    coarse: Coarse | None

    def search(
        self,
        queries: Floats,
        k: int,
        allow: Mask | None = None,
        exclude: Sequence[Collection[int]] | None = None,
        boosts: Boosts | None = None,
    ) -> tuple[Rows, Doubles]:
        """The k best rows for each query by inner product plus boost: (rows, scores), each [b, k], best first.

        queries: [b, D] float32. allow: the search returns only rows in this mask. exclude: for each query, rows that it
        never returns. boosts: for the queries' histories, none negative. Where fewer than k rows are left, row −1 and
        score −inf fill up.

        The search is exact for the kind "flat", for every kind with `allow`, and where another kind finds fewer than k.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        mask = self.live if allow is None else self.live & allow
        available = self.live_count if allow is None else int(np.bitwise_count(mask).sum())
        banned = exclude or [()] * len(queries)
        full = available == self.n
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf)
        if not k or not available:
            return rows, scores
        coarse = self.coarse if allow is None else None
        allowed = None if full else mask
        if coarse is None:
            for part in row_chunks(len(queries), self.n, _CELLS):
                raised = boosts
                if boosts is not None and part != slice(0, len(queries)):
                    raised = boosts.histories(part.start, part.stop)
                rows[part], scores[part] = self._best_of_all(queries[part], k, allowed, banned[part], raised)
            return rows, scores
        fetch = min(available, k * _REFINE + max(map(len, banned), default=0) + _MARGIN)
        pending = list(range(len(queries)))
        while pending and fetch:
            found, limit = self._fetch(queries[pending], fetch, mask, available, coarse)
            unsettled: list[int] = []
            for position, query in enumerate(pending):
                raised = None if boosts is None else boosts.history(query)
                best, exact = self._best(
                    queries[query], found[position], limit[position], raised, k, allowed, frozenset(banned[query])
                )
                if coarse.approximate and len(best) < k:
                    one = slice(query, query + 1)
                    rows[one], scores[one] = self._best_of_all(queries[one], k, allowed, banned[one], raised)
                    continue
                rows[query, : len(best)] = best
                scores[query, : len(best)] = exact
                cut = float(exact[-1]) if len(best) == k else -math.inf
                if fetch < available and cut <= limit[position] < math.inf:
                    unsettled.append(query)
            pending = unsettled
            fetch = min(available, 4 * fetch)
        return rows, scores

    def score_parts(self, query: Floats, rows: Rows, boosts: Boosts | None = None) -> tuple[Doubles, Doubles]:
        """The semantic and the ID part of the scores of `rows` [n], each [n]; a score is exactly their sum.

        Each row is summed alone in double precision, so a score depends on nothing but the embedding and the boost.
        """
        semantic, own = self._parts(query, rows)
        if boosts is not None:
            more = boosts.of(rows)
            semantic, own = semantic + more[0], own + more[1]
        return semantic, own

    def best_among(self, query: Floats, rows: Rows, added: Doubles, k: int, semantic: bool) -> Rows:
        """The k best of `rows` [c] by inner product plus `added` [c]; −inf there leaves a row out.

        semantic: compare the semantic halves alone, not the whole embeddings.
        """
        k = min(k, int((added > -np.inf).sum()))
        if not k:
            return rows[:0]
        columns = slice(0, self.split) if semantic else slice(None)
        rough = self.vectors[rows, columns] @ query[columns] + added
        # Score every row again that is among the best but for rounding.
        near = np.flatnonzero(rough >= np.partition(rough, -k)[-k] - 2 * rounding(query[None], self.norm)[0])
        parts = self._parts(query, rows[near])
        exact = (parts[0] if semantic else np.add(*parts)) + added[near]
        return rows[near][self.ranked(exact, rows[near], k)]

    def ranked(self, scores: Doubles, rows: Rows, k: int) -> Rows:
        """The positions of the k best of `scores` [n], ties by the order of their rows [n]."""
        return np.lexsort((self.orders[rows], -scores))[:k]

    def _best_of_all(
        self,
        queries: Floats,
        k: int,
        mask: Mask | None,
        banned: Sequence[Collection[int]],
        boosts: Boosts | None,
    ) -> tuple[Rows, Doubles]:
        """`search` over all rows in `mask`, without a coarse index."""
        b, n = len(queries), self.n
        rough = self._products(queries)
        slack = rounding(queries, self.norm)
        cells = rough.reshape(-1)
        if boosts is not None:
            total = boosts.total
            cells[boosts.cells] = cells.take(boosts.cells) + total
            slack += 2.0**-23 * float(total.max(initial=0.0))
        if mask is not None:
            rough[:, np.unpackbits(mask, count=n, bitorder="little") == 0] = -np.inf
        cells[[at * n + row for at, rows in enumerate(banned) for row in rows]] = -np.inf
        # Score every row again that is among the best but for rounding.
        cut = (_at_least(rough, k) - 2 * slack).astype(np.float32)
        np.nextafter(cut, np.float32(-np.inf), out=cut)
        near = np.flatnonzero((rough >= cut[:, None]) & (rough > -np.inf))
        of = near // n
        found = near - of * n
        semantic, own = self._parts(queries[of], found)
        if boosts is not None:
            boosts.add_to(near, semantic, own, cells.take(boosts.cells) >= cut.min())
        totals = semantic + own
        order = np.lexsort((self.orders[found], -totals, of))
        of = of[order]
        rank = np.arange(len(order)) - of.searchsorted(np.arange(b))[of]
        kept = rank < k
        order, of, rank = order[kept], of[kept], rank[kept]
        rows = np.full((b, k), -1, np.int64)
        scores = np.full((b, k), -np.inf)
        rows[of, rank], scores[of, rank] = found[order], totals[order]
        return rows, scores

    def _products(self, queries: Floats) -> Floats:
        """Inner products of queries [b, D] with all rows, [b, n]."""
        if len(queries) >= _ONE_PRODUCT:
            return products_with(queries, self.vectors, self.n)
        return np.stack([inner_products(query, self.vectors, self.n) for query in queries])

    def _parts(self, queries: Floats, rows: Rows) -> tuple[Doubles, Doubles]:
        """The semantic and the ID part of the inner products of `rows` [m], each [m].

        queries: one for each row [m, D], or one for all [D].
        """
        products = np.multiply(self.vectors[rows], queries, dtype=np.float64)
        return products[:, : self.split].sum(axis=1), products[:, self.split :].sum(axis=1)

    def _best(
        self,
        query: Floats,
        found: Rows,
        limit: float,
        boosts: Boosts | None,
        k: int,
        mask: Mask | None,
        banned: frozenset[int],
    ) -> tuple[Rows, Doubles]:
        """The k best rows and their scores, among the rows `found` by inner product and the rows with a boost.

        limit: an upper bound on the inner products of all rows that were not found; −inf where all were.
        """
        rows = np.array([row for row in found.tolist() if row >= 0 and row not in banned], np.int64)
        totals = self._totals(query, rows, boosts)
        if boosts is not None and limit > -math.inf:
            # A row that was not found needs a boost that lifts it from `limit` or less to the k-th best found.
            cut = float(np.partition(totals, -k)[-k]) if len(totals) >= k else -math.inf
            raised = boosts.cells[boosts.total >= cut - limit]
            if mask is not None:
                raised = raised[inside(mask, raised)]
            known = banned.union(rows.tolist())
            more = np.array([row for row in raised.tolist() if row not in known], np.int64)
            if len(more):
                totals = np.concatenate([totals, self._totals(query, more, boosts)])
                rows = np.concatenate([rows, more])
        best = self.ranked(totals, rows, k)
        return rows[best], totals[best]

    def _totals(self, query: Floats, rows: Rows, boosts: Boosts | None) -> Doubles:
        semantic, own = self.score_parts(query, rows, boosts)
        return semantic + own

    def _fetch(self, queries: Floats, fetch: int, mask: Mask, available: int, coarse: Coarse) -> tuple[Rows, Doubles]:
        """Candidates [b, m] by inner product, and an upper bound [b] on the inner products of all other rows."""
        full = None if available == self.n else mask
        rows, limit = coarse.search(queries, fetch, full)
        if coarse.n < self.n:
            # Scan the rows added since.
            tail, rough = best_of(queries, self.vectors, coarse.n, self.n, fetch, mask)
            # Rows that the scan leaves out lie below its last one, but for rounding.
            rows, limit = np.hstack([rows, tail]), np.maximum(limit, rough[:, -1] + rounding(queries, self.norm))
        return rows, limit


def _at_least(rough: Floats, k: int) -> Floats:
    """A bound [b] that at least k of each query's cells [b, n] reach, and few others; −inf for k or fewer cells.

    It is the k-th largest among the largest of each group of cells. To sort all cells takes ten times as long.
    """
    b, n = rough.shape
    if k >= n:
        return np.full(b, -np.inf, np.float32)
    members = max(1, min(_GROUP, n // (4 * k)))
    groups = n // members
    largest = rough[:, : members * groups].reshape(b, members, groups).max(axis=1)
    bound: Floats = np.partition(largest, groups - k, axis=1)[:, groups - k]
    return bound
