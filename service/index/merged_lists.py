"""The artifact's two kinds of neighbour lists merged into one, so that a request walks them once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from model.config import CO_OCCURRENCE, TEXT_SIMILARITY, NeighbourKind
from model.neighbours import Neighbours
from service.index.scan import Floats, Rows

KINDS: tuple[NeighbourKind, NeighbourKind] = (TEXT_SIMILARITY, CO_OCCURRENCE)
"""The order of the two columns wherever evidence or weights have one for each kind."""


class MergedLists(NamedTuple):
    """offsets [n_items + 1], items [m], weights [m, 2]: by kind, zero where the item's list of that kind lacks it."""

    offsets: Rows
    items: Rows
    weights: Floats

    def extents(self, items: Rows) -> tuple[Rows, Rows]:
        """Where the lists of items [n] begin, and their lengths, each [n]."""
        starts = self.offsets[items]
        return starts, self.offsets[items + 1] - starts


def merge_lists(neighbours: Neighbours) -> MergedLists:
    """The merged lists of both kinds; a kind that the artifact lacks has weight zero throughout."""
    n = neighbours.n_items
    keys, weights = {}, {}
    for kind in KINDS:
        lists = neighbours.lists.get(kind)
        owners = np.repeat(np.arange(n), np.diff(lists.offsets)) if lists else np.empty(0, np.int64)
        keys[kind] = owners * n + lists.items if lists else owners
        weights[kind] = lists.weights if lists else np.empty(0, np.float32)
    every = _union(keys[TEXT_SIMILARITY], keys[CO_OCCURRENCE])
    both = np.zeros((len(every), len(KINDS)), np.float32)
    for column, kind in enumerate(KINDS):
        both[every.searchsorted(keys[kind]), column] = weights[kind]
    offsets = every.searchsorted(np.arange(n + 1) * n)
    return MergedLists(offsets.astype(np.int64), every % n if n else every, both)


def _union(one: Rows, other: Rows) -> Rows:
    """The result of `np.union1d`, without holding up other threads.

    NumPy looks for distinct numbers in a hash table and keeps the interpreter's lock: a second for a million numbers.
    A sort releases the lock.
    """
    every = np.concatenate([one, other])
    every.sort()
    first = np.ones(len(every), np.bool_)
    np.not_equal(every[1:], every[:-1], out=first[1:])
    distinct: Rows = every[first]
    return distinct
