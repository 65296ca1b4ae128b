"""What neighbours add to scores, by row: the artifact's lists (`model.neighbours`) over a catalogue that changes.

An item that was registered, or given another text, brings the list of catalogue items near to it; for the others it
stands in the lists of those. Its identity counts under `together` as before, where it has one.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.config import NeighbourKind
from model.neighbours import NOTHING, Joining, Near, Neighbours, decays, strength
from model.tokenizer import COLD

Doubles = NDArray[np.float64]
Rows = NDArray[np.int64]
Mask = NDArray[np.uint8]

_KINDS: tuple[NeighbourKind, NeighbourKind] = ("alike", "together")
_TOGETHER = 1024  # items that join lists at once, to bound memory
_CELLS = 1_000_000  # up to which a place for each is quicker than sorting those that are hit
_AGES = 64  # of items of a history, for which decays are kept


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands among the artifact's: its index there, or COLD; `joining`: None where its text is theirs."""

    index: int
    joining: Joining | None


@dataclass(frozen=True, slots=True)
class Boosts:
    """What is added to the parts of scores, after several histories at once or one.

    A cell is a row for one of the histories: row r for history h is cell h · n_rows + r. So for one history, cells are
    rows. cells [m], each once, in any order; semantic, own [m]. Other cells get nothing.
    """

    n_rows: int
    cells: Rows
    semantic: Doubles
    own: Doubles

    @property
    def total(self) -> Doubles:
        return self.semantic + self.own

    def history(self, at: int) -> Boosts:
        """Those of one history."""
        return self.histories(at, at + 1)

    def histories(self, start: int, stop: int) -> Boosts:
        """Those of the histories start … stop − 1."""
        begin, end = start * self.n_rows, stop * self.n_rows
        return self.only((begin <= self.cells) & (self.cells < end), begin)

    def only(self, kept: NDArray[np.bool_], begin: int = 0) -> Boosts:
        """Those of `kept` [m], cells counted from `begin`."""
        return Boosts(self.n_rows, self.cells[kept] - begin, self.semantic[kept], self.own[kept])

    def of(self, cells: Rows) -> tuple[Doubles, Doubles]:
        """The two parts for cells [n], zero for those without."""
        if not len(self.cells):
            return np.zeros(len(cells)), np.zeros(len(cells))
        order = self.cells.argsort()
        places = order[np.minimum(self.cells.searchsorted(cells, sorter=order), len(order) - 1)]
        there = self.cells[places] == cells
        return np.where(there, self.semantic[places], 0.0), np.where(there, self.own[places], 0.0)

    def add_to(self, cells: Rows, semantic: Doubles, own: Doubles, kept: NDArray[np.bool_]) -> None:
        """Add those of `kept` [m] to the two parts for cells [n], ascending: `of` for many boosts and few cells."""
        if not len(cells):
            return
        chosen = np.flatnonzero(kept)
        mine = self.cells.take(chosen)
        places = np.minimum(cells.searchsorted(mine), len(cells) - 1)
        there = np.flatnonzero(cells.take(places) == mine)
        chosen, places = chosen.take(there), places.take(there)
        semantic[places] += self.semantic.take(chosen)
        own[places] += self.own.take(chosen)


