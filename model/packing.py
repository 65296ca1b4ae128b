"""Packed histories: one behind another without padding, the shortest first, so that equal lengths lie together.

Histories of one length are a *run*, and a run is a plain dense tensor: attention reads it as a view, and all else in
the recommender works token by token. Most histories are short and a few very long; with padding to the longest of a
batch, half of the work would be on nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple


class Run(NamedTuple):
    """`histories` of `length` items each."""

    histories: int
    length: int

    @property
    def tokens(self) -> int:
        return self.histories * self.length


Runs = tuple[Run, ...]


class Packing(NamedTuple):
    """order: which history comes where, by length, equal lengths as given. runs: what they form."""

    order: list[int]
    runs: Runs


def pack(lengths: Sequence[int]) -> Packing:
    """How histories of these lengths are packed. Raises ValueError for an empty one: it has no token."""
    # Plain Python: for the one history of a request, NumPy's sorting would take longer than a layer of the recommender.
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    if order and lengths[order[0]] < 1:
        raise ValueError("histories: an empty history has no query vector")
    kinds = groupby(order, key=lengths.__getitem__)
    return Packing(order, tuple(Run(sum(1 for _ in members), length) for length, members in kinds))
