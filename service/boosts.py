"""What neighbours add to scores, by row: the artifact's lists (`model.neighbours`) over a catalogue that changes.

An item that was registered, or given another text, brings the list of catalogue items near to it; for the others it
stands in the lists of those. Its identity counts under `together` as before, where it has one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.config import NeighbourKind
from model.neighbours import Joining, Near, Neighbours, decays, spread, strength
from model.tokenizer import COLD

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.uint8]

_TOGETHER = 1024  # items that join lists at once, to bound memory
_DENSE = 100_000  # rows up to which a counter for each is quicker than sorting


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands among the artifact's: its index there, or COLD; `joining`: None where its text is theirs."""

    index: int
    joining: Joining | None


@dataclass(frozen=True, slots=True)
class Boosts:
    """rows [m], ascending; semantic, own [m]: what is added to the parts of their scores. Other rows get nothing."""

    rows: Rows
    semantic: Doubles
    own: Doubles

    @property
    def total(self) -> Doubles:
        return self.semantic + self.own

    def of(self, rows: Rows) -> tuple[Doubles, Doubles]:
        """The two parts for rows [n], zero for those without."""
        if not len(self.rows):
            return np.zeros(len(rows)), np.zeros(len(rows))
        places = np.minimum(self.rows.searchsorted(rows), len(self.rows) - 1)
        there = self.rows[places] == rows
        return np.where(there, self.semantic[places], 0.0), np.where(there, self.own[places], 0.0)


