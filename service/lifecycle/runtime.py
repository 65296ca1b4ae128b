"""What one app holds while it runs: its engine, how that starts and changes, and where work is computed."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from model.artifact import ArtifactError
from service.contract.answers import RecommendResponse
from service.contract.operation_answers import VersionResponse
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.engine.loading import load_artifact
from service.errors import NotReady, RegistryFull, RegistryRefused, RegistryUnavailable, ServiceError, Superseded
from service.explore.explorer import Explorer
from service.index.coarse import BadIndex
from service.lifecycle.current import is_pinned, read_current
from service.lifecycle.micro_batching import MicroBatcher
from service.lifecycle.swapper import Swapper
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger("kindred.service")

T = TypeVar("T")

# Recommendations times items that the event loop computes itself, in some ten milliseconds. A thread would let the loop
# go on, but both need the interpreter: each of the thread's many short steps waits for the loop, 5 ms while requests
# keep coming. Measured on 2 cores: as many answers a second at 32 connections, and at five times the capacity 97 % of
# them instead of 35 % (`benchmarks/overload.py`).
_ON_LOOP = 400_000
_COLD = 8  # with reserved places a cold item takes as long as so many others: its words are compared
_SINGLE = 2  # recommendations with a filter, diversity or reasons that are computed at a time
_HEAVY = 2  # batches, exports and long rankings computed at a time; more would only slow each other down
_WRITES = 4  # registrations tokenized at a time; their commits follow one another anyway
_PAUSE, _PAUSE_MAX = 0.5, 8.0  # seconds between two attempts to open the registry: doubled each time
_REFUSALS = 4  # refused connections in a row, some four seconds, after which the service gives up


@dataclass(frozen=True)
class Active:
    """The engine that serves. A swap replaces all of it at once, so that an answer is about one engine.

    since: UTC, ISO 8601. last_swap: the one that let this engine take over, None since the start.
    """

    engine: Engine
    explorer: Explorer
    since: str
    last_swap: VersionResponse.LastSwap | None


def activate(engine: Engine, before: Active | None, now: float) -> Active:
    """`engine` in place of the one before, None at the start. now: seconds since 1970."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    swap = None
    if before is not None:
        swap = VersionResponse.LastSwap(before.engine.artifact.version, engine.artifact.version, at)
    return Active(engine, Explorer.beside(engine), at, swap)


