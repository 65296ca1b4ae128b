"""How many requests may be in work or wait: beyond that they are refused at once, so that those inside stay quick.

A queue without a bound turns overload into waiting that never ends. Four queues, so that none takes another's places:
`recommend` (POST /recommend), `long` (batches, lists, similar items, looking around), `write`, and `export`, whose
answers take as long as their readers do. Probes, metrics and documentation are never counted.

A place is taken once the body is there, and left once the answer is made: a client that sends or reads slowly, or not
at all, keeps none. What it does keep, a connection and a part of a body, has limits of its own.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.problems import Busy, Problem, of_error
from service.metrics import Metrics
from service.settings import Settings

log = logging.getLogger("kindred.service")

_LONG = frozenset(("/recommend/batch", "/items/preview", "/search", "/examples", "/codes", "/map"))
_EXPORTS = 8  # at a time: a reader who takes it slowly keeps a place for as long
_BODIES = ("POST", "PUT")
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
        self._export = Gate("export", _EXPORTS, metrics)

    def of(self, scope: Scope) -> Gate | None:
        """The gate of a request; None for what is never refused."""
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
    """Refuses with 503 and Retry-After what does not get in. The server may have let it in before (`service.server`):
    then `scope["admitted"]` is the gate to leave.
    """

    def __init__(self, app: ASGIApp, gates: Gates) -> None:
        self.app = app
        self._gates = gates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gate = None
        if scope["type"] == "http":
            admitted: Gate | None = scope.pop("admitted", None)
            gate = admitted or self._gates.of(scope)
        if gate is None:
            await self.app(scope, receive, send)
            return
        place = _Place(gate, admitted is not None)
        if not place.taken and (gate.is_full or scope["method"] not in _BODIES) and not place.take():
            await busy().response(Request(scope))(scope, receive, send)
            return
        try:
            await self.app(scope, place.watching(receive), place.watched(send))
        finally:
            place.leave()


class _Place:
    """One request's place in a queue, from the end of its body to the beginning of an answer that is made."""

    def __init__(self, gate: Gate, taken: bool) -> None:
        self.taken = taken
        self._gate = gate
        self._left = False

    def take(self) -> bool:
        self.taken = self._gate.enter()
        return self.taken

    def leave(self) -> None:
        if self.taken and not self._left:
            self._gate.leave()
        self._left = True

    def watching(self, receive: Receive) -> Receive:
        """`receive` that takes the place with the last of the body; raises Busy where there is none."""
        if self.taken:
            return receive

        async def received() -> Message:
            message = await receive()
            ends = message["type"] == "http.request" and not message.get("more_body")
            if ends and not (self.taken or self._left or self.take()):
                raise Busy
            return message

        return received

    def watched(self, send: Send) -> Send:
        """`send` that leaves the place where the answer is of a known length: nothing more is computed for it then."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start" and _is_whole(message):
                self.leave()
            await send(message)

        return sent


def _is_whole(start: Message) -> bool:
    return any(name == b"content-length" for name, _ in start["headers"])


def busy() -> Problem:
    """What a request that is refused here gets."""
    return of_error(Busy())
