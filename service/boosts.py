"""What neighbours add to scores, by row: the artifact's lists (`model.neighbours`) over a catalogue that changes.

An item that was registered, or given another text, brings the list of catalogue items near to it; for the others it
stands in the lists of those. Its identity counts under `together` as before, where it has one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import NeighbourKind
from model.neighbours import Near, Neighbours, decays, strength
from model.tokenizer import COLD

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.uint8]

_NO_ROWS = np.empty(0, np.int64)
_NO_WEIGHTS = np.empty(0)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands among the artifact's: its index there, or COLD; `near`: None where its text is theirs."""

    index: int
    near: Near | None


@dataclass(frozen=True, slots=True)
class Boosts:
    """rows [m], ascending; semantic, own [m]: what is added to the parts of their scores. Other rows get nothing."""

    rows: Rows
    semantic: Doubles
    own: Doubles

    def of(self, rows: Rows) -> tuple[Doubles, Doubles]:
        """The two parts for rows [n], zero for those without."""
        if not len(self.rows):
            return np.zeros(len(rows)), np.zeros(len(rows))
        places = np.minimum(self.rows.searchsorted(rows), len(self.rows) - 1)
        there = self.rows[places] == rows
        return np.where(there, self.semantic[places], 0.0), np.where(there, self.own[places], 0.0)

    def among(self, mask: Mask, banned: Collection[int]) -> Boosts:
        """Those whose rows are in the mask and not banned."""
        kept = (mask[self.rows >> 3] >> (self.rows & 7).astype(np.uint8) & 1).view(np.bool_)
        if banned:
            places = self.rows.searchsorted(np.fromiter(banned, np.int64, len(banned)))
            places = places[places < len(self.rows)]
            kept[places[[row in banned for row in self.rows[places].tolist()]]] = False
        return Boosts(self.rows[kept], self.semantic[kept], self.own[kept])


class Placing:
    """Rows of the artifact's items. Immutable but for `extra`, which only grows: a reader skips rows beyond its view.

    together, alike [n_items]: the row that an item's index stands for, −1 where it is not served or, under `alike`, has
    another text now. extra: by index, the rows with texts of their own that are near to it, and how near.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours
        self._together = np.full(neighbours.n_items, -1, np.int64)
        self._alike = self._together.copy()
        self._extra: dict[int, list[tuple[int, float]]] = {}

    def changed(self, added: Sequence[tuple[int, Place]], removed: Sequence[Place]) -> Placing:
        """With rows added and others gone. A reader of the old one is not disturbed."""
        if not self._neighbours:
            return self
        out = object.__new__(Placing)
        out._neighbours, out._extra = self._neighbours, self._extra
        out._together, out._alike = self._together, self._alike
        if any(place.index != COLD for place in removed) or any(place.index != COLD for _, place in added):
            out._together, out._alike = self._together.copy(), self._alike.copy()
        for place in removed:
            if place.index != COLD:
                out._together[place.index] = out._alike[place.index] = -1
        for row, place in added:
            if place.index != COLD:
                out._together[place.index] = row
                out._alike[place.index] = row if place.near is None else -1
            if place.near is not None:
                for index, weight in zip(place.near.items.tolist(), place.near.weights.tolist(), strict=True):
                    out._extra.setdefault(index, []).append((row, weight))
        return out

    def boosts(self, history: Sequence[Place], n_rows: int) -> Boosts | None:
        """What the neighbours of a history, oldest first, add to the first `n_rows` rows; None where nothing is."""
        if not self._neighbours:
            return None
        own_rows, own = self._evidence_together(history)
        semantic_rows, semantic = self._evidence_alike(history, n_rows)
        distinct, place = np.unique(np.concatenate([own_rows, semantic_rows]), return_inverse=True)
        served = slice(int(np.searchsorted(distinct, 0)), None)  # from the first row that is not −1
        return Boosts(
            distinct[served],
            self._strength("alike", np.bincount(place[len(own_rows) :], semantic, minlength=len(distinct))[served]),
            self._strength("together", np.bincount(place[: len(own_rows)], own, minlength=len(distinct))[served]),
        )

    def _strength(self, kind: NeighbourKind, evidence: NDArray[Any]) -> Doubles:
        config = self._neighbours.configs.get(kind)
        return strength(config, evidence) if config else np.zeros(len(evidence))

    def _evidence_together(self, history: Sequence[Place]) -> tuple[Rows, Doubles]:
        config = self._neighbours.configs.get("together")
        if config is None:
            return _NO_ROWS, _NO_WEIGHTS
        index = np.array([place.index for place in history], np.int64)
        known = index != COLD
        _, items, weights = self._neighbours.lists["together"].gather(index[known], decays(config, len(history))[known])
        return self._together[items], weights

    def _evidence_alike(self, history: Sequence[Place], n_rows: int) -> tuple[Rows, Doubles]:
        config = self._neighbours.configs.get("alike")
        if config is None:
            return _NO_ROWS, _NO_WEIGHTS
        factors = decays(config, len(history))
        listed = [at for at, place in enumerate(history) if place.near is None]
        index = np.array([history[at].index for at in listed], np.int64)
        _, items, weights = self._neighbours.lists["alike"].gather(index, factors[listed])
        rows, worth = [self._alike[items]], [weights]
        for at in listed if self._extra else ():
            found = [pair for pair in self._extra.get(history[at].index, ()) if pair[0] < n_rows]
            if found:
                rows.append(np.array([row for row, _ in found], np.int64))
                worth.append(np.array([weight for _, weight in found]) * factors[at])
        for place, factor in zip(history, factors, strict=True):
            if place.near is not None:
                rows.append(self._alike[place.near.items])
                worth.append(place.near.weights * factor)
        return np.concatenate(rows), np.concatenate(worth)
