"""Cold items by row, with their texts: what places that are reserved for them are filled from."""

from __future__ import annotations

import numpy as np

from model.neighbours import Neighbours
from service.boosts import Place
from service.scan import Floats, Rows


class ColdItems:
    """Grows by appending, rows ascending; one writer, and readers that take the rows below the end of their view."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._known = neighbours.texts
        self._count = 0
        self._held: tuple[Rows, Floats] = np.empty(0, np.int64), np.empty((0, neighbours.texts.shape[1]), np.float32)

    def text(self, place: Place) -> Floats:
        """The text embedding [T] of an item, of length 1 or 0; [0] where the artifact keeps no texts."""
        if place.joining is not None:
            return place.joining.text
        return self._known[place.index] if len(self._known) else np.empty(0, np.float32)

    def append(self, row: int, place: Place) -> None:
        rows, texts = self._held
        if self._count == len(rows):
            # Readers keep the arrays they hold; what lies below their end is the same in both.
            size = 2 * len(rows) + 16
            rows, texts = np.resize(rows, size), np.resize(texts, (size, texts.shape[1]))
            rows[self._count :] = 0
        rows[self._count] = row
        texts[self._count] = self.text(place)
        self._held = rows, texts
        self._count += 1

    def below(self, n: int) -> tuple[Rows, Floats]:
        """Rows [c] below n and their texts [c, T]."""
        count = self._count  # before the arrays: they may grow in between, and then hold more
        rows, texts = self._held
        count = int(rows[:count].searchsorted(n))
        return rows[:count], texts[:count]
