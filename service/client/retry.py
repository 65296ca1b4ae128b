"""How long a call may take, which failures the client retries, and when."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

# The client sent nothing yet, so nothing can happen twice.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The service may have acted, but its answer is lost.
LOST = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)

# The service answers 503 before it does anything (not-ready), or if a write failed and the client may send it again
# (registry-unavailable). It answers 429 before both. A proxy answers 502 if it lost the service during the request. The
# client retries neither a 504 nor a read that timed out: a slow service would get the same work several times.
REFUSED_STATUS = frozenset({429, 503})
LOST_STATUS = frozenset({502})


def _check(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


@dataclass(frozen=True)
class Timeouts:
    """In seconds. connect: until a connection is there. read: from one piece of an answer to the next.

    deadline: for a whole call, with its retries and pauses. `list_items` makes a call for each page. `export` makes
    one, which lasts until the first line.
    """

    connect: float = 2.0
    read: float = 10.0
    deadline: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            _check(name, getattr(self, name))


@dataclass(frozen=True)
class Retry:
    """attempts: the total number, so 1 means no retry. base, cap: seconds. The client draws the pause before retry n
    (from 0) evenly from 0 to min(cap, base · 2ⁿ), so that many clients do not come back at once ("full jitter").
    """

    attempts: int = 4
    base: float = 0.1
    cap: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ValueError(f"attempts must be at least 1, got {self.attempts!r}")
        _check("base", self.base)
        _check("cap", self.cap)

    def longest(self, retry: int) -> float:
        """The longest pause in seconds before a retry, counted from 0."""
        return min(self.cap, self.base * 2.0 ** min(retry, 60))


@dataclass(frozen=True)
class Clock:
    """Time and chance, which tests replace. wall: seconds since 1970."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    jitter: Callable[[float, float], float] = random.uniform


def asked_pause(headers: Mapping[str, str], wall: float) -> float:
    """Seconds that Retry-After asks for. 0 without a readable header.

    If the answer has a Date, a date counts from there, so that the two clocks need not agree.
    """
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    until = _http_date(value)
    if until is None:
        return 0.0
    sent = _http_date(headers.get("date", ""))
    return max(0.0, until - (wall if sent is None else sent))


def _http_date(value: str) -> float | None:
    """Seconds since 1970. None if `value` is no date: an unreadable header counts as none."""
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return _since_epoch(date)


def _since_epoch(date: datetime) -> float:
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
