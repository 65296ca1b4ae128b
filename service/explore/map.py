"""Positions of items on the artifact's map; registered items are interpolated between those nearest to them."""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.catalogue_map import interpolate
from service.catalogue.moment import Moment
from service.contract.explore_answers import MapPoints, MapResponse
from service.index.scan import Floats, Rows

_KNOWN = 20_000  # mapped items that a registered item is interpolated from, at most
_REGISTERED = 2_000  # registered items on the map, at most: the latest


class _Sorted(NamedTuple):
    """mapped: rows of the items on the artifact's map, the most popular first; numbers: their numbers on it.
    registered: rows of the items that are not on it, because they are new or have a new text, in their order.
    """

    moment: Moment
    mapped: Rows
    numbers: Rows
    registered: Rows


class MapBuilder:
    """The map over the moments of one artifact's catalogue. It interpolates each registered item once."""

    def __init__(self, artifact: Artifact) -> None:
        self._version = artifact.version
        self._positions = artifact.positions
        self._lock = threading.Lock()
        self._generation: object = None
        self._placed: dict[int, tuple[float, float]] = {}
        self._sorted: _Sorted | None = None

    def points(self, moment: Moment, limit: int) -> MapResponse:
        """Up to `limit` items: the latest registered ones and the most popular ones of the artifact."""
        rows = moment.rows
        shown = np.empty(0, np.int64)
        places = np.empty((0, 2), np.float32)
        if self._positions is not None:
            shown, places = self._shown(moment, limit, self._positions)
        records = [moment.record(row) for row in shown.tolist()]
        points = MapPoints(
            item_id=[record.item_id for record in records],
            x=np.round(places[:, 0].astype(np.float64), 4).tolist(),
            y=np.round(places[:, 1].astype(np.float64), 4).tolist(),
            semantic_id=[list(record.codes) for record in records],
            registered=[record.revision > 0 for record in records],
        )
        return MapResponse(len(rows), points, self._version)

    def forget(self, generation: object) -> None:
        """Let go of what is kept of a generation that is no longer served."""
        with self._lock:
            if self._sorted is not None and self._sorted.moment.generation is generation:
                self._sorted = None
            if self._generation is generation:
                self._generation, self._placed = None, {}

    def _shown(self, moment: Moment, limit: int, positions: Floats) -> tuple[Rows, Floats]:
        """Rows [m] and their positions [m, 2]. The latest items come last, so that they are drawn on top."""
        with self._lock:
            if self._sorted is None or self._sorted.moment is not moment:
                self._sorted = _sort(moment)
            _, mapped, numbers, registered = self._sorted
        registered = registered[max(0, len(registered) - min(limit, _REGISTERED)) :]
        count = limit - len(registered)
        placed = self._placed_rows(moment, registered, mapped, positions[numbers])
        return np.concatenate([mapped[:count], registered]), np.concatenate([positions[numbers[:count]], placed])

    def _placed_rows(self, moment: Moment, wanted: Rows, known: Rows, places: Floats) -> NDArray[np.float32]:
        """Positions [m, 2] of rows that are not on the artifact's map, from the items nearest to them."""
        with self._lock:
            if self._generation is not moment.generation:
                self._generation, self._placed = moment.generation, {}
            new = [row for row in wanted.tolist() if row not in self._placed]
            if new and len(known):
                some = np.arange(len(known))
                if len(known) > _KNOWN:
                    some = np.linspace(0, len(known) - 1, _KNOWN).astype(np.int64)
                half = slice(0, moment.index.split or None)
                vectors = moment.index.vectors[:, half]
                found = interpolate(vectors[new], vectors[known[some]], places[some])
                self._placed.update(zip(new, map(tuple, found.tolist()), strict=True))
            lying = [self._placed.get(row, (0.0, 0.0)) for row in wanted.tolist()]
        return np.array(lying, np.float32).reshape(-1, 2)


def _sort(moment: Moment) -> _Sorted:
    rows = moment.rows
    records = [moment.record(row) for row in rows.tolist()]
    index = np.array(
        [record.links.index if record.links.text_neighbours is None else -1 for record in records], np.int64
    )
    used = np.array([record.popularity for record in records], np.int64)
    known = index >= 0
    most = np.argsort(-used[known], kind="stable")
    others = rows[~known]
    by_order = np.argsort(moment.index.orders[others], kind="stable")
    return _Sorted(moment, rows[known][most], index[known][most], others[by_order])
