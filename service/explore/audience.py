"""Example users from the test split, and the ones whom an item would reach."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact import Artifact
from model.numpy_recommender import NumpyRecommender
from model.parquet import read_parquet
from service.catalogue.moment import Moment
from service.index.neighbour_index import ItemLinks
from service.index.scan import Doubles, Floats, Rows

_LATEST = 20  # items of a history
_TRIES = 20  # users looked at for each one wanted: a user with an item that is gone does not count
_CHUNK = 32  # users computed together
_PRODUCTS = 6_000_000  # users times items, at most: about a second, since somebody waits for the answer
_USERS = 500
_FEWEST = 20
_DEPTH = 100  # ranks of a user that are known


class ExampleUser(NamedTuple):
    """The rows of what a user had used, oldest first, and the row of what they chose next."""

    history: list[int]
    chosen: int


class Reach(NamedTuple):
    """A user whom an item reaches, with the item's rank and score among all that this user could be recommended."""

    user: ExampleUser
    rank: int
    score: float


class ExampleUsers:
    """The users of an artifact's test split; none if it holds no evaluation data."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact

    def asked(self, moment: Moment) -> list[ExampleUser]:
        """The users that a preview asks: the same for all previews of one moment."""
        return self.drawn(moment, users_to_ask(moment.index.live_count), 0)

    def drawn(self, moment: Moment, count: int, seed: int) -> list[ExampleUser]:
        """Up to `count` users, drawn with the seed; only users all of whose items are served."""
        out: list[ExampleUser] = []
        drawn = np.random.default_rng(seed).permutation(len(self._sequences))[: _TRIES * count].tolist()
        for user in drawn:
            rows = self._rows(moment, self._sequences[user][-_LATEST - 1 :])
            if len(rows) > 1:
                out.append(ExampleUser(rows[:-1], rows[-1]))
            if len(out) == count:
                break
        return out

    def _rows(self, moment: Moment, sequence: Sequence[int]) -> list[int]:
        """The rows of a user's items; empty if one of the items is not served."""
        items = self._artifact.items.items
        rows = [moment.row(items[index].item_id) for index in sequence]
        served = [row for row in rows if row is not None]
        return served if len(served) == len(rows) else []

    @cached_property
    def _sequences(self) -> list[NDArray[np.int32]]:
        if self._artifact.evaluation is None:
            return []
        column = read_parquet(self._artifact.evaluation)["sequence"].combine_chunks()
        flat, offsets = column.values.to_numpy(), column.offsets.to_numpy()
        return [flat[start:end] for start, end in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)]


def users_to_ask(n_items: int) -> int:
    """How many users a preview asks: fewer in a large catalogue."""
    return int(np.clip(_PRODUCTS // max(1, n_items), _FEWEST, _USERS))


class RankedUsers:
    """Users at one moment, each with their best rows and scores [users, depth], without what they had used."""

    def __init__(self, artifact: Artifact, moment: Moment, users: Sequence[ExampleUser]) -> None:
        self.users = users
        self._moment = moment
        self._recommender = NumpyRecommender(artifact.recommender)
        self._latest = artifact.recommender.config.max_length
        self._queries: list[Floats] = []
        self._rows: list[Rows] = []
        self._scores: list[Doubles] = []
        for start in range(0, len(users), _CHUNK):
            histories = [user.history for user in users[start : start + _CHUNK]]
            queries = self._recommender.queries(moment.index.vectors, histories)
            boosts = moment.boosts([history[-self._latest :] for history in histories])
            rows, scores = moment.index.search(queries, _DEPTH, None, list(map(set, histories)), boosts)
            self._queries.append(queries)
            self._rows.append(rows)
            self._scores.append(scores)

    def reached_by(self, embedding: Floats, links: ItemLinks, row: int | None) -> list[Reach]:
        """The users who would have an item with this embedding [D] among their best, the highest ranks first.

        row: of the item that it would replace. Users of that item are not asked.
        """
        if not self.users:
            return []
        split = self._moment.index.split
        products = np.multiply(np.concatenate(self._queries), embedding, dtype=np.float64)
        boosts = self._moment.boosts_if_added(links, [user.history[-self._latest :] for user in self.users])
        totals = (products[:, :split].sum(axis=1) + boosts[0]) + (products[:, split:].sum(axis=1) + boosts[1])
        others = np.concatenate(self._rows) != (-1 if row is None else row)
        # Ties go to the item that comes first in the order of items, and a new item comes last. One that replaces
        # another comes earlier; that matters between equal scores alone, and is ignored here.
        ranks = 1 + ((np.concatenate(self._scores) >= totals[:, None]) & others).sum(axis=1)
        asked = np.array([row is None or row not in user.history for user in self.users])
        found = np.flatnonzero((ranks <= _DEPTH) & asked)
        order = found[np.lexsort((found, -totals[found], ranks[found]))]
        return [Reach(self.users[at], int(ranks[at]), float(totals[at])) for at in order.tolist()]
