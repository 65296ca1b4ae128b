"""Recommending, at one moment: read the history, search, rank, explain."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from model.artifact import Artifact
from model.config import TEXT_SIMILARITY
from model.exposure import reserved_places, text_boosts
from model.items import MAX_ID_LENGTH
from model.numpy_recommender import NumpyRecommender
from service.catalogue.moment import Moment
from service.contract.answers import Reasons, RecommendedItem, RecommendResponse, SharedCodes
from service.contract.requests import RecommendRequest
from service.engine.ranking import diversify, pool_size, shared_codes
from service.errors import shorten
from service.index.boosts import Boosts
from service.index.scan import Doubles, Floats, Mask, Rows

_CHUNK = 32  # requests computed together: enough to keep the processor busy, in little memory
_SAMPLE_LENGTH = 5

Observe = Callable[[str, float], None]


def unobserved(stage: str, seconds: float) -> None:
    """The `Observe` that measures nothing."""


class _Plan(NamedTuple):
    """A request with its ids looked up.

    history: rows of the known items, oldest first. unknown: the other ids; unknown_filter: names of attributes that no
    item has. reserved: places for cold items.
    """

    request: RecommendRequest
    history: list[int]
    unknown: list[str]
    unknown_filter: list[str]
    exclude: set[int]
    allow: Mask | None
    reserved: int


class _Chosen(NamedTuple):
    """rows [n] and their scores [n], as they are answered; the last `reserved` are in reserved places."""

    rows: Rows
    scores: Doubles
    reserved: int = 0


class _Read(NamedTuple):
    """One history, read: its query vector [D], and the boosts of all histories that were read together, of which this
    is the one at `at`. best: the best rows of all, if the search has been made already.
    """

    query: Floats
    all_boosts: Boosts | None
    at: int
    best: _Chosen | None

    @property
    def boosts(self) -> Boosts | None:
        """What neighbours add after this history."""
        return None if self.all_boosts is None else self.all_boosts.history(self.at)


class Recommender:
    """An artifact's recommender over the moments of a catalogue."""

    def __init__(self, artifact: Artifact, cold_share: float = 0.0) -> None:
        """cold_share: for requests that have none of their own."""
        self._version = artifact.version
        self._recommender = NumpyRecommender(artifact.recommender)
        self._cold_share = cold_share
        self._by_text = artifact.neighbours.configs.get(TEXT_SIMILARITY)
        self._max_length = artifact.recommender.config.max_length

    def answer(
        self, moment: Moment, requests: Sequence[RecommendRequest], observe: Observe = unobserved
    ) -> list[RecommendResponse]:
        """A recommendation for each request.

        observe: called with the seconds that the stages `query` and `search` took, for each chunk of requests.
        """
        plans = [_plan(moment, request, self._cold_share) for request in requests]
        made = iter(self._by_model(moment, [plan for plan in plans if plan.history], observe))
        return [
            RecommendResponse(next(made), self._version, "model", plan.unknown, plan.unknown_filter)
            if plan.history
            else RecommendResponse(
                _by_popularity(moment, plan), self._version, "popularity", plan.unknown, plan.unknown_filter
            )
            for plan in plans
        ]

    def reserves(self, request: RecommendRequest) -> bool:
        """Whether the answer has places reserved for cold items."""
        return _reserved(request, self._cold_share) > 0

    def sample_queries(self, moment: Moment, count: int) -> Floats:
        """Query vectors [count, D] of made-up histories, in which popular items come more often. Seeded."""
        rng = np.random.default_rng(0)
        n = moment.index.n
        weight = np.array([1 + moment.record(row).popularity for row in range(n)], np.float64)
        drawn = rng.choice(n, (count, _SAMPLE_LENGTH), p=weight / weight.sum())
        return self._recommender.queries(moment.index.vectors, drawn.tolist())

    def _by_model(self, moment: Moment, plans: Sequence[_Plan], observe: Observe) -> list[list[RecommendedItem]]:
        """The items for each plan. Every plan has a history."""
        out: list[list[RecommendedItem]] = []
        for start in range(0, len(plans), _CHUNK):
            began = time.perf_counter()
            chunk = plans[start : start + _CHUNK]
            queries = self._recommender.queries(moment.index.vectors, [plan.history for plan in chunk])
            searched = time.perf_counter()
            observe("query", searched - began)
            boosts = moment.boosts([plan.history[-self._max_length :] for plan in chunk])
            found = _found(moment, chunk, queries, boosts)
            out += [
                self._answer(moment, plan, _Read(queries[at], boosts, at, found[at])) for at, plan in enumerate(chunk)
            ]
            observe("search", time.perf_counter() - searched)
        return out

    def _answer(self, moment: Moment, plan: _Plan, read: _Read) -> list[RecommendedItem]:
        request = plan.request
        if plan.reserved:
            chosen = self._with_reserved(moment, plan, read)
        else:
            chosen = _best(moment, plan, read, request.k, plan.allow)
        rows, scores, reserved = chosen
        reasons: Sequence[Reasons | None] = [None] * len(rows)
        if request.explain:
            semantic, own = moment.index.score_parts(read.query, rows, read.boosts)
            latest = plan.history[-self._max_length :]
            reasons = [
                Reasons(float(a), float(b), [SharedCodes(*pair) for pair in shared_codes(moment, int(row), latest)])
                for row, a, b in zip(rows, semantic, own, strict=True)
            ]
        places: list[bool | None] = [None] * (len(rows) - reserved) + [True] * reserved
        answers = zip(map(moment.record, rows.tolist()), scores.tolist(), places, reasons, strict=True)
        return [
            RecommendedItem(record.item_id, score, record.cold, record.attributes, place, why)
            for record, score, place, why in answers
        ]

    def _with_reserved(self, moment: Moment, plan: _Plan, read: _Read) -> _Chosen:
        """The best trained items, followed by the best cold items in the reserved places."""
        k = plan.request.k
        cold = self._cold(moment, plan, read)
        count = min(plan.reserved, len(cold.rows))
        trained = _trained(moment, plan, read, k - count)
        count = min(len(cold.rows), k - len(trained.rows))  # more if there are too few trained items
        return _Chosen(
            np.concatenate([trained.rows, cold.rows[:count]]),
            np.concatenate([trained.scores, cold.scores[:count]]),
            count,
        )

    def _cold(self, moment: Moment, plan: _Plan, read: _Read) -> _Chosen:
        """The best cold items, at most k, compared with each other alone (`model.exposure`); with their scores."""
        rows, there, bags = moment.cold_rows(plan.allow, plan.exclude)
        added = np.where(there, 0.0, -np.inf)
        by_words = self._by_text is not None
        if self._by_text is not None:
            added += text_boosts(moment.bags(plan.history[-self._max_length :]), bags, self._by_text)
        if read.boosts is not None:
            semantic, own = read.boosts.of(rows)
            added += own if by_words else semantic + own
        best = moment.index.best_among(read.query, rows, added, plan.request.k, by_words)
        return _Chosen(best, np.add(*moment.index.score_parts(read.query, best, read.boosts)))


