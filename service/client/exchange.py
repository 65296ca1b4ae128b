"""One call from its first attempt to its result, for both clients. It does no IO: the clients send and sleep."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from typing import Generic, NoReturn, TypeVar

import httpx

from service.client.calls import Call
from service.client.errors import KindredError, NoAnswer, TimedOut, of_answer
from service.client.retry import LOST, LOST_STATUS, REFUSED_STATUS, UNSENT, Clock, Retry, Timeouts, asked_pause

log = logging.getLogger("kindred.client")

T = TypeVar("T")


class Exchange(Generic[T]):
    """The client calls `request` and `left` before each attempt, and `pause` after a failed one."""

    def __init__(self, call: Call[T], timeouts: Timeouts, retry: Retry, clock: Clock) -> None:
        """Raises ValueError if no header can hold the request id or the idempotency key."""
        self.request_id = uuid.uuid4().hex if call.request_id is None else call.request_id
        if not (self.request_id.isascii() and self.request_id.isprintable()):
            raise ValueError(f"request_id must be printable ASCII, got {self.request_id!r}")
        self._key = None if call.idempotency_key is None else _quoted(call.idempotency_key or uuid.uuid4().hex)
        self._call = call
        self._timeouts = timeouts
        self._retry = retry
        self._clock = clock
        self._ends = clock.monotonic() + timeouts.deadline
        self._attempts = 0
        self._asked = 0.0  # seconds that the last answer told the client to wait
        self._lost = False  # the service may have acted on an attempt whose answer is lost

    def left(self) -> float:
        """Seconds to the deadline. Raises TimedOut if none are left."""
        left = self._ends - self._clock.monotonic()
        if left <= 0:
            self.too_late()
        return left

    def too_late(self) -> NoReturn:
        """Raises TimedOut."""
        raise TimedOut(self._say(f"no whole answer within {self._timeouts.deadline:g} s"), request_id=self.request_id)

    def request(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """The request of the next attempt. It waits no longer than the deadline. Raises TimedOut."""
        left = self.left()
        self._attempts += 1
        self._asked = 0.0
        call = self._call
        connect, read = min(self._timeouts.connect, left), min(self._timeouts.read, left)
        headers = {"X-Request-ID": self.request_id}
        if self._key is not None:
            headers["Idempotency-Key"] = self._key
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        return http.build_request(
            call.method,
            call.path,
            params=call.query or None,
            content=call.body,
            headers=headers,
            timeout=httpx.Timeout(connect=connect, read=read, write=read, pool=connect),
        )

    def result(self, response: httpx.Response, body: bytes) -> T:
        """What the call returns. Raises the KindredError of an unsuccessful answer."""
        status, headers = response.status_code, response.headers
        if not response.is_success:
            error = of_answer(status, headers, body, self.request_id)
            if not self._is_done(error):
                self._asked = asked_pause(headers, self._clock.wall())
                raise error
        return self._call.read(body, headers.get("x-request-id", self.request_id))

    def _is_done(self, error: KindredError) -> bool:
        """True if an attempt whose answer is lost has deleted the item already."""
        return self._lost and self._call.method == "DELETE" and error.type == "/problems/item-not-found"

    def pause(self, error: httpx.RequestError | KindredError) -> float:
        """Seconds to sleep before the next attempt. Raises the error if there is to be none.

        There is none if the request would fail again, after the last attempt, or if the pause would outlast the
        deadline: waiting would then only give a worse error.
        """
        again = self._may_repeat(error) and self._attempts < self._retry.attempts
        if again:
            # On top of what the service asked for: clients that it refused together must not come back together.
            pause = self._asked + self._clock.jitter(0.0, self._retry.longest(self._attempts - 1))
            if pause < self._ends - self._clock.monotonic():
                log.info("%s", self._say(f"{error!r}, again in {pause:.3f} s"), extra={"request_id": self.request_id})
                return pause
        if isinstance(error, KindredError):
            raise error
        self.failed(error)

    def _may_repeat(self, error: httpx.RequestError | KindredError) -> bool:
        if self._call.probe:
            return False
        if isinstance(error, LOST) or (isinstance(error, KindredError) and error.status in LOST_STATUS):
            self._lost = True
            return self._call.idempotent
        if isinstance(error, KindredError) and error.type == "/problems/registry-unavailable":
            self._lost = True  # its connection may have broken during the commit
        return isinstance(error, UNSENT) or (isinstance(error, KindredError) and error.status in REFUSED_STATUS)

    def failed(self, error: httpx.RequestError) -> NoReturn:
        """Raises NoAnswer, whose cause is the error of httpx."""
        kind = TimedOut if isinstance(error, httpx.TimeoutException) else NoAnswer
        raise kind(self._say(f"{type(error).__name__}: {error}"), request_id=self.request_id) from error

    def _say(self, what: str) -> str:
        tried = "1 attempt" if self._attempts == 1 else f"{self._attempts} attempts"
        return f"{self._call.method} {self._call.path}: {what} ({tried})"


def _quoted(key: str) -> str:
    """The key as a string of RFC 8941."""
    if not (key.isascii() and key.isprintable() and len(key) <= 255):
        raise ValueError(f"idempotency_key must be at most 255 printable ASCII characters, got {key!r}")
    return '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Lines:
    """Chunks of bytes → whole lines. It splits at line feeds alone, because JSON may hold other line separators."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in `chunk`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        yield from lines

    def end(self) -> Iterator[bytes]:
        """The rest after the last line feed, if any."""
        if self._rest:
            yield self._rest
