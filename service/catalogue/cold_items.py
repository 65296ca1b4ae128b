"""Cold items by row, with the words of their texts. Places that are reserved for cold items are filled from them."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray

from model.neighbours import Neighbours
from model.words import EMPTY, Bag, Bags, bag_at, stack
from service.index.neighbour_index import ItemLinks
from service.index.scan import Floats, Rows

Number = TypeVar("Number", bound=np.number)


class _Arrays(NamedTuple):
    """Rows, and bags one after another: bag i lies from offsets[i] to offsets[i + 1]. The arrays have room to grow."""

    rows: Rows
    offsets: Rows
    words: NDArray[np.int32]
    weights: Floats


class ColdItems:
    """Grows by appending, rows ascending. One writer; readers take the rows below the end of their snapshot."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._known = neighbours.bags
        self._count = 0
        self._arrays = _Arrays(
            np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.float32)
        )

    def bags(self, links: list[ItemLinks]) -> Bags:
        """The bags of items, a row each. They have no words if the artifact keeps none."""
        return stack([self._bag(each) for each in links], self._known.shape[1])

    def append(self, at: int, links: ItemLinks) -> None:
        bag = self._bag(links)
        # Readers keep the arrays they have. Longer arrays that replace them agree below the readers' end.
        rows, offsets, words, weights = self._arrays
        start = int(offsets[self._count])
        end = start + len(bag.words)
        rows, offsets = _room(rows, self._count + 1), _room(offsets, self._count + 2)
        words, weights = _room(words, end), _room(weights, end)
        rows[self._count], offsets[self._count + 1] = at, end
        words[start:end], weights[start:end] = bag
        self._arrays = _Arrays(rows, offsets, words, weights)
        self._count += 1

    def below(self, n: int) -> tuple[Rows, Bags]:
        """Rows [c] below n and their bags, [c, words]."""
        count = self._count  # before the arrays, which may grow in between
        rows, offsets, words, weights = self._arrays
        count = int(rows[:count].searchsorted(n))
        end = offsets[count]
        shape = (count, self._known.shape[1])
        return rows[:count], sparse.csr_matrix((weights[:end], words[:end], offsets[: count + 1]), shape=shape)

    def _bag(self, links: ItemLinks) -> Bag:
        if links.text_neighbours is not None:
            return links.text_neighbours.bag
        return bag_at(self._known, links.index) if self._known.shape[0] else EMPTY


def _room(array: NDArray[Number], size: int) -> NDArray[Number]:
    """The array, or a longer copy if it holds fewer than `size`; new entries are zero."""
    if len(array) >= size:
        return array
    out = np.zeros(2 * size, array.dtype)
    out[: len(array)] = array
    return out
