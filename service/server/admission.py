"""How many requests may be in work or wait. The service refuses more at once, so that those inside stay quick.

A queue without a bound turns overload into waiting that never ends. There are four queues, so that none takes another's
slots: `recommend` (POST /recommend), `long` (batches, lists, similar items, looking around), `write`, and `export`,
whose answers take as long as their readers do. Probes, metrics and documentation are never counted.

A request takes its slot once its body is there, and leaves it once its answer is made. So a client that sends or reads
slowly, or not at all, holds no slot. It holds a connection and a part of a body, which have limits of their own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.problems import Problem
from service.metrics import Metrics
from service.security import problem_answers
from service.settings import Settings

log = logging.getLogger("kindred.service")

_LONG = frozenset(("/recommend/batch", "/items/preview", "/search", "/examples", "/codes", "/map"))
_EXPORTS = 8  # at a time: a slow reader holds a slot for as long as it reads
_BODIES = ("POST", "PUT")
_LOG_EVERY = 1.0  # seconds; refusals are too many to be logged one by one


class Busy(HTTPException):
    """Too many requests wait. It is an HTTPException because FastAPI passes on only those from reading a body."""

    def __init__(self) -> None:
        detail = "more requests wait than this service answers in time; it was not begun and can be sent again"
        super().__init__(503, detail)


class Queue:
    """Lets `limit` requests in at a time; 0: any number."""

    def __init__(self, name: str, limit: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.inside = 0
        self._limit = limit
        self._count_refusal = metrics.watch_queue(name, lambda: self.inside)
        self._clock = clock
        self._unlogged = 0
        self._logged = -_LOG_EVERY

    @property
    def is_full(self) -> bool:
        """Whether the next request would be refused."""
        return self.inside >= self._limit > 0

    def enter(self) -> bool:
        """True: the request is in, and has to `leave` in the end. False: it is refused, and counted as such."""
        if self.is_full:
            self._count_refusal()
            self._log_refusal()
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        self.inside -= 1

    def _log_refusal(self) -> None:
        self._unlogged += 1
        now = self._clock()
        if now - self._logged >= _LOG_EVERY:
            log.warning("refusing requests: too many wait", extra={"queue": self.name, "refused": self._unlogged})
            self._logged, self._unlogged = now, 0


class Queues:
    """The queues of one app."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.recommend = Queue("recommend", settings.queue_max, metrics)
        self._long = Queue("long", settings.queue_max, metrics)
        self._write = Queue("write", settings.write_queue_max, metrics)
        self._export = Queue("export", _EXPORTS, metrics)

    def of(self, scope: Scope) -> Queue | None:
        """The queue of a request; None for a request that is never refused."""
        method, path = scope["method"], scope["path"]
        if path == "/recommend":
            return self.recommend
        if path in _LONG:
            return self._long
        if path == "/items/export" and method in ("GET", "HEAD"):
            return self._export
        if path == "/items" or path.startswith("/items/"):
            return self._long if method in ("GET", "HEAD") else self._write
        return None


class Admission:
    """Refuses a request with 503 and Retry-After when its queue is full.

    The connection may have let the request in already (`service.server.connection`): then `scope["admitted"]` is the
    queue to leave.
    """

    def __init__(self, app: ASGIApp, queues: Queues) -> None:
        self.app = app
        self._queues = queues

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        queue = None
        if scope["type"] == "http":
            admitted: Queue | None = scope.pop("admitted", None)
            queue = admitted or self._queues.of(scope)
        if queue is None:
            await self.app(scope, receive, send)
            return
        slot = _Slot(queue, admitted is not None)
        if not slot.taken and (queue.is_full or scope["method"] not in _BODIES) and not slot.take():
            await problem_answers.response(busy(), Request(scope))(scope, receive, send)
            return
        try:
            await self.app(scope, slot.taking(receive), slot.leaving(send))
        finally:
            slot.leave()


class _Slot:
    """One request's slot in a queue, from the end of its body until its answer is made."""

    def __init__(self, queue: Queue, taken: bool) -> None:
        self.taken = taken
        self._queue = queue
        self._left = False

    def take(self) -> bool:
        self.taken = self._queue.enter()
        return self.taken

    def leave(self) -> None:
        if self.taken and not self._left:
            self._queue.leave()
        self._left = True

    def taking(self, receive: Receive) -> Receive:
        """`receive` that takes the slot with the last part of the body. It raises Busy when the queue is full."""
        if self.taken:
            return receive

        async def received() -> Message:
            message = await receive()
            ends = message["type"] == "http.request" and not message.get("more_body")
            if ends and not (self.taken or self._left or self.take()):
                raise Busy
            return message

        return received

    def leaving(self, send: Send) -> Send:
        """`send` that leaves the slot when the answer has a known length: it is computed by then."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_whole(message):
                self.leave()
            await send(message)

        return sent


def _is_whole(start: Message) -> bool:
    return any(name == b"content-length" for name, _ in start["headers"])


def busy() -> Problem:
    """What a request gets that is refused here."""
    return Problem("overloaded", 503, Busy().detail)