class Runtime:
    """Settings, metrics and, once it is loaded, the engine. `failure` says why there is none."""

    def __init__(self, settings: Settings, metrics: Metrics, now: Callable[[], float]) -> None:
        """now: seconds since 1970."""
        self.settings = settings
        self.metrics = metrics
        self._now = now
        self._active: Active | None = None
        self.failure: str | None = None
        self.stopping = False
        self.batcher = MicroBatcher(self._recommend, self._compute, partial(metrics.observe_stage, "wait"))
        # Single recommendations have limits of their own, so that they do not wait for heavy work.
        self._large = anyio.CapacityLimiter(1)
        self._single = anyio.CapacityLimiter(_SINGLE)
        self._heavy = anyio.CapacityLimiter(_HEAVY)
        self._writes = anyio.CapacityLimiter(_WRITES)
        self._loading: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()
        metrics.follow(lambda: self.engine.feed if self.engine is not None else None)
        self._swapper: Swapper | None = None

    def begin(self) -> None:
        """Start loading in a thread, while the probes already answer."""
        self._loading = asyncio.create_task(self._load())

    async def _load(self) -> None:
        self._swapper = self._watching()
        before = read_current(self.settings.artifacts)
        try:
            engine = await self._start()
        except (ArtifactError, ServiceError, BadIndex) as error:
            self.failure = str(error)
            log.error("not serving", extra={"reason": self.failure})
            if self._swapper is not None and not isinstance(error, ServiceError):
                self._swapper.begin(refused=before)  # another artifact may do
            return
        except Exception as error:
            self.failure = f"loading failed: {type(error).__name__}, see the log"
            log.exception("not serving")
            return
        if engine is None:
            return
        # Loaded data stays: a full collection that looked through it would hold every request up for 0.2 s.
        gc.freeze()
        self._serve(engine)
        if self._swapper is not None:
            self._swapper.begin()

    def _watching(self) -> Swapper | None:
        if not self.settings.watch or is_pinned(self.settings.artifacts):
            return None
        return Swapper(self.settings, self.metrics, lambda: self.engine, self._serve)

    def _serve(self, engine: Engine) -> None:
        """Let an engine answer from now on, in place of the one before. Any thread may call this."""
        self._active = activate(engine, self._active, self._now())
        self.metrics.watch(lambda: len(engine.catalogue), lambda: engine.catalogue.cold, engine.recall)
        log.info(
            "ready",
            extra={
                "model_version": engine.artifact.version,
                "items": len(engine.catalogue),
                "cold_items": engine.catalogue.cold,
                "index": self.settings.index,
                "recall_at_10": round(engine.recall, 4),
                "seconds": round(engine.started_seconds, 3),
            },
        )

    async def _start(self) -> Engine | None:
        """The engine, as soon as the registry's database is there. None when the app ends before.

        Waits for a database that does not answer; `failure` says so. Gives up on one that keeps refusing the
        connection, because a wrong password stays wrong. Raises every other error at once.
        """
        began = time.perf_counter()
        artifact = await asyncio.to_thread(load_artifact, self.settings)
        refused = 0
        pause = _PAUSE
        while True:
            try:
                engine = await asyncio.to_thread(Engine.start, self.settings, artifact)
            except RegistryRefused as error:
                # Try again: a server that is just starting looks like this, and so does one whose users and databases
                # are being set up.
                refused += 1
                if refused == _REFUSALS:
                    raise
                reason = str(error)
            except (RegistryUnavailable, RegistryFull) as error:
                refused = 0
                reason = str(error)
            else:
                engine.started_seconds = time.perf_counter() - began
                return engine
            self.failure = f"waiting for the registry: {reason}"
            log.warning("waiting for the registry", extra={"reason": reason, "seconds": pause})
            try:
                await asyncio.wait_for(self._ending.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, _PAUSE_MAX)
            else:
                return None

    def stop(self) -> None:
        """Say that the service is going away. It answers requests as before."""
        self.stopping = True
        self.metrics.stopping()

    async def end(self) -> None:
        """Wait for the loading, if it still runs, and release everything."""
        self._ending.set()
        if self._loading is not None:
            await self._loading
        if self._swapper is not None:
            await asyncio.to_thread(self._swapper.stop)
        if self.engine is not None:
            engine, self._active = self.engine, None
            self.metrics.unwatch()
            engine.close()
            gc.unfreeze()

    @property
    def engine(self) -> Engine | None:
        """The engine that serves, None while there is none."""
        active = self._active  # read once: another thread may replace it
        return None if active is None else active.engine

    def active(self) -> Active:
        """The engine that serves, with its explorer. Raises NotReady with the reason."""
        active = self._active
        if active is None:
            raise NotReady(self.failure or "the artifact and the registry are being loaded")
        return active

    def ready(self) -> Engine:
        """The engine that serves. Raises NotReady with the reason."""
        return self.active().engine

    @property
    def refused(self) -> VersionResponse.Refused | None:
        """The version that the artifact root names, if it was found unfit to serve."""
        return None if self._swapper is None else self._swapper.refused

    def _recommend(self, requests: Sequence[RecommendRequest]) -> list[RecommendResponse]:
        """Computed by the engine of this moment; the next batch may get another."""
        self.metrics.observe_micro_batch(len(requests))
        return self.ready().recommend_batch(requests, self.metrics.observe_stage)

    async def _compute(self, work: Callable[[], T], requests: Sequence[RecommendRequest]) -> T:
        """Compute recommendations on the event loop, or in a thread if that would hold the loop up for long."""
        engine = self.ready()
        reserving = sum(map(engine.reserves, requests))
        if len(requests) * len(engine.catalogue) + reserving * _COLD * engine.catalogue.cold <= _ON_LOOP:
            return work()
        return await anyio.to_thread.run_sync(work, limiter=self._large)

    async def run_single(self, work: Callable[[], T]) -> T:
        """Compute one slow recommendation in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._single)

    async def run_heavy(self, work: Callable[[], T]) -> T:
        """Do slow work in a thread."""
        return await anyio.to_thread.run_sync(work, limiter=self._heavy)

    async def run_write(self, work: Callable[[Engine], T]) -> T:
        """Do a write, which waits for the disk, in a thread, with the engine that serves when it is made."""
        return await anyio.to_thread.run_sync(self._write, work, limiter=self._writes)

    def _write(self, work: Callable[[Engine], T]) -> T:
        while True:
            try:
                return work(self.ready())
            except Superseded:
                continue  # `ready` returns the engine that took over, which has every write made before
