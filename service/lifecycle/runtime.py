"""What one app holds while it runs, and how its handlers come by it."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
import anyio.to_thread

from model.artifact import ArtifactError
from service.contract.requests import RecommendRequest
from service.contract.results import Recommendation, Refused
from service.engine.engine import Engine
from service.engine.loading import load_artifact
from service.errors import NotReady, RegistryFull, RegistryRefused, RegistryUnavailable, ServiceError, Superseded
from service.index.coarse import BadIndex
from service.lifecycle.current import is_pinned, named
from service.lifecycle.micro_batching import Together
from service.lifecycle.serving import Serving, serve
from service.lifecycle.swapper import Swapper
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger("kindred.service")

T = TypeVar("T")

# Recommendations times items that are computed on the event loop, some ten milliseconds. A thread would let the loop go
# on, but both need the interpreter: each of its many short steps waits until the loop lets go, for 5 ms while requests
# keep coming. Measured on 2 cores: as many answers a second at 32 connections, at five times the capacity 97 % of them
# instead of 35 % (`benchmarks/overload.py`).
_ON_LOOP = 400_000
_COLD = 8  # a cold item takes as long as so many others where places are reserved: its words are compared
_ALONE = 2  # recommendations by filter, with diversity or with reasons computed at a time
_HEAVY = 2  # batches, exports and long rankings computed at a time; more would only slow each other down
_WRITES = 4  # registrations tokenized at a time; their commits follow one another anyway
_PAUSE, _PAUSE_MAX = 0.5, 8.0  # seconds between two attempts to open the registry: doubled each time
_REFUSALS = 4  # refused connections in a row, some four seconds, after which nobody asks again


class Runtime:
    """Settings, metrics and, once loaded, the engine. `failure` says why there is none."""

    def __init__(self, settings: Settings, metrics: Metrics, now: Callable[[], float]) -> None:
        """now: seconds since 1970."""
        self.settings = settings
        self.metrics = metrics
        self._now = now
        self._serving: Serving | None = None
        self.failure: str | None = None
        self.stopping = False
        # Single recommendations, not in `_heavy`, where they would wait for what takes long.
        self._large = anyio.CapacityLimiter(1)
        self._alone = anyio.CapacityLimiter(_ALONE)
        self.together = Together(self._recommend, self._where, partial(metrics.observe_stage, "wait"))
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
        before = named(self.settings.artifacts)
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
        # What is loaded stays: a full collection that looked through it would hold every request up for 0.2 s.
        gc.freeze()
        self._serve(engine)
        if self._swapper is not None:
            self._swapper.begin()

    def _watching(self) -> Swapper | None:
        if not self.settings.watch or is_pinned(self.settings.artifacts):
            return None
        return Swapper(self.settings, self.metrics, lambda: self.engine, self._serve)

    def _serve(self, engine: Engine) -> None:
        """Let an engine answer from now on, in place of the one before; may be called in any thread."""
        self._serving = serve(engine, self._serving, self._now())
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
        """The engine, as soon as the registry's database is there; None when the app ends before.

        A database that does not answer is waited for; `failure` says so. One that keeps refusing the connection is
        not: a password does not become right. What else is wrong is raised at once.
        """
        began = time.perf_counter()
        artifact = await asyncio.to_thread(load_artifact, self.settings)
        refused = 0
        pause = _PAUSE
        while True:
            try:
                engine = await asyncio.to_thread(Engine.start, self.settings, artifact)
            except RegistryRefused as error:
                # Asked again, because a server that is just starting can look like this, and so can one whose
                # users and databases are being set up.
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
        """Say that the service is going away; what comes is answered as before."""
        self.stopping = True
        self.metrics.stopping()

    async def end(self) -> None:
        """Wait for the loading, if it still runs, and let go of everything."""
        self._ending.set()
        if self._loading is not None:
            await self._loading
        if self._swapper is not None:
            await asyncio.to_thread(self._swapper.stop)
        if self.engine is not None:
            engine, self._serving = self.engine, None
            self.metrics.unwatch()
            engine.close()
            gc.unfreeze()

    @property
    def engine(self) -> Engine | None:
        """The engine that serves, None while there is none."""
        serving = self._serving  # once: another thread may put another in its place
        return None if serving is None else serving.engine

    def serving(self) -> Serving:
        """What serves; raises NotReady with the reason."""
        serving = self._serving
        if serving is None:
            raise NotReady(self.failure or "the artifact and the registry are being loaded")
        return serving

    def ready(self) -> Engine:
        """The engine; raises NotReady with the reason."""
        return self.serving().engine

    @property
    def refused(self) -> Refused | None:
        """What the artifact root names, where it is found unfit to serve in place of what serves."""
        return None if self._swapper is None else self._swapper.refused

    def _recommend(self, requests: Sequence[RecommendRequest]) -> list[Recommendation]:
        """By the engine of this moment, which may be another at the next."""
        self.metrics.observe_micro_batch(len(requests))
        return self.ready().recommend_batch(requests, self.metrics.observe_stage)

    async def _where(self, work: Callable[[], T], requests: Sequence[RecommendRequest]) -> T:
        """Compute recommendations on the event loop, or in a thread where that would hold it up for long."""
        engine = self.ready()
        reserving = sum(map(engine.reserves, requests))
        if len(requests) * len(engine.catalogue) + reserving * _COLD * engine.catalogue.cold <= _ON_LOOP:
            return work()
        return await anyio.to_thread.run_sync(work, limiter=self._large)

    async def alone(self, work: Callable[[], T]) -> T:
        """Run one recommendation that takes longer than others outside the event loop."""
        return await anyio.to_thread.run_sync(work, limiter=self._alone)

    async def heavy(self, work: Callable[[], T]) -> T:
        """Run what takes long outside the event loop."""
        return await anyio.to_thread.run_sync(work, limiter=self._heavy)

    async def writing(self, work: Callable[[Engine], T]) -> T:
        """Run a write, which waits for the disk, outside the event loop, on the engine that serves when it is made."""
        return await anyio.to_thread.run_sync(self._write, work, limiter=self._writes)

    def _write(self, work: Callable[[Engine], T]) -> T:
        while True:
            try:
                return work(self.ready())
            except Superseded:
                continue  # `ready` returns the engine that took over, which has all that was written before
