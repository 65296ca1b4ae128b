"""How long a call may take, what of it is tried again, and when."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

# Nothing was sent yet, so nothing can happen twice.
UNSENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
# The service may have acted, the answer is gone.
LOST = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)

# The service answers 503 before it does anything (not-ready), or when a write failed and may be sent again
# (registry-unavailable); 429 comes before both. A 502 is a proxy that lost the service in the middle of it. Neither a
# 504 nor a read that timed out is tried again: a service that is too slow would get the same work several times over.
REFUSED_STATUS = frozenset({429, 503})
LOST_STATUS = frozenset({502})


def _check(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be a finite number above 0, got {value!r}")


@dataclass(frozen=True)
class Timeouts:
    """In seconds. connect: to a connection, `read`: from one piece of an answer to the next.

    deadline: a call in all, with its retries and the pauses between them. An iterator is a call for each page, or
    (`export`) one until the first line.
    """

    connect: float = 2.0
    read: float = 10.0
    deadline: float = 30.0

    def __post_init__(self) -> None:
        for name in ("connect", "read", "deadline"):
            _check(name, getattr(self, name))


@dataclass(frozen=True)
class Retry:
    """attempts: in all, so 1 is no retry. base, cap: seconds; the pause before retry n (from 0) is drawn evenly from 0
    to min(cap, base · 2ⁿ), so that many clients do not come back at once ("full jitter").
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
        """The longest pause before a retry, counted from 0."""
        return min(self.cap, self.base * 2.0 ** min(retry, 60))


@dataclass(frozen=True)
class Clock:
    """Time and chance, to be replaced in tests. wall: seconds since 1970."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    jitter: Callable[[float, float], float] = random.uniform


def asked_pause(headers: Mapping[str, str], wall: float) -> float:
    """Seconds that Retry-After asks for; 0 where the header is missing or cannot be read.

    A date is counted from the answer's own Date where it has one, so that clocks need not agree.
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
    """Seconds since 1970, None where `value` is no date: a header that cannot be read is as good as none."""
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    return _since_epoch(date)


def _since_epoch(date: datetime) -> float:
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
