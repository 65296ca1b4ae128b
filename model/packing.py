"""Packed histories: one behind another without padding, the shortest first, so that equal lengths lie together.

Histories of one length are a *run*, and a run is a plain dense tensor: attention reads it as a view, and all else in
the recommender works token by token. Most histories are short and a few very long; with padding to the longest of a
batch, half of the work would be on nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Run(NamedTuple):
    """`histories` of `length` items each."""

    histories: int
    length: int

    @property
    def tokens(self) -> int:
        return self.histories * self.length


Runs = tuple[Run, ...]


class Packing(NamedTuple):
    """order [histories] int64: which history comes where, by length, equal lengths as given. runs: what they form."""

    order: NDArray[np.int64]
    runs: Runs


def pack(lengths: Sequence[int] | NDArray[np.int64]) -> Packing:
    """How histories of these lengths are packed. Raises ValueError for an empty one: it has no token."""
    lengths = np.asarray(lengths, dtype=np.int64)
    if lengths.min(initial=1) < 1:
        raise ValueError("histories: an empty history has no query vector")
    kinds, counts = np.unique(lengths, return_counts=True)
    runs = tuple(Run(count, length) for count, length in zip(counts.tolist(), kinds.tolist(), strict=True))
    return Packing(np.argsort(lengths, kind="stable"), runs)
