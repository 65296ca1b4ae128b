"""A generation: records by row and their indexes, which the moments of a catalogue share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from model.neighbours import Neighbours
from service.catalogue.cold_items import ColdItems
from service.catalogue.records import Record
from service.contract.requests import FilterValue
from service.index.item_index import ItemIndex
from service.index.neighbour_index import NeighbourIndex
from service.index.scan import Floats, Rows

BuildIndex = Callable[[Floats, Rows], ItemIndex]


class Generation:
    """Records by row, with the indexes that find them. It grows by appending; a compaction starts a new one."""

    def __init__(self, records: Sequence[Record], vectors: Floats, build: BuildIndex, neighbours: Neighbours) -> None:
        self.records: list[Record] = []
        self.row_of: dict[str, int] = {}
        self.postings: dict[str, dict[tuple[bool, FilterValue], list[int]]] = {}
        self.sharing: Counter[tuple[int, ...]] = Counter()
        self.cold = 0
        self.registered = 0
        self.cold_items = ColdItems(neighbours)
        self.index = build(vectors, np.array([record.order for record in records], np.int64))
        for row, record in enumerate(records):
            self.append(record)
            self.row_of[record.item_id] = row
            self.count(record, 1)
        links = [(row, record.links) for row, record in enumerate(records)]
        self.neighbour_index = NeighbourIndex(neighbours).updated(links, [])

    def append(self, record: Record) -> None:
        row = len(self.records)
        self.records.append(record)
        if record.cold:
            self.cold_items.append(row, record.links)
        for name, value in record.attributes.items():
            values = self.postings.setdefault(name, {})
            for entry in value if isinstance(value, list) else (value,):
                values.setdefault(key_of(entry), []).append(row)

    def count(self, record: Record, by: int) -> None:
        self.sharing[record.codes] += by
        self.cold += by * record.cold
        self.registered += by * (record.revision > 0)


def key_of(value: FilterValue) -> tuple[bool, FilterValue]:
    """The key of a filter value. 1 and 1.0 are equal; true is not 1, although Python says so."""
    return isinstance(value, bool), value