class Placing:
    """Rows of the artifact's items. Immutable but for `extra`, which only grows: a reader skips rows beyond its view.

    rows [n_items]: the row that an item's index stands for, −1 where it is not served. retexted: indices whose text is
    another now, so that the artifact's `alike` lists are no longer true of them. extra: by index, what joined its
    lists, three numbers each: row, weight of `alike`, weight of `together`. As objects they would be most of what a
    registered item takes.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._configs = neighbours.configs
        self._lists = _merge(neighbours)
        self._rows = np.full(neighbours.n_items, -1, np.int64)
        self._retexted: frozenset[int] = frozenset()
        self._extra: dict[int, array[float]] = {}

    def changed(self, added: Sequence[tuple[int, Place]], removed: Sequence[Place]) -> Placing:
        """With rows added and others gone. A reader of the old one is not disturbed."""
        if not self._configs:
            return self
        out: Placing = copy(self)
        gone = [place.index for place in removed if place.index != COLD]
        come = [(place.index, row) for row, place in added if place.index != COLD]
        if gone or come:
            out._rows = self._rows.copy()
            out._rows[gone] = -1
            for index, row in come:
                out._rows[index] = row
        now = {place.index for _, place in added if place.index != COLD and place.joining is not None}
        if gone or now:
            out._retexted = self._retexted.difference(gone) | now
        joining = [(row, place.index == COLD, place.joining) for row, place in added if place.joining is not None]
        for start in range(0, len(joining), _TOGETHER):
            out._join(joining[start : start + _TOGETHER])
        return out

    def boosts(self, history: Sequence[Place], n_rows: int) -> Boosts | None:
        """What the neighbours of a history, oldest first, add to the first `n_rows` rows; None where nothing is."""
        if not self._configs:
            return None
        listed = [at for at, place in enumerate(history) if place.index != COLD]
        index = np.array([history[at].index for at in listed], np.int64)
        near, company = self._factors("alike", len(history)), self._factors("together", len(history))
        of, places = spread(self._lists.offsets, index)
        at = np.array(listed, np.int64)[of]
        items = self._lists.items[places]
        rows = self._rows[items]
        semantic, own = self._lists.alike[places] * near[at], self._lists.together[places] * company[at]
        if self._retexted:
            stale = np.isin(items, list(self._retexted))
            stale |= np.array([place.joining is not None for place in history])[at]
            semantic[stale] = 0
        more = self._joined(history, near, company, n_rows)
        if more:
            added = np.concatenate(more)
            rows = np.concatenate([rows, added[:, 0].astype(np.int64)])
            semantic, own = np.concatenate([semantic, added[:, 1]]), np.concatenate([own, added[:, 2]])
        distinct, parts = _add_up(rows, (semantic, own), n_rows)
        return Boosts(distinct, self._strength("alike", parts[0]), self._strength("together", parts[1]))

    def _join(self, added: Sequence[tuple[int, bool, Joining]]) -> None:
        """Let rows, each cold or not, join the lists of the items near them."""
        indices: list[Rows] = []
        gains: list[Doubles] = []
        for row, cold, joining in added:
            items, weights = joining.alike
            indices.append(items)
            gains.append(_gains(len(items), row, alike=weights))
            if cold:
                items, weights = joining.before
                indices.append(items)
                gains.append(_gains(len(items), row, together=weights))
        every = np.concatenate(indices)
        order = every.argsort(kind="stable")
        joined = np.concatenate(gains)[order]
        distinct, starts = np.unique(every[order], return_index=True)
        bounds = pairwise([*starts.tolist(), len(every)])
        for index, (start, end) in zip(distinct.tolist(), bounds, strict=True):
            # At once: a reader copies the array whenever it likes.
            self._extra.setdefault(index, array("d")).frombytes(joined[start:end].tobytes())

    def _joined(self, history: Sequence[Place], near: Doubles, company: Doubles, n_rows: int) -> list[Doubles]:
        """What items whose texts are not the artifact's bring, in the history and among the candidates: each [m, 3],
        row and the evidence of both kinds for it.
        """
        out: list[Doubles] = []
        for place, like, with_ in zip(history, near.tolist(), company.tolist(), strict=True):
            if place.index != COLD and (extra := self._extra.get(place.index)) is not None:
                gains = np.frombuffer(extra.tobytes()).reshape(-1, 3)
                out.append(gains[gains[:, 0] < n_rows] * (1.0, like if place.joining is None else 0.0, with_))
            if place.joining is not None:
                items, weights = place.joining.alike
                kept = np.array([index not in self._retexted for index in items.tolist()], np.bool_)
                out.append(
                    _gains(int(kept.sum()), self._rows[items[kept]], alike=weights[kept].astype(np.float64) * like)
                )
            if place.joining is not None and place.index == COLD:
                items, weights = place.joining.after
                out.append(_gains(len(items), self._rows[items], together=weights.astype(np.float64) * with_))
        return out

    def _factors(self, kind: NeighbourKind, length: int) -> Doubles:
        config = self._configs.get(kind)
        return decays(config, length) if config else np.zeros(length)

    def _strength(self, kind: NeighbourKind, evidence: NDArray[Any]) -> Doubles:
        config = self._configs.get(kind)
        return strength(config, evidence) if config else np.zeros(len(evidence))


def _gains(count: int, rows: ArrayLike, alike: ArrayLike = 0.0, together: ArrayLike = 0.0) -> Doubles:
    """Evidence for rows, [count, 3]."""
    gains = np.empty((count, 3))
    gains[:, 0], gains[:, 1], gains[:, 2] = rows, alike, together
    return gains


def _add_up(rows: Rows, amounts: tuple[Doubles, Doubles], n_rows: int) -> tuple[Rows, list[NDArray[Any]]]:
    """The distinct rows from 0 on, ascending, and the sums of both amounts over each."""
    if n_rows <= _DENSE:
        # Row −1 is the cell behind the last row. Only what is hit is read and written, not every row.
        hit = np.zeros(n_rows + 1, np.bool_)
        hit[rows] = True
        distinct = np.flatnonzero(hit[:n_rows])
        place_of = np.empty(n_rows + 1, np.int64)
        place_of[distinct] = np.arange(len(distinct))
        place_of[n_rows] = len(distinct)
        place = place_of[rows]
        sums = [np.bincount(place, amount, minlength=len(distinct) + 1)[: len(distinct)] for amount in amounts]
        kept = sums[0] + sums[1] > 0
        return (distinct, sums) if kept.all() else (distinct[kept], [column[kept] for column in sums])
    distinct, place = np.unique(rows, return_inverse=True)
    served = slice(int(np.searchsorted(distinct, 0)), None)  # from the first row that is not −1
    return distinct[served], [np.bincount(place, amount, minlength=len(distinct))[served] for amount in amounts]


class _Both(NamedTuple):
    """Lists of both kinds as one, so that a request walks them once; the weight of a kind without the item is 0."""

    offsets: Rows
    items: Rows
    alike: NDArray[np.float32]
    together: NDArray[np.float32]


def _merge(neighbours: Neighbours) -> _Both:
    n = neighbours.n_items
    keys, weights = {}, {}
    for kind in ("alike", "together"):
        lists = neighbours.lists.get(kind)
        owners = np.repeat(np.arange(n), np.diff(lists.offsets)) if lists else np.empty(0, np.int64)
        keys[kind] = owners * n + lists.items if lists else owners
        weights[kind] = lists.weights if lists else np.empty(0, np.float32)
    every = _union(keys["alike"], keys["together"])
    columns = []
    for kind in ("alike", "together"):
        column = np.zeros(len(every), np.float32)
        column[every.searchsorted(keys[kind])] = weights[kind]
        columns.append(column)
    offsets = every.searchsorted(np.arange(n + 1) * n)
    return _Both(offsets.astype(np.int64), every % n if n else every, *columns)


def _union(one: Rows, other: Rows) -> Rows:
    """What `np.union1d` returns, which takes a second for a million numbers and lets no other thread run meanwhile:
    NumPy looks for distinct numbers in a hash table that keeps the interpreter's lock. A sort lets go of it.
    """
    every = np.concatenate([one, other])
    every.sort()
    first = np.ones(len(every), np.bool_)
    np.not_equal(every[1:], every[:-1], out=first[1:])
    distinct: Rows = every[first]
    return distinct


def _pairs(near: Near) -> Iterator[tuple[int, float]]:
    return zip(near.items.tolist(), near.weights.tolist(), strict=True)
