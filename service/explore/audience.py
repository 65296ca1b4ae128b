"""Whom an item would reach that is not there yet: users of the test split, each with the best of what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model.artifact import Artifact
from model.numpy_recommender import NumpyRecommender
from service.catalogue.catalogue import Moment
from service.index.neighbour_index import ItemLinks
from service.index.scan import Doubles, Floats, Rows

_CHUNK = 32  # users computed together
_PRODUCTS = 6_000_000  # users times items, at most: about a second, since the answer is waited for
_USERS = 500
_FEWEST = 20
_DEPTH = 100  # places of a user that are known


class User(NamedTuple):
    """Rows of what somebody had used, oldest first, and of what they chose next."""

    history: list[int]
    chosen: int


class Listening(NamedTuple):
    """A user, and the place and score that an item would have with them."""

    user: User
    place: int
    score: float


def how_many(n_items: int) -> int:
    """Users that are asked: fewer where the catalogue is large."""
    return int(np.clip(_PRODUCTS // max(1, n_items), _FEWEST, _USERS))


class Audience:
    """Users at one moment, with the best rows and scores of each, [u, depth], what they had used left out."""

    def __init__(self, artifact: Artifact, moment: Moment, users: Sequence[User]) -> None:
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

    def listening(self, embedding: Floats, links: ItemLinks, row: int | None) -> list[Listening]:
        """Those with an item, its embedding [D], among their best, the highest places first.

        row: of the item that it would take the place of. Who has used that one is not asked.
        """
        if not self.users:
            return []
        split = self._moment.index.split
        products = np.multiply(np.concatenate(self._queries), embedding, dtype=np.float64)
        boosts = self._moment.boosts_if_added(links, [user.history[-self._latest :] for user in self.users])
        totals = (products[:, :split].sum(axis=1) + boosts[0]) + (products[:, split:].sum(axis=1) + boosts[1])
        others = np.concatenate(self._rows) != (-1 if row is None else row)
        # A new item comes after all others in the order that ties are broken by; one that is replaced keeps its place,
        # which makes a difference between equal scores alone.
        places = 1 + ((np.concatenate(self._scores) >= totals[:, None]) & others).sum(axis=1)
        asked = np.array([row is None or row not in user.history for user in self.users])
        found = np.flatnonzero((places <= _DEPTH) & asked)
        order = found[np.lexsort((found, -totals[found], places[found]))]
        return [Listening(self.users[at], int(places[at]), float(totals[at])) for at in order.tolist()]
