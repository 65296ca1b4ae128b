"""The index at one moment, as a request searches it.

A flat index of moderate size takes the inner product with every row, adds what neighbours bring
(`service/index/boosts.py`), and looks at the best; so does a search with a filter. The other kinds differ in what
finds the candidates among the rows that were there when the index was built (`service/index/coarse.py`); rows added
since are always scanned exactly, and what neighbours raise joins the candidates where it could reach the best.
Candidates are then scored anew in double precision, so equal embeddings have equal scores wherever they lie,
and ties follow `order`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from service.index.boosts import Boosts
from service.index.coarse import Coarse
from service.index.scan import Doubles, Floats, Mask, Rows, best_of, inner_products, inside, products_with, rounding

_MARGIN = 16  # rows fetched beyond those asked for, so that ties at the end are seen
_TOGETHER = 4  # queries from which on reading the rows once for all of them is quicker than once for each
_CELLS = 4_000_000  # products held at once, to bound memory
_GROUP = 32  # cells whose largest stands for them
_REFINE = 8  # times k that are fetched from an index that is rounded or approximate, to be scored in full


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
        """The k best rows by inner product and boost for each query: (rows, scores), each [b, k], best first.

        queries: [b, D] float32. allow: only rows in this mask. exclude: by query, rows never to be returned. boosts:
        what is added to the scores of some rows after the queries' histories, nothing negative.
        Exact for the kind "flat", wherever `allow` is given, and where another kind finds fewer than k. Fewer rows than
        that: filled up with row −1, score −inf.
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
        within = None if full else mask
        if coarse is None:
            together = max(1, _CELLS // self.n)
            for start in range(0, len(queries), together):
                part = slice(start, start + together)
                raised = boosts
                if boosts is not None and together < len(queries):
                    raised = boosts.histories(start, start + together)
                rows[part], scores[part] = self._best_of_all(queries[part], k, within, banned[part], raised)
            return rows, scores
        fetch = min(available, k * _REFINE + max(map(len, banned), default=0) + _MARGIN)
        pending = list(range(len(queries)))
        while pending and fetch:
            found, rest = self._fetch(queries[pending], fetch, mask, available, coarse)
            unsettled: list[int] = []
            for position, query in enumerate(pending):
                raised = None if boosts is None else boosts.history(query)
                best, exact = self._best(
                    queries[query], found[position], rest[position], raised, k, within, frozenset(banned[query])
                )
                if coarse.approximate and len(best) < k:
                    one = slice(query, query + 1)
                    rows[one], scores[one] = self._best_of_all(queries[one], k, within, banned[one], raised)
                    continue
                rows[query, : len(best)] = best
                scores[query, : len(best)] = exact
                cut = float(exact[-1]) if len(best) == k else -math.inf
                if fetch < available and cut <= rest[position] < math.inf:
                    unsettled.append(query)
            pending = unsettled
            fetch = min(available, 4 * fetch)
        return rows, scores

    def score_parts(self, query: Floats, rows: Rows, boosts: Boosts | None = None) -> tuple[Doubles, Doubles]:
        """The semantic and the ID part of the scores of `rows` [n]; a score is their sum, exactly.

        Each row is summed by itself in double precision, so a score depends on the embedding and the boost alone.
        """
        semantic, own = self._parts(query, rows)
        if boosts is not None:
            more = boosts.of(rows)
            semantic, own = semantic + more[0], own + more[1]
        return semantic, own

    def best_among(self, query: Floats, rows: Rows, added: Doubles, k: int, semantic: bool) -> Rows:
        """The k best of `rows` [c] by inner product, of the semantic halves or of the whole, and what is `added` [c];
        where that is −inf, none.
        """
        k = min(k, int((added > -np.inf).sum()))
        if not k:
            return rows[:0]
        columns = slice(0, self.split) if semantic else slice(None)
        rough = self.vectors[rows, columns] @ query[columns] + added
        # All that rounding could bring among the best are scored anew.
        near = np.flatnonzero(rough >= np.partition(rough, -k)[-k] - 2 * rounding(query[None], self.norm)[0])
        parts = self._parts(query, rows[near])
        exact = (parts[0] if semantic else np.add(*parts)) + added[near]
        return rows[near][self.ranked(exact, rows[near], k)]

    def ranked(self, scores: Doubles, rows: Rows, k: int) -> Rows:
        """Positions of the k best of `scores`, ties by the order of their rows."""
        return np.lexsort((self.orders[rows], -scores))[:k]

    def _best_of_all(
        self,
        queries: Floats,
        k: int,
        mask: Mask | None,
        banned: Sequence[Collection[int]],
        boosts: Boosts | None,
    ) -> tuple[Rows, Doubles]:
        """`search` over all rows, those in `mask`."""
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
        # All that rounding could bring among the best are scored anew.
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
        place = np.arange(len(order)) - of.searchsorted(np.arange(b))[of]
        kept = place < k
        order, of, place = order[kept], of[kept], place[kept]
        rows = np.full((b, k), -1, np.int64)
        scores = np.full((b, k), -np.inf)
        rows[of, place], scores[of, place] = found[order], totals[order]
        return rows, scores

    def _products(self, queries: Floats) -> Floats:
        """Inner products of queries [b, D] with all rows, [b, n]."""
        if len(queries) >= _TOGETHER:
            return products_with(queries, self.vectors, self.n)
        return np.stack([inner_products(query, self.vectors, self.n) for query in queries])

    def _parts(self, queries: Floats, rows: Rows) -> tuple[Doubles, Doubles]:
        """The semantic and the ID part of the inner products of `rows` [m], each with its query [m, D] or all with
        one [D].
        """
        products = np.multiply(self.vectors[rows], queries, dtype=np.float64)
        return products[:, : self.split].sum(axis=1), products[:, self.split :].sum(axis=1)

    def _best(
        self,
        query: Floats,
        found: Rows,
        rest: float,
        boosts: Boosts | None,
        k: int,
        mask: Mask | None,
        banned: frozenset[int],
    ) -> tuple[Rows, Doubles]:
        """The k best rows and their scores, of those that were found by dot product and those with a boost.

        rest: what the dot products of rows that were not found lie below; −inf where all were found.
        """
        rows = np.array([row for row in found.tolist() if row >= 0 and row not in banned], np.int64)
        totals = self._totals(query, rows, boosts)
        if boosts is not None and rest > -math.inf:
            # A row that was not found needs a boost that takes it from below `rest` to the k-th of those that were.
            cut = float(np.partition(totals, -k)[-k]) if len(totals) >= k else -math.inf
            raised = boosts.cells[boosts.total >= cut - rest]
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
        """Candidates [b, m] by dot product, and what the scores of all other rows lie below, [b]."""
        full = None if available == self.n else mask
        rows, rest = coarse.search(queries, fetch, full)
        if coarse.n < self.n:
            # The rows added since: the mask is cut at a byte, and the few bits before `coarse.n` are masked out.
            tail, rough = best_of(queries, self.vectors, coarse.n, self.n, fetch, mask)
            rows, rest = np.hstack([rows, tail]), np.maximum(rest, self._at_most(rough, queries))
        return rows, rest

    def _at_most(self, rough: Floats, queries: Floats) -> Doubles:
        """What the scores of rows that a scan did not return lie below: its last one, but for rounding."""
        return rough[:, -1] + rounding(queries, self.norm)


def _at_least(rough: Floats, k: int) -> Floats:
    """A bound [b] that at least k of each query's cells [b, n] reach, and few others; −inf where there are not so many.

    The k-th largest of the largest of each group of cells: a sort of all of them takes ten times as long.
    """
    b, n = rough.shape
    if k >= n:
        return np.full(b, -np.inf, np.float32)
    members = max(1, min(_GROUP, n // (4 * k)))
    groups = n // members
    largest = rough[:, : members * groups].reshape(b, members, groups).max(axis=1)
    bound: Floats = np.partition(largest, groups - k, axis=1)[:, groups - k]
    return bound
