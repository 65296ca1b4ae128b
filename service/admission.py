"""How many requests may be in work or wait: beyond that they are refused at once, so that those inside stay quick.

A queue without a bound turns overload into waiting that never ends. Three queues, so that none takes another's places:
`recommend` (POST /recommend), `long` (batches, lists, similar items, looking around) and `write`. Probes, metrics and
documentation are never counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.metrics import Metrics
from service.problems import Problem
from service.settings import Settings

log = logging.getLogger("kindred.service")

_BUSY = "more requests wait than this service answers in time; it was not begun and can be sent again"
_LONG = frozenset(("/recommend/batch", "/items/preview", "/search", "/examples", "/codes", "/map"))
_SECONDS = 1.0  # between two lines of the log on refusals, which are too many to be logged one by one


class Gate:
    """Lets `limit` requests in at a time; 0: any number."""

    def __init__(self, name: str, limit: int, metrics: Metrics, clock: Callable[[], float] = time.monotonic) -> None:
        self.name = name
        self.inside = 0
        self._limit = limit
        self._refused = metrics.watch_queue(name, lambda: self.inside)
        self._clock = clock
        self._unsaid = 0
        self._said = -_SECONDS

    @property
    def is_full(self) -> bool:
        """Whether the next one would be refused."""
        return self.inside >= self._limit > 0

    def enter(self) -> bool:
        """True when the request may go on, and has to `leave` in the end; False, counted, when it is refused."""
        if self.is_full:
            self._refused()
            self._say()
            return False
        self.inside += 1
        return True

    def leave(self) -> None:
        self.inside -= 1

    def _say(self) -> None:
        self._unsaid += 1
        now = self._clock()
        if now - self._said >= _SECONDS:
            log.warning("refusing requests: too many wait", extra={"queue": self.name, "refused": self._unsaid})
            self._said, self._unsaid = now, 0


class Gates:
    """The gates of one app."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.recommend = Gate("recommend", settings.queue_max, metrics)
        self._long = Gate("long", settings.queue_max, metrics)
        self._write = Gate("write", settings.write_queue_max, metrics)

    def of(self, scope: Scope) -> Gate | None:
        """The gate of a request; None for what is never refused."""
        method, path = scope["method"], scope["path"]
        if path == "/recommend":
            return self.recommend
        if path in _LONG:
            return self._long
        if path == "/items" or path.startswith("/items/"):
            return self._long if method in ("GET", "HEAD") else self._write
        return None


class Admission:
    """Refuses with 503 and Retry-After what does not get in. The server may have let it in before (`service.server`):
    then `scope["admitted"]` is the gate to leave.
    """

    def __init__(self, app: ASGIApp, gates: Gates) -> None:
        self.app = app
        self._gates = gates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        gate: Gate | None = scope.pop("admitted", None)
        if gate is None:
            gate = self._gates.of(scope)
            if gate is not None and not gate.enter():
                await busy().response(Request(scope))(scope, receive, send)
                return
        try:
            await self.app(scope, receive, send)
        finally:
            if gate is not None:
                gate.leave()


def busy() -> Problem:
    """What a request that is refused here gets."""
    return Problem("overloaded", 503, _BUSY)