class Placing:
    """Rows of the artifact's items. Immutable but for `extra`, which only grows: readers skip rows that came later.

    rows [n_items]: the row that an item's index stands for, −1 where it is not served. retexted: indices whose text is
    another now, so that the artifact's `alike` lists are no longer true of them. extra: by index, what joined its
    lists, three numbers each: row, weight of `alike`, weight of `together`. As objects they would be most of what a
    registered item takes.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._configs = neighbours.configs
        self._lists = _merge(neighbours)
        self._decays = self._decayed(_AGES)
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

    def boosts(self, histories: Sequence[Sequence[Place]], n_rows: int) -> Boosts | None:
        """What the neighbours of each history, oldest first, add to the first `n_rows` rows; None where the artifact
        has no neighbours.
        """
        if not self._configs:
            return None
        # `take` and `repeat` throughout: what brackets do takes NumPy three times as long.
        lengths = np.array([len(history) for history in histories], np.int64)
        places = [place for history in histories for place in history]
        index = np.array([place.index for place in places], np.int64)
        first = (np.arange(len(histories)) * n_rows).repeat(lengths)  # the cell of row 0
        ages = lengths.cumsum().repeat(lengths) - np.arange(len(places)) - 1
        factors = self._factors(ages)
        listed = np.flatnonzero(index != COLD)
        starts, counts = self._lists.extents(index[listed])
        entries = np.arange(int(counts.sum())) + (starts - counts.cumsum() + counts).repeat(counts)
        items = self._lists.items.take(entries)
        rows = self._rows.take(items)
        gains = self._lists.weights.take(entries, axis=0) * factors[listed].repeat(counts, axis=0)
        if self._retexted:
            stale = np.isin(items, list(self._retexted))
            stale |= np.array([place.joining is not None for place in places], np.bool_)[listed].repeat(counts)
            gains[stale, 0] = 0
        cells = rows + first[listed].repeat(counts)
        if rows.min(initial=0) < 0:
            served = rows >= 0
            cells, gains = cells[served], gains[served]
        more = self._joined(places, first.tolist(), factors, n_rows)
        if more:
            added = np.concatenate(more)
            cells = np.concatenate([cells, added[:, 0].astype(np.int64)])
            gains = np.concatenate([gains, added[:, 1:]])
        distinct, alike, together = _add_up(cells, gains, len(histories) * n_rows)
        return Boosts(n_rows, distinct, self._strength("alike", alike), self._strength("together", together))

    def row_of(self, index: int) -> int:
        """The row that an item's index stands for; −1 where it is not served, and for COLD."""
        return -1 if index == COLD else int(self._rows[index])

    def lent(self, place: Place, histories: Sequence[Sequence[Place]]) -> tuple[Doubles, Doubles]:
        """What an item that is not there yet would be given after each history [h], by `alike` and by `together`, as if
        it had joined the lists; the second without what the lists of its index hold, where it has one.
        """
        if place.joining is None:
            raise ValueError("an item that is to come has a text of its own")
        lengths = np.array([len(history) for history in histories], np.int64)
        of = np.arange(len(histories)).repeat(lengths)
        ages = lengths.cumsum().repeat(lengths) - np.arange(len(of)) - 1
        places = [each for history in histories for each in history]
        index = np.array([each.index for each in places], np.int64)
        own_text = np.array([each.joining is None for each in places], np.float64)
        nears = place.joining.alike, place.joining.before if place.index == COLD else NOTHING
        counted: tuple[ArrayLike, ArrayLike] = own_text, 1.0
        out = []
        for kind, near, counts, factors in zip(_KINDS, nears, counted, self._factors(ages).T, strict=True):
            weights = np.zeros(len(self._rows) + 1)  # the last for COLD
            weights[near.items] = near.weights
            evidence = weights[index] * factors * counts
            out.append(self._strength(kind, np.bincount(of, evidence, minlength=len(histories))))
        return out[0], out[1]

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

    def _joined(self, places: Sequence[Place], first: Sequence[int], factors: Doubles, n_rows: int) -> list[Doubles]:
        """What items whose texts are not the artifact's bring, in the histories and among the candidates: each [m, 3],
        cell and the evidence of both kinds for it. first: by place, the cell of row 0.
        """
        out: list[Doubles] = []
        if not self._extra and all(place.joining is None for place in places):
            return out
        for place, cell, (like, with_) in zip(places, first, factors.tolist(), strict=True):
            if place.index != COLD and (extra := self._extra.get(place.index)) is not None:
                gains = np.frombuffer(extra.tobytes()).reshape(-1, 3)
                gains = gains[gains[:, 0] < n_rows] * (1.0, like if place.joining is None else 0.0, with_)
                gains[:, 0] += cell
                out.append(gains)
            if place.joining is not None:
                out.append(self._listed(place.joining.alike, cell, alike=like))
            if place.joining is not None and place.index == COLD:
                out.append(self._listed(place.joining.after, cell, together=with_))
        return out

    def _listed(self, near: Near, cell: int, alike: float = 0.0, together: float = 0.0) -> Doubles:
        """What a list brings to those of its items that are served, and of `alike` have the text that it knows."""
        rows = self._rows[near.items]
        kept = rows >= 0
        if alike and self._retexted:
            kept &= ~np.isin(near.items, list(self._retexted))
        weights = near.weights[kept].astype(np.float64)
        return _gains(len(weights), rows[kept] + cell, weights * alike, weights * together)

    def _factors(self, ages: Rows) -> Doubles:
        """What the evidence of items of histories is worth to each kind, [p, 2], by their age [p], 0 for the latest."""
        longest = int(ages.max(initial=-1)) + 1
        worth = self._decays if longest <= len(self._decays) else self._decayed(longest)
        factors: Doubles = worth.take(ages, axis=0)
        return factors

    def _decayed(self, count: int) -> Doubles:
        """What evidence of the ages 0 … count − 1 is worth to each kind, [count, 2]; nothing to one without lists."""
        out = np.zeros((count, len(_KINDS)))
        for column, kind in enumerate(_KINDS):
            if (config := self._configs.get(kind)) is not None:
                out[:, column] = decays(config, count)[::-1]
        return out

    def _strength(self, kind: NeighbourKind, evidence: NDArray[Any]) -> Doubles:
        config = self._configs.get(kind)
        return strength(config, evidence) if config else np.zeros(len(evidence))


