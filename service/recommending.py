"""From a request to its recommendation, at one moment: read the history, search, rank, explain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from model.artifact import Artifact
from service.catalogue import Moment
from service.index import Floats, Mask
from service.ranking import diversify, pool_size, shared_codes
from service.results import Recommendation, Recommended, Shared, Why
from service.schemas import RecommendRequest

_CHUNK = 64  # histories that go through the model together: enough to fill it, little memory
_SAMPLE_LENGTH = 5


class _Plan(NamedTuple):
    """A request with its ids looked up. `history`: rows of the known items, oldest first."""

    request: RecommendRequest
    history: list[int]
    unknown: list[str]
    exclude: set[int]
    allow: Mask | None


class Recommender:
    """An artifact's recommender over the moments of a catalogue."""

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact
        self._max_length = artifact.recommender.config.max_length

    def answer(self, moment: Moment, requests: Sequence[RecommendRequest]) -> list[Recommendation]:
        """A recommendation for each request."""
        plans = [_plan(moment, request) for request in requests]
        known = [plan for plan in plans if plan.history]
        queries = iter(self._queries(moment, [plan.history for plan in known]))
        version = self._artifact.version
        return [
            Recommendation(self._by_model(moment, plan, next(queries)), version, "model", plan.unknown)
            if plan.history
            else Recommendation(_by_popularity(moment, plan), version, "popularity", plan.unknown)
            for plan in plans
        ]

    def sample_queries(self, moment: Moment, count: int) -> Floats:
        """Query vectors [count, D] of made-up histories, popular items more often than others; seeded."""
        rng = np.random.default_rng(0)
        n = moment.view.n
        weight = np.array([1 + moment.record(row).popularity for row in range(n)], np.float64)
        drawn = rng.choice(n, (count, _SAMPLE_LENGTH), p=weight / weight.sum())
        return self._queries(moment, drawn.tolist())

    def _queries(self, moment: Moment, histories: Sequence[Sequence[int]]) -> Floats:
        """Query vectors [b, D] of histories of rows, none empty; of long ones the latest items are read."""
        vectors = moment.view.vectors
        out = np.empty((len(histories), vectors.shape[1]), np.float32)
        for start in range(0, len(histories), _CHUNK):
            chunk = histories[start : start + _CHUNK]
            out[start : start + len(chunk)] = self._artifact.query([vectors[rows] for rows in chunk])
        return out

    def _by_model(self, moment: Moment, plan: _Plan, query: Floats) -> list[Recommended]:
        request = plan.request
        wanted = pool_size(request.k) if request.diversity else request.k
        wanted = min(wanted, moment.view.live_count)
        boosts = moment.boosts(plan.history[-self._max_length :])
        found, totals = moment.view.search(query[None, :], wanted, plan.allow, plan.exclude, [boosts])
        rows = found[0][found[0] >= 0]
        scores = totals[0][: len(rows)]
        if request.diversity:
            chosen = diversify(moment, rows, scores, request.k, request.diversity)
            rows, scores = rows[chosen], scores[chosen]
        reasons: Sequence[Why | None] = [None] * len(rows)
        if request.explain:
            semantic, own = moment.view.score_parts(query, rows, boosts)
            read = plan.history[-self._max_length :]
            reasons = [
                Why(float(a), float(b), [Shared(*pair) for pair in shared_codes(moment, int(row), read)])
                for row, a, b in zip(rows, semantic, own, strict=True)
            ]
        return [
            Recommended(record.item_id, score, record.cold, record.attributes, why)
            for record, score, why in zip(map(moment.record, rows.tolist()), scores.tolist(), reasons, strict=True)
        ]


def _plan(moment: Moment, request: RecommendRequest) -> _Plan:
    found = [(item_id, moment.row(item_id)) for item_id in request.history]
    history = [row for _, row in found if row is not None]
    unknown = list(dict.fromkeys(item_id for item_id, row in found if row is None))
    exclude = {row for item_id in request.exclude if (row := moment.row(item_id)) is not None}
    if request.exclude_seen:
        exclude.update(history)
    allow = moment.allowed(request.filter) if request.filter else None
    return _Plan(request, history, unknown, exclude, allow)


def _by_popularity(moment: Moment, plan: _Plan) -> list[Recommended]:
    records = map(moment.record, moment.popular(plan.request.k, plan.allow, plan.exclude))
    return [Recommended(record.item_id, float(record.popularity), record.cold, record.attributes) for record in records]
