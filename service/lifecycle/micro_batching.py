"""Requests that wait together are computed together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, NamedTuple, TypeVar

A = TypeVar("A")
B = TypeVar("B")

# At once: enough to read the histories and the rows once for many, little enough that the next ones wait for 10 ms.
_TOGETHER = 16
_TURNS = 4  # of the event loop between two computations, for its other work; in one it takes in a few connections


class _Waiting(NamedTuple, Generic[A, B]):
    asked: A
    answer: asyncio.Future[B]
    since: float


class Together(Generic[A, B]):
    """Collects what is asked while a computation runs, or in one turn of the event loop, for the next computation.

    Nothing waits for company: one that comes alone is computed alone, at the next turn of the loop. Where a
    computation of several fails each is computed by itself, so that an error stays with the one that caused it. One
    whose caller has gone (its task was cancelled) before its turn is not computed.
    """

    def __init__(
        self,
        compute: Callable[[Sequence[A]], Sequence[B]],
        run: Callable[[Callable[[], Sequence[B]], Sequence[A]], Awaitable[Sequence[B]]],
        waited: Callable[[float], None] = lambda seconds: None,
        most: int = _TOGETHER,
    ) -> None:
        """compute: answers in the order of what is asked. run: calls it for what is asked, on the event loop or off it.
        waited: is told how many seconds each waited.
        """
        self._compute = compute
        self._run = run
        self._waited = waited
        self._most = most
        self._queue: deque[_Waiting[A, B]] = deque()
        self._worker: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many wait and are not being computed."""
        return len(self._queue)

    async def __call__(self, asked: A) -> B:
        """The answer; raises what computing it raises."""
        answer: asyncio.Future[B] = asyncio.get_running_loop().create_future()
        self._queue.append(_Waiting(asked, answer, time.perf_counter()))
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

    def _next(self) -> list[_Waiting[A, B]]:
        batch: list[_Waiting[A, B]] = []
        now = time.perf_counter()
        while self._queue and len(batch) < self._most:
            waiting = self._queue.popleft()
            if not waiting.answer.done():
                self._waited(now - waiting.since)
                batch.append(waiting)
        return batch

    async def _answer(self, batch: list[_Waiting[A, B]]) -> None:
        try:
            asked = [waiting.asked for waiting in batch]
            answers = await self._run(partial(self._compute, asked), asked)
        except Exception as error:  # noqa: BLE001 (it is raised again, where it is waited for)
            if len(batch) == 1:
                _settle(batch[0].answer, error)
                return
            for waiting in batch:
                await self._answer([waiting])
            return
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)


def _settle(answer: asyncio.Future[B], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
