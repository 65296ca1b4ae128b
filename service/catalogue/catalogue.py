"""The items that are served: records beside the index, by row, with the same snapshot rule.

A `Moment` is what a request sees from its start to its end. Writers append records and vectors, let the ids
point at their new rows, and then publish the next moment; a reader whose id leads beyond its own moment goes
back along `previous` to the row that was valid then. So ids, exclusions and search agree, whatever is written
meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.items import clean_text
from model.neighbours import Neighbours
from model.words import Bags
from service.catalogue.generation import BuildIndex, Generation, key_of
from service.catalogue.records import Record
from service.contract.requests import FilterValue
from service.index.boosts import Boosts
from service.index.item_index import pack
from service.index.neighbour_index import ItemLinks
from service.index.scan import Doubles, Floats, Mask, Rows, inside
from service.index.snapshot import IndexSnapshot

_DEAD = 1024  # rows of former and deleted items that are not worth the work of leaving them behind


class Moment:
    """All items at one moment; immutable."""

    def __init__(self, index: IndexSnapshot, generation: Generation) -> None:
        self.index = index
        self._generation = generation
        self._neighbour_index = generation.neighbour_index

    def row(self, item_id: str) -> int | None:
        """The row of an item, or None when it is not served."""
        row = self._generation.row_of.get(item_id, -1)
        while row >= self.index.n:
            row = self._generation.records[row].previous
        return row if row >= 0 and self.is_served(row) else None

    @property
    def generation(self) -> object:
        """The same for all moments whose rows are numbered alike."""
        return self._generation

    def is_served(self, row: int) -> bool:
        """Whether the row is an item now, and no former or deleted one."""
        return bool(self.index.live[row >> 3] >> (row & 7) & 1)

    def record(self, row: int) -> Record:
        return self._generation.records[row]

    def boosts(self, histories: Sequence[Sequence[int]]) -> Boosts | None:
        """What the neighbours of each history of rows, oldest first, add to scores; None where there are none."""
        records = self._generation.records
        return self._neighbour_index.boosts([[records[row].links for row in rows] for rows in histories], self.index.n)

    def boosts_if_added(self, links: ItemLinks, histories: Sequence[Sequence[int]]) -> tuple[Doubles, Doubles]:
        """What neighbours would add to an item that is not there yet, or has another text, after each of the histories
        of rows [h]: to the semantic part of its score and to the ID part.
        """
        records = self._generation.records
        semantic, own = self._neighbour_index.boosts_if_added(
            links, [[records[row].links for row in rows] for rows in histories]
        )
        row = self._neighbour_index.row_of(links.index)
        if row >= 0 and (boosts := self.boosts(histories)) is not None:
            own = own + boosts.of(row + np.arange(len(histories)) * self.index.n)[1]  # it keeps what is known of its ID
        return semantic, own

    def cold_rows(self, allow: Mask | None, exclude: Collection[int]) -> tuple[Rows, NDArray[np.bool_], Bags]:
        """Rows [c] of cold items, which of them may be returned [c], and the bags of their texts [c, words]."""
        rows, bags = self._generation.cold_items.below(self.index.n)
        mask = self.index.live if allow is None else self.index.live & allow
        return rows, inside(mask, rows) & ~np.isin(rows, list(exclude)), bags

    def bags(self, rows: Sequence[int]) -> Bags:
        """The bags of the texts of rows [n, words]; without words where the artifact keeps none."""
        generation = self._generation
        return generation.cold_items.bags([generation.records[row].links for row in rows])

    def trained(self, allow: Mask | None) -> Mask:
        """The rows of items that are not cold, of those allowed."""
        rows, _ = self._generation.cold_items.below(self.index.n)
        flags = np.ones(self.index.n, np.bool_)
        flags[rows] = False
        return pack(flags) & (self.index.live if allow is None else allow)

    def shares(self, codes: tuple[int, ...]) -> int:
        """How many items have exactly these codes; none have no codes (an artifact of ID tokens alone)."""
        return self._generation.sharing[codes] if codes else 0

    def allowed(self, filters: Mapping[str, Sequence[FilterValue]]) -> Mask:
        """The rows that have one of the values of every attribute in `filters`."""
        flags = np.ones(self.index.n, np.bool_)
        for name, values in filters.items():
            found = np.zeros(self.index.n, np.bool_)
            postings = self._generation.postings.get(clean_text(name), {})
            for value in values:
                rows = np.array(postings.get(_kept(value), ()), np.int64)
                found[rows[rows < self.index.n]] = True
            flags &= found
        return pack(flags)

    def unknown(self, filters: Mapping[str, Sequence[FilterValue]]) -> list[str]:
        """The names in `filters` of attributes that no item has a value of: misspelt ones, most likely."""
        return [name for name, values in filters.items() if not self._has(name, values)]

    def _has(self, name: str, values: Sequence[FilterValue]) -> bool:
        postings = self._generation.postings.get(clean_text(name), {})
        wanted = (postings.get(_kept(value), ()) for value in values)  # first: mostly some item has one of them
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
        """The k rows closest to an embedding [D] by cosine, but for the row `without`, and their cosines: of the
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
        # All that rounding could bring among the best are scored anew, each by itself, so that ties are ties.
        cut = np.partition(rough, -k)[-k] - 1e-4
        near = np.flatnonzero(rough >= cut)
        exact = vectors[near].astype(np.float64)
        lengths = np.sqrt((exact * exact).sum(axis=1) * (target.astype(np.float64) ** 2).sum())
        cosines = (exact * target.astype(np.float64)).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
        best = index.ranked(cosines, near, k)
        return near[best], cosines[best]

    def listing(self, after: int = -1) -> Iterator[Record]:
        """All items in their order, those with an `order` above `after`."""
        rows = self._in_order
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
    def _in_order(self) -> Rows:
        rows = self.rows
        ordered: Rows = rows[np.argsort(self.index.orders[rows], kind="stable")]
        return ordered

    @cached_property
    def _by_popularity(self) -> Rows:
        rows = self._in_order
        counts = np.array([self._generation.records[row].popularity for row in rows], np.int64)
        ordered: Rows = rows[np.argsort(-counts, kind="stable")]
        return ordered

    @cached_property
    def _norms(self) -> Floats:
        return _lengths(self.index.vectors[: self.index.n])

    @cached_property
    def _semantic_norms(self) -> Floats:
        return _lengths(self.index.vectors[: self.index.n, : self.index.split])


