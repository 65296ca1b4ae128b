"""The neighbour index: from a history to boosts by row, over a catalogue that changes.

The artifact's lists (`model.neighbours`) connect items of the artifact. A registered item, or one with a new text,
brings its own list of artifact items with similar texts. These items get postings of its row, so that it is found from
their side too. An artifact item keeps its co-occurrence when its text changes.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourKind
from model.neighbours import Neighbours, TextNeighbours, decays, strength
from model.postings import NO_POSTINGS, PostingList
from model.tokenizer import COLD
from service.index.boosts import Boosts
from service.index.merged_lists import KINDS, merge_lists
from service.index.scan import Doubles, Rows

_BATCH = 1024  # items that get their postings at once, to bound memory
_CELLS = 1_000_000  # up to so many, an array of all cells is quicker than sorting those that are hit
_AGES = 64  # of items of a history, for which decays are kept


@dataclass(frozen=True, slots=True)
class ItemLinks:
    """How an item is linked to the artifact's neighbour lists.

    index: its index in the artifact, or COLD. text_neighbours: the neighbours of its text; None where the text is the
    artifact's own, so that the artifact's lists hold for it.
    """

    index: int
    text_neighbours: TextNeighbours | None


class NeighbourIndex:
    """Neighbour lists of the served rows. Immutable but for `_postings`, which only grows: readers skip rows that came
    later.

    _rows [n_items]: the row that serves an artifact item, −1 for none. _retexted: artifact items whose text has been
    replaced, so that the artifact's lists of similar texts are no longer true of them. _postings: for an artifact item,
    the rows that joined its lists, three numbers each: row, weight by text similarity, weight by co-occurrence. As
    objects they would be most of the memory that a registered item takes.
    """

    def __init__(self, neighbours: Neighbours) -> None:
        self._configs = neighbours.configs
        self._lists = merge_lists(neighbours)
        self._decays = self._decayed(_AGES)
        self._rows = np.full(neighbours.n_items, -1, np.int64)
        self._retexted: frozenset[int] = frozenset()
        self._postings: dict[int, array[float]] = {}

    def updated(self, added: Sequence[tuple[int, ItemLinks]], removed: Sequence[ItemLinks]) -> NeighbourIndex:
        """The index after rows are added and others removed. Readers of the old one are not disturbed."""
        if not self._configs:
            return self
        out: NeighbourIndex = copy(self)
        gone = [links.index for links in removed if links.index != COLD]
        come = [(links.index, row) for row, links in added if links.index != COLD]
        if gone or come:
            out._rows = self._rows.copy()
            out._rows[gone] = -1
            for index, row in come:
                out._rows[index] = row
        retexted = {links.index for _, links in added if links.index != COLD and links.text_neighbours is not None}
        if gone or retexted:
            out._retexted = self._retexted.difference(gone) | retexted
        new = [
            (row, links.index == COLD, links.text_neighbours)
            for row, links in added
            if links.text_neighbours is not None
        ]
        for start in range(0, len(new), _BATCH):
            out._add_postings(new[start : start + _BATCH])
        return out

    def boosts(self, histories: Sequence[Sequence[ItemLinks]], n_rows: int) -> Boosts | None:
        """The boosts of the first `n_rows` rows after each history, oldest item first; None where the artifact has no
        neighbours.
        """
        if not self._configs:
            return None
        # `take` and `repeat` throughout: indexing with brackets takes NumPy three times as long.
        lengths = np.array([len(history) for history in histories], np.int64)
        read = [links for history in histories for links in history]
        index = np.array([links.index for links in read], np.int64)
        first = (np.arange(len(histories)) * n_rows).repeat(lengths)  # the cell of row 0
        factors = self._factors(_ages(lengths))
        listed = np.flatnonzero(index != COLD)
        starts, counts = self._lists.extents(index[listed])
        entries = np.arange(int(counts.sum())) + (starts - counts.cumsum() + counts).repeat(counts)
        items = self._lists.items.take(entries)
        rows = self._rows.take(items)
        evidence = self._lists.weights.take(entries, axis=0) * factors[listed].repeat(counts, axis=0)
        if self._retexted:
            stale = np.isin(items, list(self._retexted))
            new_text = np.array([links.text_neighbours is not None for links in read], np.bool_)
            stale |= new_text[listed].repeat(counts)
            evidence[stale, 0] = 0
        cells = rows + first[listed].repeat(counts)
        if rows.min(initial=0) < 0:
            served = rows >= 0
            cells, evidence = cells[served], evidence[served]
        more = self._registered_evidence(read, first.tolist(), factors, n_rows)
        if more:
            added = np.concatenate(more)
            cells = np.concatenate([cells, added[:, 0].astype(np.int64)])
            evidence = np.concatenate([evidence, added[:, 1:]])
        distinct, by_text, by_use = _sum_by_cell(cells, evidence, len(histories) * n_rows)
        return Boosts(n_rows, distinct, self._strength(TEXT_SIMILARITY, by_text), self._strength(CO_OCCURRENCE, by_use))

    def row_of(self, index: int) -> int:
        """The row that serves an artifact item; −1 for none, and for COLD."""
        return -1 if index == COLD else int(self._rows[index])

    def boosts_if_added(self, links: ItemLinks, histories: Sequence[Sequence[ItemLinks]]) -> tuple[Doubles, Doubles]:
        """The boosts that an item would get after each history [h] if it were added: by text similarity and by
        co-occurrence.

        The second leaves out the artifact's lists, for an item that has an index there. Raises ValueError for an item
        without text neighbours.
        """
        if links.text_neighbours is None:
            raise ValueError("links: an item to be added needs the neighbours of its text")
        lengths = np.array([len(history) for history in histories], np.int64)
        of = np.arange(len(histories)).repeat(lengths)
        read = [each for history in histories for each in history]
        index = np.array([each.index for each in read], np.int64)
        own_text = np.array([each.text_neighbours is None for each in read], np.float64)
        predecessors = links.text_neighbours.predecessors if links.index == COLD else NO_POSTINGS
        lists = links.text_neighbours.similar, predecessors
        counted: tuple[ArrayLike, ArrayLike] = own_text, 1.0
        out = []
        for kind, postings, counts, factors in zip(KINDS, lists, counted, self._factors(_ages(lengths)).T, strict=True):
            weights = np.zeros(len(self._rows) + 1)  # the last entry is for COLD
            weights[postings.items] = postings.weights
            evidence = weights[index] * factors * counts
            out.append(self._strength(kind, np.bincount(of, evidence, minlength=len(histories))))
        return out[0], out[1]

    def _add_postings(self, added: Sequence[tuple[int, bool, TextNeighbours]]) -> None:
        """Enter rows, each cold or not, into the lists of their neighbours."""
        indices: list[Rows] = []
        postings: list[Doubles] = []
        for row, cold, neighbours in added:
            items, weights = neighbours.similar
            indices.append(items)
            postings.append(_evidence(len(items), row, by_text=weights))
            if cold:
                items, weights = neighbours.predecessors
                indices.append(items)
                postings.append(_evidence(len(items), row, by_use=weights))
        every = np.concatenate(indices)
        order = every.argsort(kind="stable")
        entries = np.concatenate(postings)[order]
        distinct, starts = np.unique(every[order], return_index=True)
        bounds = pairwise([*starts.tolist(), len(every)])
        for index, (start, end) in zip(distinct.tolist(), bounds, strict=True):
            # In one step: a reader may copy the array at any time.
            self._postings.setdefault(index, array("d")).frombytes(entries[start:end].tobytes())

    def _registered_evidence(
        self, read: Sequence[ItemLinks], first: Sequence[int], factors: Doubles, n_rows: int
    ) -> list[Doubles]:
        """The evidence of items whose texts are not the artifact's, in the histories and among the candidates.

        Arrays [m, 3]: cell, evidence by text similarity, evidence by co-occurrence. first: for each item that is read,
        the cell of row 0.
        """
        out: list[Doubles] = []
        if not self._postings and all(links.text_neighbours is None for links in read):
            return out
        for links, cell, (text_factor, use_factor) in zip(read, first, factors.tolist(), strict=True):
            neighbours = links.text_neighbours
            if links.index != COLD and (postings := self._postings.get(links.index)) is not None:
                entries = np.frombuffer(postings.tobytes()).reshape(-1, 3)
                entries = entries[entries[:, 0] < n_rows] * (
                    1.0,
                    text_factor if neighbours is None else 0.0,
                    use_factor,
                )
                entries[:, 0] += cell
                out.append(entries)
            if neighbours is not None:
                out.append(self._listed_evidence(neighbours.similar, cell, by_text=text_factor))
                if links.index == COLD:
                    out.append(self._listed_evidence(neighbours.followers, cell, by_use=use_factor))
        return out

    def _listed_evidence(self, postings: PostingList, cell: int, by_text: float = 0.0, by_use: float = 0.0) -> Doubles:
        """The evidence of a list for its items that are served; by text, only for items that kept their text."""
        rows = self._rows[postings.items]
        kept = rows >= 0
        if by_text and self._retexted:
            kept &= ~np.isin(postings.items, list(self._retexted))
        weights = postings.weights[kept].astype(np.float64)
        return _evidence(len(weights), rows[kept] + cell, weights * by_text, weights * by_use)

    def _factors(self, ages: Rows) -> Doubles:
        """The factors on the evidence of history items by their age [p], 0 for the latest: by kind, [p, 2]."""
        longest = int(ages.max(initial=-1)) + 1
        by_age = self._decays if longest <= len(self._decays) else self._decayed(longest)
        factors: Doubles = by_age.take(ages, axis=0)
        return factors

    def _decayed(self, count: int) -> Doubles:
        """The factors of the ages 0 … count − 1, [count, 2]; zero for a kind that the artifact lacks."""
        out = np.zeros((count, len(KINDS)))
        for column, kind in enumerate(KINDS):
            if (config := self._configs.get(kind)) is not None:
                out[:, column] = decays(config, count)[::-1]
        return out

    def _strength(self, kind: NeighbourKind, evidence: NDArray[Any]) -> Doubles:
        config = self._configs.get(kind)
        return strength(config, evidence) if config else np.zeros(len(evidence))


def _ages(lengths: Rows) -> Rows:
    """The age of each item of histories of these lengths, oldest first; the latest of each is 0."""
    ages: Rows = lengths.cumsum().repeat(lengths) - np.arange(int(lengths.sum())) - 1
    return ages


def _evidence(count: int, cells: ArrayLike, by_text: ArrayLike = 0.0, by_use: ArrayLike = 0.0) -> Doubles:
    """Evidence for cells by text similarity and by co-occurrence, [count, 3]."""
    out = np.empty((count, 3))
    out[:, 0], out[:, 1], out[:, 2] = cells, by_text, by_use
    return out


def _sum_by_cell(cells: Rows, evidence: Doubles, n_cells: int) -> tuple[Rows, Doubles, Doubles]:
    """The distinct cells, and the sums of evidence [m, 2] over each, by kind."""
    if n_cells <= _CELLS:
        # One entry stands for each cell: the last one written. Cells that nothing hits are never read.
        entry = np.empty(n_cells, np.int32)
        entry[cells] = every = np.arange(len(cells), dtype=np.int32)
        place = entry.take(cells).astype(np.int64)
        found = np.flatnonzero(place == every)
        distinct = cells.take(found)
    else:
        distinct, place = np.unique(cells, return_inverse=True)
        found = np.arange(len(distinct))
    by_text, by_use = (np.bincount(place, evidence[:, kind], minlength=len(cells)).take(found) for kind in (0, 1))
    return distinct, by_text.astype(np.float64, copy=False), by_use.astype(np.float64, copy=False)