def _gains(count: int, rows: ArrayLike, alike: ArrayLike = 0.0, together: ArrayLike = 0.0) -> Doubles:
    """Evidence for rows, [count, 3]."""
    gains = np.empty((count, 3))
    gains[:, 0], gains[:, 1], gains[:, 2] = rows, alike, together
    return gains


def _add_up(cells: Rows, gains: Doubles, n_cells: int) -> tuple[Rows, Doubles, Doubles]:
    """The distinct cells, and the sums of gains [m, 2] over each."""
    if n_cells <= _CELLS:
        # One of the entries of each cell stands for it: which one, the cell says. Cells that nothing hits are not read.
        entry = np.empty(n_cells, np.int32)
        entry[cells] = every = np.arange(len(cells), dtype=np.int32)
        place = entry.take(cells).astype(np.int64)
        found = np.flatnonzero(place == every)
        distinct = cells.take(found)
    else:
        distinct, place = np.unique(cells, return_inverse=True)
        found = np.arange(len(distinct))
    alike, together = (np.bincount(place, gains[:, kind], minlength=len(cells)).take(found) for kind in (0, 1))
    return distinct, alike.astype(np.float64, copy=False), together.astype(np.float64, copy=False)


class _Both(NamedTuple):
    """Lists of both kinds as one, so that a request walks them once: weights [m, 2] of `alike` and `together`, 0 for
    the kind without the item.
    """

    offsets: Rows
    items: Rows
    weights: NDArray[np.float32]

    def extents(self, index: Rows) -> tuple[Rows, Rows]:
        """Where the lists of items [n] begin, and their lengths."""
        starts = self.offsets[index]
        return starts, self.offsets[index + 1] - starts


def _merge(neighbours: Neighbours) -> _Both:
    n = neighbours.n_items
    keys, weights = {}, {}
    for kind in _KINDS:
        lists = neighbours.lists.get(kind)
        owners = np.repeat(np.arange(n), np.diff(lists.offsets)) if lists else np.empty(0, np.int64)
        keys[kind] = owners * n + lists.items if lists else owners
        weights[kind] = lists.weights if lists else np.empty(0, np.float32)
    every = _union(keys["alike"], keys["together"])
    both = np.zeros((len(every), 2), np.float32)
    for column, kind in enumerate(keys):
        both[every.searchsorted(keys[kind]), column] = weights[kind]
    offsets = every.searchsorted(np.arange(n + 1) * n)
    return _Both(offsets.astype(np.int64), every % n if n else every, both)


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
