"""A moment: all items as one request sees them, from its start to its end. Immutable; readers never wait.

If an id leads beyond the moment, because a writer has moved it to a newer row, the moment follows `previous` back to
the row that was valid then. So ids, exclusions and search agree, whatever is written meanwhile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from model.items import clean_text
from model.words import Bags
from service.catalogue.generation import Generation, key_of
from service.catalogue.records import Record
from service.contract.requests import FilterValue
from service.index.boosts import Boosts
from service.index.item_index import pack
from service.index.neighbour_index import ItemLinks
from service.index.scan import Doubles, Floats, Mask, Rows, inside
from service.index.snapshot import IndexSnapshot


class Moment:
    """All items at one moment. Immutable."""

    def __init__(self, index: IndexSnapshot, generation: Generation) -> None:
        self.index = index
        self._generation = generation
        self._neighbour_index = generation.neighbour_index

    def row(self, item_id: str) -> int | None:
        """The row of an item; None if it is not served."""
        row = self._generation.row_of.get(item_id, -1)
        while row >= self.index.n:
            row = self._generation.records[row].previous
        return row if row >= 0 and self.is_served(row) else None

    @property
    def generation(self) -> object:
        """The same object for all moments that number their rows alike."""
        return self._generation

    def is_served(self, row: int) -> bool:
        """Whether the row is an item now; False for a replaced or deleted one."""
        return bool(self.index.live[row >> 3] >> (row & 7) & 1)

    def record(self, row: int) -> Record:
        return self._generation.records[row]

    def boosts(self, histories: Sequence[Sequence[int]]) -> Boosts | None:
        """What neighbours add to scores after each history of rows, oldest first. None if nothing is added."""
        records = self._generation.records
        return self._neighbour_index.boosts([[records[row].links for row in rows] for rows in histories], self.index.n)

    def boosts_if_added(self, links: ItemLinks, histories: Sequence[Sequence[int]]) -> tuple[Doubles, Doubles]:
        """What neighbours would add to the score of an item that is new, or has a new text, after each history of rows:
        to the semantic part [histories] and to the ID part [histories].
        """
        records = self._generation.records
        semantic, own = self._neighbour_index.boosts_if_added(
            links, [[records[row].links for row in rows] for rows in histories]
        )
        row = self._neighbour_index.row_of(links.index)
        if row >= 0 and (boosts := self.boosts(histories)) is not None:
            own = own + boosts.of(row + np.arange(len(histories)) * self.index.n)[1]  # the item keeps its trained ID
        return semantic, own

    def cold_rows(self, allow: Mask | None, exclude: Collection[int]) -> tuple[Rows, NDArray[np.bool_], Bags]:
        """Rows [c] of cold items, flags [c] of those that may be returned, and the bags of their texts [c, words]."""
        rows, bags = self._generation.cold_items.below(self.index.n)
        mask = self.index.live if allow is None else self.index.live & allow
        return rows, inside(mask, rows) & ~np.isin(rows, list(exclude)), bags

    def bags(self, rows: Sequence[int]) -> Bags:
        """The bags of the texts of rows [n, words]. They have no words if the artifact keeps none."""
        generation = self._generation
        return generation.cold_items.bags([generation.records[row].links for row in rows])

    def trained(self, allow: Mask | None) -> Mask:
        """Those of the allowed rows whose items are not cold."""
        rows, _ = self._generation.cold_items.below(self.index.n)
        flags = np.ones(self.index.n, np.bool_)
        flags[rows] = False
        return pack(flags) & (self.index.live if allow is None else allow)

    def shares(self, codes: tuple[int, ...]) -> int:
        """How many items have exactly these codes. 0 for no codes (an artifact of ID tokens alone)."""
        return self._generation.sharing[codes] if codes else 0

    def allowed(self, filters: Mapping[str, Sequence[FilterValue]]) -> Mask:
        """The rows that match every attribute in `filters`, each by one of its values."""
        flags = np.ones(self.index.n, np.bool_)
        for name, values in filters.items():
            found = np.zeros(self.index.n, np.bool_)
            postings = self._generation.postings.get(clean_text(name), {})
            for value in values:
                rows = np.array(postings.get(_normalized(value), ()), np.int64)
                found[rows[rows < self.index.n]] = True
            flags &= found
        return pack(flags)

    def unknown(self, filters: Mapping[str, Sequence[FilterValue]]) -> list[str]:
        """The names in `filters` that no item has as an attribute: most likely, they are misspelt."""
        return [name for name, values in filters.items() if not self._has(name, values)]

    def _has(self, name: str, values: Sequence[FilterValue]) -> bool:
        postings = self._generation.postings.get(clean_text(name), {})
        wanted = (postings.get(_normalized(value), ()) for value in values)  # first: some item mostly has one
        every = (rows for found in (wanted, list(postings.values())) for rows in found)  # a writer may add to postings
        return any(row < self.index.n and self.is_served(row) for rows in every for row in rows)

    def popular(self, k: int, allow: Mask | None, exclude: Collection[int]) -> list[int]:
        """The k rows with most interactions in training, ties by order."""
        chosen: list[int] = []
        flags = None if allow is None else np.unpackbits(allow, count=self.index.n, bitorder="little")
        for row in self._by_popularity:
            if len(chosen) == k:
                break
            if row not in exclude and (flags is None or flags[row]):
                chosen.append(int(row))
        return chosen

    def alike(self, row: int, k: int, semantic: bool) -> tuple[Rows, Doubles]:
        """The k rows closest to `row` by cosine, and their cosines: of the semantic half or of the whole."""
        return self.nearest(self.index.vectors[row], k, semantic, without=row)

    def nearest(self, vector: Floats, k: int, semantic: bool, without: int | None = None) -> tuple[Rows, Doubles]:
        """The k rows closest to an embedding [D] by cosine, except the row `without`, and their cosines: of the
        semantic half or of the whole.
        """
        index = self.index
        columns = slice(0, index.split) if semantic else slice(None)
        vectors = index.vectors[: index.n, columns]
        target = vector[columns]
        norms = self._semantic_norms if semantic else self._norms
        rough = vectors @ target / np.maximum(norms * np.sqrt(target @ target), np.finfo(np.float32).tiny)
        rough[self._dead] = -np.inf
        k = min(k, index.live_count)
        if without is not None:
            k = min(k, index.live_count - int(self.is_served(without)))
            rough[without] = -np.inf
        if k < 1:
            return np.empty(0, np.int64), np.empty(0)
        # Score again, each by itself, all rows that rounding could have brought among the best: so ties are ties.
        cut = np.partition(rough, -k)[-k] - 1e-4
        near = np.flatnonzero(rough >= cut)
        exact = vectors[near].astype(np.float64)
        lengths = np.sqrt((exact * exact).sum(axis=1) * (target.astype(np.float64) ** 2).sum())
        cosines = (exact * target.astype(np.float64)).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
        best = index.ranked(cosines, near, k)
        return near[best], cosines[best]

    def listing(self, after: int = -1) -> Iterator[Record]:
        """The items with an `order` above `after`, in that order."""
        rows = self.in_order
        start = int(np.searchsorted(self.index.orders[rows], after, side="right"))
        return (self._generation.records[row] for row in rows[start:])

    @cached_property
    def rows(self) -> Rows:
        """The rows of all items."""
        return np.flatnonzero(np.unpackbits(self.index.live, count=self.index.n, bitorder="little"))

    @cached_property
    def _dead(self) -> NDArray[np.bool_]:
        dead: NDArray[np.bool_] = np.unpackbits(self.index.live, count=self.index.n, bitorder="little") == 0
        return dead

    @cached_property
    def in_order(self) -> Rows:
        """The rows of all items, in the order of the items."""
        rows = self.rows
        ordered: Rows = rows[np.argsort(self.index.orders[rows], kind="stable")]
        return ordered

    @cached_property
    def _by_popularity(self) -> Rows:
        rows = self.in_order
        counts = np.array([self._generation.records[row].popularity for row in rows], np.int64)
        ordered: Rows = rows[np.argsort(-counts, kind="stable")]
        return ordered

    @cached_property
    def _norms(self) -> Floats:
        return _lengths(self.index.vectors[: self.index.n])

    @cached_property
    def _semantic_norms(self) -> Floats:
        return _lengths(self.index.vectors[: self.index.n, : self.index.split])


def _normalized(value: FilterValue) -> tuple[bool, FilterValue]:
    """The key of a filter's value, cleaned as the values of items are: the text that registered a value finds it."""
    return key_of(clean_text(value) if isinstance(value, str) else value)


def _lengths(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return lengths