def _kept(value: FilterValue) -> tuple[bool, FilterValue]:
    """The key of a filter's value in the form in which an item's attributes are kept: what registered it finds it."""
    return key_of(clean_text(value) if isinstance(value, str) else value)


def _lengths(vectors: Floats) -> Floats:
    lengths: Floats = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return lengths


class Catalogue:
    """Holds the current `moment`. One writer at a time (the caller's lock)."""

    def __init__(self, records: Sequence[Record], vectors: Floats, build: BuildIndex, neighbours: Neighbours) -> None:
        # Called with each generation that is no longer served. A callback must not hold the catalogue: only a full
        # collection would free both, and a swap makes none.
        self.left: list[Callable[[object], None]] = []
        self._build = build
        self._neighbours = neighbours
        self._generation = Generation(records, vectors, build, neighbours)
        self.moment = Moment(self._generation.index.snapshot, self._generation)

    @property
    def cold(self) -> int:
        """Items without an ID embedding."""
        return self._generation.cold

    @property
    def registered(self) -> int:
        """Items that came through the API, those among them that replaced one of the artifact's."""
        return self._generation.registered

    def __len__(self) -> int:
        return self.moment.index.live_count

    def recall(self, queries: Floats) -> float:
        """Recall@10 of the index kind against exact search, over sample queries [b, D]."""
        return self._generation.index.recall(queries)

    @property
    def crowded(self) -> bool:
        """Whether replaced and removed rows take a third of the memory, so that a `Compacted` is worth its work."""
        index = self.moment.index
        return index.n - index.live_count > max(_DEAD, index.live_count // 2)

    def apply(self, put: Sequence[tuple[Record, Floats]], removed: Sequence[str] = ()) -> None:
        """Add or replace items, each with its embedding [D], and remove others, in one step for readers."""
        self.moment = _changed(self._generation, self.moment, put, removed)

    def compacted(self) -> Compacted:
        """All that is served now, with no row but those, to be put in place by `take`. Takes as long as a start with as
        many items, and needs no lock: writers go on. Raises BadIndex where an index of so few rows cannot be built.
        """
        since = self.moment
        rows = since._in_order
        records = [replace(since.record(row), previous=-1) for row in rows]
        return Compacted(since, Generation(records, since.index.vectors[rows], self._build, self._neighbours))

    def take(self, compacted: Compacted) -> None:
        """Go on with a generation that was made a moment ago, brought level with what has been written since."""
        since, generation = compacted
        now = self.moment
        fresh = now.rows[now.rows >= since.index.n]
        put = [(now.record(row), now.index.vectors[row]) for row in fresh.tolist()]
        gone = since.rows[~inside(now.index.live, since.rows)]
        served = {record.item_id for record, _ in put}
        removed = {since.record(row).item_id for row in gone.tolist()} - served
        moment = _changed(generation, Moment(generation.index.snapshot, generation), put, list(removed))
        self._generation, self.moment = generation, moment


class Compacted(NamedTuple):
    """A generation of the rows that were served at the moment `since`, and of no others."""

    since: Moment
    generation: Generation


def _changed(
    generation: Generation, now: Moment, put: Sequence[tuple[Record, Floats]], removed: Sequence[str]
) -> Moment:
    """The moment after `now` of a generation: items added or replaced, each with its embedding [D], others removed."""
    dead = {row for item_id in removed if (row := now.row(item_id)) is not None}
    fresh: dict[str, tuple[Record, Floats]] = {record.item_id: (record, vector) for record, vector in put}
    for item_id, (record, vector) in fresh.items():
        fresh[item_id] = replace(record, previous=generation.row_of.get(item_id, -1)), vector
        if (before := now.row(item_id)) is not None:
            dead.add(before)
    for record, _ in fresh.values():
        generation.append(record)
        generation.count(record, 1)
    for row in dead:
        generation.count(generation.records[row], -1)
    vectors = np.array([vector for _, vector in fresh.values()], np.float32)
    vectors = vectors.reshape(len(fresh), now.index.vectors.shape[1])
    orders = np.array([record.order for record, _ in fresh.values()], np.int64)
    rows = generation.index.update(vectors, orders, dead)
    generation.row_of.update(zip(fresh, rows, strict=True))
    added = [(row, record.links) for row, (record, _) in zip(rows, fresh.values(), strict=True)]
    generation.neighbour_index = generation.neighbour_index.updated(
        added, [generation.records[row].links for row in dead]
    )
    return Moment(generation.index.snapshot, generation)
