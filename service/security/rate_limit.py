"""Token buckets: how many requests a caller may make."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request

_CALLERS = 10_000  # some 2 MB
_TOLERANCE = 1e-6  # seconds; the clock's floats do not add up exactly


class RateLimit:
    """A bucket for each caller: `burst` requests at once, refilled at `rate` a second.

    Of a bucket only the moment is kept at which it will be full. Of more than `_CALLERS` callers, the one that was
    seen longest ago is forgotten, and would begin with a full bucket.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / rate
        self._depth = burst / rate
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: str) -> float:
        """Seconds until the caller may ask again; 0.0 when this request is admitted, and paid for."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + self._interval
        wait = full_at - now - self._depth
        if wait > _TOLERANCE:
            return wait
        self._keep(caller, full_at)
        return 0.0

    def owe(self, caller: str, requests: int) -> None:
        """Take for requests that were made already, more than the bucket holds if need be."""
        now = self._clock()
        self._keep(caller, max(self._full_at.get(caller, now), now) + requests * self._interval)

    def _keep(self, caller: str, full_at: float) -> None:
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > _CALLERS:
            self._full_at.popitem(last=False)


def charge_batch(request: Request, entries: int) -> None:
    """A batch counts as its entries. The guard admitted it, unread, as one request; here it pays for the others."""
    if entries > 1 and (owe := request.scope.get("owe")) is not None:
        owe(entries - 1)