def _found(
    moment: Moment, plans: Sequence[_Plan], queries: Floats, boosts: Boosts | None
) -> list[_Chosen] | list[None]:
    """The best rows for each plan, by one search. Nones if a plan filters or asks for diversity."""
    if not all(plan.allow is None and not plan.request.diversity for plan in plans):
        return [None] * len(plans)
    counts = [min(plan.request.k, moment.index.live_count) for plan in plans]
    rows, scores = moment.index.search(queries, max(counts), None, [plan.exclude for plan in plans], boosts)
    there = np.minimum((rows >= 0).sum(axis=1), counts).tolist()
    return [_Chosen(rows[at, :count], scores[at, :count]) for at, count in enumerate(there)]


def _best(moment: Moment, plan: _Plan, read: _Read, k: int, allow: Mask | None) -> _Chosen:
    """The k best of the allowed rows, or of all; less similar ones if the request asks for diversity."""
    if read.best is not None and allow is None and k <= plan.request.k:
        return _Chosen(read.best.rows[:k], read.best.scores[:k])
    diversity = plan.request.diversity
    wanted = min(pool_size(k) if diversity else k, moment.index.live_count)
    found, totals = moment.index.search(read.query[None], wanted, allow, [plan.exclude], read.boosts)
    rows = found[0][found[0] >= 0]
    scores = totals[0][: len(rows)]
    if diversity:
        chosen = diversify(moment, rows, scores, k, diversity)
        rows, scores = rows[chosen], scores[chosen]
    return _Chosen(rows, scores)


def _trained(moment: Moment, plan: _Plan, read: _Read, k: int) -> _Chosen:
    """The k best items that are not cold."""
    if not k:
        return _Chosen(np.empty(0, np.int64), np.empty(0))
    if not plan.request.diversity:
        # Cold items are rarely among the best. So search all rows first, which an index speeds up.
        rows, scores, _ = _best(moment, plan, read, plan.request.k, plan.allow)
        trained = np.array([not moment.record(row).cold for row in rows.tolist()], np.bool_)
        if trained.sum() >= k:
            return _Chosen(rows[trained][:k], scores[trained][:k])
    return _best(moment, plan, read, k, moment.trained(plan.allow))


def _plan(moment: Moment, request: RecommendRequest, cold_share: float) -> _Plan:
    found = [(item_id, moment.row(item_id)) for item_id in request.history]
    history = [row for _, row in found if row is not None]
    unknown = list(dict.fromkeys(item_id for item_id, row in found if row is None))
    exclude = {row for item_id in request.exclude if (row := moment.row(item_id)) is not None}
    if request.exclude_seen:
        exclude.update(history)
    allow = moment.allowed(request.filter) if request.filter else None
    # Nobody has checked these names, as ids are checked: an answer needs them short and in UTF-8.
    unknown_filter = [shorten(name, MAX_ID_LENGTH) for name in moment.unknown(request.filter)] if request.filter else []
    return _Plan(request, history, unknown, unknown_filter, exclude, allow, _reserved(request, cold_share))


def _reserved(request: RecommendRequest, cold_share: float) -> int:
    """The number of places for cold items. cold_share: for a request that has none of its own."""
    return reserved_places(cold_share if request.cold_share is None else request.cold_share, request.k)


def _by_popularity(moment: Moment, plan: _Plan) -> list[RecommendedItem]:
    records = map(moment.record, moment.popular(plan.request.k, plan.allow, plan.exclude))
    return [RecommendedItem(each.item_id, float(each.popularity), each.cold, each.attributes) for each in records]
