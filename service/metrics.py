"""Prometheus metrics of one app. Each app has a registry of its own, so two apps in a process never clash."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_STAGES = ("wait", "query", "search", "write")
_STAGE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_BATCH_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0)
_PERCENTILES = (10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 100.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class Feed(Protocol):
    """What the metrics read of the feed of other replicas' rows."""

    @property
    def lag(self) -> float:
        """Seconds since everything committed was served."""
        ...

    @property
    def applied(self) -> int: ...

    @property
    def failures(self) -> int: ...


class _FeedCollector(Collector):
    """Reads the feed at each scrape. Reports nothing where there is none."""

    def __init__(self) -> None:
        self.feed: Callable[[], Feed | None] = lambda: None

    def collect(self) -> Iterator[Metric]:
        if (feed := self.feed()) is None:
            return
        yield GaugeMetricFamily(
            "kindred_feed_lag_seconds",
            "Seconds since everything that other replicas committed was served",
            feed.lag,
        )
        yield CounterMetricFamily("kindred_feed_rows", "Rows taken over from other replicas", feed.applied)
        yield CounterMetricFamily(
            "kindred_feed_failures", "Times that the feed of other replicas' rows broke off", feed.failures
        )


class Metrics:
    """Counts what an operator watches. Labels are bounded: route templates and known methods, never ids."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "kindred_requests",
            "Requests answered",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "kindred_request_seconds",
            "Time from the request's head to the end of its answer",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        # Children by their labels, which are few: the library finds a child under a lock, as slowly as it counts.
        self._answered: dict[tuple[str, str, int], Callable[[], None]] = {}
        self._took: dict[tuple[str, str], Callable[[float], None]] = {}
        self._refusals = Counter(
            "kindred_refusals",
            "Requests refused before they were read: no key (missing), a bad key (malformed, ambiguous, unknown, "
            "expired), too narrow a scope (scope), too many requests (rate)",
            ("reason",),
            registry=self.registry,
        )
        for reason in ("missing", "malformed", "ambiguous", "unknown", "expired", "scope", "rate"):
            self._refusals.labels(reason)
        self._recommendations = Counter(
            "kindred_recommendations",
            "Recommendations made, by strategy; popularity is the fallback for a history without known items",
            ("strategy",),
            registry=self.registry,
        )
        self._strategies = {name: self._recommendations.labels(name) for name in ("model", "popularity")}
        self._recommended = Counter(
            "kindred_recommended_items",
            "Items recommended, by kind: cold (no ID embedding of their own), trained",
            ("kind",),
            registry=self.registry,
        )
        self._kinds = {cold: self._recommended.labels("cold" if cold else "trained") for cold in (False, True)}
        stages = Histogram(
            "kindred_recommendation_stage_seconds",
            "Time of a stage: wait (per request, until its computation begins), query (per computation, from "
            "histories to query vectors), search (per computation, the rest), write (per answer, as JSON)",
            ("stage",),
            buckets=_STAGE_SECONDS,
            registry=self.registry,
        )
        self._stages = {stage: stages.labels(stage) for stage in _STAGES}
        self._batch_sizes = Histogram(
            "kindred_recommendations_together",
            "Recommendations computed together, in one micro-batch",
            buckets=_BATCH_SIZES,
            registry=self.registry,
        )
        self._queue = Gauge(
            "kindred_queue_requests",
            "Requests in work or waiting: recommend, long (batches, reads of items), write, export",
            ("queue",),
            registry=self.registry,
        )
        self._queue_refusals = Counter(
            "kindred_queue_refusals",
            "Requests refused because too many were in work or waiting",
            ("queue",),
            registry=self.registry,
        )
        self._writes = Counter(
            "kindred_item_writes",
            "Items written, by outcome: created, unchanged, replaced, deleted; refused: entries of a batch; replayed: "
            "requests answered again under their idempotency key",
            ("outcome",),
            registry=self.registry,
        )
        self._percentile = Histogram(
            "kindred_new_item_error_percentile",
            "Quantization error of registered items as a percentile of the training items' (0 to 100)",
            buckets=_PERCENTILES,
            registry=self.registry,
        )
        self._swaps = Counter(
            "kindred_swaps",
            "Artifacts loaded while another served, by outcome: swapped (it serves now), refused, overtaken "
            "(`current` named another meanwhile), failed (not the artifact's fault; tried again)",
            ("outcome",),
            registry=self.registry,
        )
        for outcome in ("swapped", "refused", "overtaken", "failed"):
            self._swaps.labels(outcome)
        self._refused = self._gauge("kindred_artifact_refused", "1 while `current` names an unfit artifact")
        self._ready = self._gauge("kindred_ready", "1 while the service answers recommendations")
        self._items = self._gauge("kindred_index_items", "Items that can be recommended")
        self._cold = self._gauge("kindred_cold_items", "Items that can be recommended and have no ID embedding")
        self._recall = self._gauge("kindred_index_recall_at_10", "Recall@10 of the index against flat search")
        self._feed = _FeedCollector()
        self.registry.register(self._feed)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(name, text, registry=self.registry)

    def watch(self, items: Callable[[], int], cold: Callable[[], int], recall: float) -> None:
        """Report a ready engine, whose sizes are read at each scrape."""
        self._items.set_function(items)
        self._cold.set_function(cold)
        self._recall.set(recall)
        self._ready.set(1)

    def stopping(self) -> None:
        """The service is stopping."""
        self._ready.set(0)

    def follow(self, feed: Callable[[], Feed | None]) -> None:
        """Report the feed that `feed` returns at each scrape."""
        self._feed.feed = feed

    def unwatch(self) -> None:
        """The engine is going away."""
        self._ready.set(0)
        self._items.set_function(lambda: 0)
        self._cold.set_function(lambda: 0)

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. route: its template. status: 0 if the client left before the answer."""
        method = method if method in _METHODS else "other"
        count = self._answered.get((method, route, status))
        if count is None:
            count = self._answered[method, route, status] = self._requests.labels(method, route, str(status)).inc
        took = self._took.get((method, route))
        if took is None:
            took = self._took[method, route] = self._seconds.labels(method, route).observe
        count()
        took(seconds)

    def observe_refusal(self, reason: str) -> None:
        self._refusals.labels(reason).inc()

    def observe_recommendation(self, strategy: str, items: int = 0, cold: int = 0) -> None:
        """Count one answer. items: all of its items. cold: the cold ones among them."""
        self._strategies[strategy].inc()
        self._kinds[False].inc(items - cold)
        if cold:
            self._kinds[True].inc(cold)

    def observe_stage(self, stage: str, seconds: float) -> None:
        self._stages[stage].observe(seconds)

    def observe_micro_batch(self, size: int) -> None:
        self._batch_sizes.observe(size)

    def watch_queue(self, queue: str, length: Callable[[], int]) -> Callable[[], None]:
        """Report a queue's length at each scrape. Returns a function that counts a refusal."""
        self._queue.labels(queue).set_function(length)
        return self._queue_refusals.labels(queue).inc

    def observe_write(self, outcome: str, percentile: float | None = None) -> None:
        """Count one write. percentile: of the quantization error, for a text that was tokenized for this write."""
        self._writes.labels(outcome).inc()
        if percentile is not None:
            self._percentile.observe(percentile)

    def observe_swap(self, outcome: str) -> None:
        """Count one artifact that was loaded beside another."""
        self._swaps.labels(outcome).inc()

    def report_refused(self, refused: bool) -> None:
        """Report whether `current` names an artifact that cannot be served."""
        self._refused.set(refused)

    def render(self) -> bytes:
        return generate_latest(self.registry)
