"""Micro-batching: requests that wait at the same moment are computed together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

A = TypeVar("A")
B = TypeVar("B")

# Enough to read the histories and the rows once for many, and few enough that the next ones wait for 10 ms.
_BATCH = 16
_TURNS = 4  # of the event loop between two computations, for its other work; in each it takes in a few connections


class _Pending(NamedTuple, Generic[A, B]):
    request: A
    answer: asyncio.Future[B]
    since: float


class MicroBatcher(Generic[A, B]):
    """Collects the requests that come while a batch is computed, or in one turn of the event loop, for the next batch.

    No request waits for company: one that comes alone is computed alone, at the next turn of the loop. When a batch
    fails, each of its requests is computed by itself, so that an error stays with the request that caused it. A request
    whose caller has gone (its task was cancelled) before its turn is not computed.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[A]], Sequence[B]],
        run: Callable[[Callable[[], Sequence[B]], Sequence[A]], Awaitable[Sequence[B]]],
        waited: Callable[[float], None] = lambda seconds: None,
        most: int = _BATCH,
    ) -> None:
        """compute: answers a batch, in its order. run: calls it for a batch, on the event loop or off it. waited: gets
        the seconds that each request waited.
        """
        self._compute = compute
        self._run = run
        self._waited = waited
        self._most = most
        self._queue: deque[_Pending[A, B]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many requests wait and are not being computed."""
        return len(self._queue)

    async def submit(self, request: A) -> B:
        """The answer to a request. Raises what computing it raises."""
        answer: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._queue.append(_Pending(request, answer, time.perf_counter()))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        try:
            while batch := self._next():
                await self._answer(batch)
                for _ in range(_TURNS):
                    if self._queue:
                        await asyncio.sleep(0)
        finally:
            self._worker = None

    def _next(self) -> list[_Pending[A, B]]:
        batch: list[_Pending[A, B]] = []
        now = time.perf_counter()
        while self._queue and len(batch) < self._most:
            pending = self._queue.popleft()
            if not pending.answer.done():
                self._waited(now - pending.since)
                batch.append(pending)
        return batch

    async def _answer(self, batch: list[_Pending[A, B]]) -> None:
        try:
            requests = [pending.request for pending in batch]
            answers = await self._run(partial(self._compute, requests), requests)
        except Exception as error:  # noqa: BLE001 (`submit` raises it again)
            if len(batch) == 1:
                _settle(batch[0].answer, error)
                return
            for pending in batch:
                await self._answer([pending])
            return
        for pending, answer in zip(batch, answers, strict=True):
            if not pending.answer.done():
                pending.answer.set_result(answer)


def _settle(answer: asyncio.Future[B], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
