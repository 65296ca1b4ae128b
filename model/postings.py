"""Posting lists: for each item, other items and their weights, all lists in three arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]


class PostingList(NamedTuple):
    """One list. items [m] int64, weights [m] float32, above zero."""

    items: Integers
    weights: Floats

    def first(self, count: int) -> PostingList:
        return PostingList(self.items[:count], self.weights[:count])


NO_POSTINGS = PostingList(np.empty(0, np.int64), np.empty(0, np.float32))


class PostingLists(NamedTuple):
    """The lists of n items, one behind another.

    offsets [n + 1] int64: the list of item i lies from offsets[i] to offsets[i + 1]. items [m] int32, weights [m]
    float32, above zero.
    """

    offsets: Integers
    items: NDArray[np.int32]
    weights: Floats

    def of(self, item: int) -> PostingList:
        """The list of one item."""
        part = slice(self.offsets[item], self.offsets[item + 1])
        return PostingList(self.items[part].astype(np.int64), self.weights[part])

    def gather(self, items: Integers, factors: Doubles) -> tuple[Integers, Integers, Doubles]:
        """The lists of `items` [r] one behind another: (list, item, weight), each [m].

        `list` counts the given items from 0. Weights are multiplied by the list's factor of factors [r].
        """
        starts = self.offsets[items]
        lengths = self.offsets[items + 1] - starts
        of = np.repeat(np.arange(len(items)), lengths)
        at = np.arange(len(of)) + (starts - lengths.cumsum() + lengths)[of]
        return of, self.items[at].astype(np.int64), self.weights[at] * factors[of]

    def heaviest(self, items: Integers, factors: Doubles, count: int) -> PostingList:
        """The `count` items with the largest sums of weights over the lists of `items`; see `gather`."""
        _, gathered, amounts = self.gather(items, factors)
        listed, weights = sum_by_key(gathered, amounts)
        best = np.argsort(-weights, kind="stable")[:count]
        return PostingList(listed[best], weights[best].astype(np.float32))

    def transposed(self) -> PostingLists:
        """The inverted lists: for each item, the items whose lists name it."""
        n_items = len(self.offsets) - 1
        owners = np.repeat(np.arange(n_items), np.diff(self.offsets))
        order = np.argsort(self.items, kind="stable")
        offsets = np.searchsorted(self.items[order], np.arange(n_items + 1))
        return PostingLists(offsets.astype(np.int64), owners[order].astype(np.int32), self.weights[order])


def posting_lists(items: Sequence[NDArray[np.integer]], weights: Sequence[NDArray[np.floating]]) -> PostingLists:
    """One list for each pair of arrays, in their order."""
    lengths = np.array([0, *(len(each) for each in items)], np.int64)
    return PostingLists(
        lengths.cumsum(),
        np.concatenate([np.empty(0, np.int32), *items]).astype(np.int32),
        np.concatenate([np.empty(0, np.float32), *weights]).astype(np.float32),
    )


def sum_by_key(keys: Integers, amounts: Doubles) -> tuple[Integers, Doubles]:
    """The distinct keys, ascending, and the sum of the amounts of each."""
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(place, amounts, minlength=len(distinct)).astype(np.float64, copy=False)
