"""Boosts: the sums that neighbours add to the scores of a few rows (`service.index.neighbour_index` finds them)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.index.scan import Doubles, Rows


@dataclass(frozen=True, slots=True)
class Boosts:
    """Additions to the two parts of scores, after one history or several at once.

    A cell is a row of the index for one of the histories: row r for history h is cell h · n_rows + r. So for one
    history, cells are rows. cells [m] int64: distinct, in any order. semantic, own [m]: added to the semantic and to
    the ID part of the score. All other cells get nothing.
    """

    n_rows: int
    cells: Rows
    semantic: Doubles
    own: Doubles

    @property
    def total(self) -> Doubles:
        return self.semantic + self.own

    def history(self, at: int) -> Boosts:
        """The boosts of one history."""
        return self.histories(at, at + 1)

    def histories(self, start: int, stop: int) -> Boosts:
        """The boosts of the histories start … stop − 1."""
        begin, end = start * self.n_rows, stop * self.n_rows
        return self.only((begin <= self.cells) & (self.cells < end), begin)

    def only(self, kept: NDArray[np.bool_], begin: int = 0) -> Boosts:
        """The boosts of the cells that `kept` [m] marks; their numbers count from `begin`."""
        return Boosts(self.n_rows, self.cells[kept] - begin, self.semantic[kept], self.own[kept])

    def of(self, cells: Rows) -> tuple[Doubles, Doubles]:
        """The semantic and the ID part for cells [n], each [n]; zero where a cell has no boost."""
        if not len(self.cells):
            return np.zeros(len(cells)), np.zeros(len(cells))
        order = self.cells.argsort()
        at = order[np.minimum(self.cells.searchsorted(cells, sorter=order), len(order) - 1)]
        found = self.cells[at] == cells
        return np.where(found, self.semantic[at], 0.0), np.where(found, self.own[at], 0.0)

    def add_to(self, cells: Rows, semantic: Doubles, own: Doubles, kept: NDArray[np.bool_]) -> None:
        """Add the boosts that `kept` [m] marks to the parts `semantic` and `own` of ascending cells [n].

        The same sums as with `of`, quicker where boosts are many and cells few.
        """
        if not len(cells):
            return
        chosen = np.flatnonzero(kept)
        mine = self.cells.take(chosen)
        at = np.minimum(cells.searchsorted(mine), len(cells) - 1)
        found = np.flatnonzero(cells.take(at) == mine)
        chosen, at = chosen.take(found), at.take(found)
        semantic[at] += self.semantic.take(chosen)
        own[at] += self.own.take(chosen)
