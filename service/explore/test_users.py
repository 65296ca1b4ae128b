"""Users of the test split, whose next choice is known, as far as their items are served."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from model.artifact import Artifact
from service.catalogue.catalogue import Moment
from service.explore.audience import User, how_many

_LATEST = 20  # items of a history
_TRIES = 20  # times as many users are looked at as are wanted: one with an item that is gone is none


class Users:
    """Those of one artifact; none where it holds no evaluation data."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def asked(self, moment: Moment) -> list[User]:
        """Those whom an item is tried with: always the same ones."""
        return self.drawn(moment, how_many(moment.index.live_count), 0)

    def drawn(self, moment: Moment, count: int, seed: int) -> list[User]:
        """Up to `count` of them, drawn with the seed."""
        out: list[User] = []
        drawn = np.random.default_rng(seed).permutation(len(self._sequences))[: _TRIES * count].tolist()
        for user in drawn:
            rows = self._rows(moment, self._sequences[user][-_LATEST - 1 :])
            if len(rows) > 1:
                out.append(User(rows[:-1], rows[-1]))
            if len(out) == count:
                break
        return out

    def _rows(self, moment: Moment, sequence: Sequence[int]) -> list[int]:
        """The rows of a user's items; none where one of them is not served."""
        items = self._artifact.items.items
        rows = [moment.row(items[index].item_id) for index in sequence]
        served = [row for row in rows if row is not None]
        return served if len(served) == len(rows) else []

    @cached_property
    def _sequences(self) -> list[NDArray[np.int32]]:
        if self._artifact.evaluation is None:
            return []
        column = parquet.read_table(io.BytesIO(self._artifact.evaluation))["sequence"].combine_chunks()
        flat, offsets = column.values.to_numpy(), column.offsets.to_numpy()
        return [flat[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]
