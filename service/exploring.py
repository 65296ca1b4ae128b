"""What somebody who gets to know a model looks for: items by words, and users whose next choice is known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from model.artifact import Artifact
from model.items import Item
from service.audience import User, how_many
from service.catalogue import Moment
from service.code_tree import Codes
from service.mapping import Mapper
from service.previewing import Previewer
from service.results import CatalogueMap, CodeTree, Example, Examples, Found, Preview
from service.search import Search
from service.showing import found

_LATEST = 20  # items of a history that an example has
_TRIES = 20  # times as many users are looked at as are wanted: one with an item that is gone is none


class Explorer:
    """Search, examples, previews, codes and the map over the moments of one artifact's catalogue."""

    def __init__(self, artifact: Artifact, unusual_percentile: float) -> None:
        self._artifact = artifact
        self._search = Search()
        self._previewer = Previewer(artifact, unusual_percentile, self._asked)
        self._codes = Codes(artifact)
        self._mapper = Mapper(artifact)

    def search(self, moment: Moment, query: str, limit: int) -> Found:
        """Up to `limit` items that have the words of the query, the last of which may be a beginning; best first."""
        rows = self._search.find(moment, query, limit)
        return Found([found(moment, row) for row in rows], self._artifact.version)

    def examples(self, moment: Moment, count: int, seed: int) -> Examples:
        """Up to `count` users of the test split, drawn with the seed: what they had used, and what they chose then.

        Training has seen none of these choices. None where the artifact holds no evaluation data.
        """
        shown = [
            Example([found(moment, row) for row in user.history], found(moment, user.chosen))
            for user in self._users(moment, count, seed)
        ]
        return Examples(shown, self._artifact.version)

    def preview(self, moment: Moment, item: Item) -> Preview:
        """What an item would be, were it put now, and which users of the test split it would reach."""
        return self._previewer.preview(moment, item)

    def codes(self, moment: Moment, prefix: Sequence[int]) -> CodeTree:
        """What lies below a beginning of semantic IDs."""
        return self._codes.below(moment, prefix)

    def map(self, moment: Moment, limit: int) -> CatalogueMap:
        """Where up to `limit` items lie on the artifact's map."""
        return self._mapper.points(moment, limit)

    def _asked(self, moment: Moment) -> list[User]:
        return self._users(moment, how_many(moment.view.live_count), 0)

    def _users(self, moment: Moment, count: int, seed: int) -> list[User]:
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
