"""The catalogue: the current moment of the items that are served, and how a writer makes the next one.

A writer appends records and vectors, points the ids at their new rows, and then publishes the next moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from model.neighbours import Neighbours
from service.catalogue.generation import BuildIndex, Generation
from service.catalogue.moment import Moment
from service.catalogue.records import Record
from service.index.scan import Floats, inside

_DEAD = 1024  # rows of replaced and deleted items that are not worth a compaction


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
        """Items written through the API, including those that replaced an item of the artifact."""
        return self._generation.registered

    def __len__(self) -> int:
        return self.moment.index.live_count

    def recall(self, queries: Floats) -> float:
        """Recall@10 of the index kind against exact search, over sample queries [b, D]."""
        return self._generation.index.recall(queries)

    @property
    def crowded(self) -> bool:
        """Whether replaced and removed rows are a third of all rows, so that a compaction is worth its work."""
        index = self.moment.index
        return index.n - index.live_count > max(_DEAD, index.live_count // 2)

    def apply(self, put: Sequence[tuple[Record, Floats]], removed: Sequence[str] = ()) -> None:
        """Add or replace items, each with its embedding [D], and remove others, in one step for readers."""
        self.moment = _changed(self._generation, self.moment, put, removed)

    def compacted(self) -> Compacted:
        """A generation of what is served now and no other rows, for `take` to put in place. It needs no lock: writers
        go on meanwhile. Raises BadIndex if the index cannot be built from so few rows.
        """
        since = self.moment
        rows = since.in_order
        records = [replace(since.record(row), previous=-1) for row in rows]
        return Compacted(since, Generation(records, since.index.vectors[rows], self._build, self._neighbours))

    def take(self, compacted: Compacted) -> None:
        """Go on with a generation made a moment ago, after adding to it what has been written since."""
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
    """A generation of the rows that were served at the moment `since`, and no others."""

    since: Moment
    generation: Generation


def _changed(
    generation: Generation, now: Moment, put: Sequence[tuple[Record, Floats]], removed: Sequence[str]
) -> Moment:
    """The moment after `now`: items added or replaced, each with its embedding [D], and others removed."""
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
