"""Token buckets: how many requests a caller may make."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.requests import Request

_CALLERS = 10_000  # some 2 MB
_TOLERANCE = 1e-6  # seconds; the clock's floats do not add up exactly


class RateLimit:
    """Gives each caller a bucket: `burst` requests at once, refilled at `rate` a second.

    It keeps only the moment at which a bucket will be full. Beyond `_CALLERS` callers it forgets the one seen longest
    ago, who would begin with a full bucket again.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1.0 / rate
        self._depth = burst / rate
        self._clock = clock
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, caller: str) -> float:
        """Seconds until the caller may ask again; 0.0: this request may go on, and is paid for."""
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now) + self._interval
        wait = full_at - now - self._depth
        if wait > _TOLERANCE:
            return wait
        self._keep(caller, full_at)
        return 0.0

    def owe(self, caller: str, requests: int) -> None:
        """Charge for requests that were let in already, even for more than the bucket holds."""
        now = self._clock()
        self._keep(caller, max(self._full_at.get(caller, now), now) + requests * self._interval)

    def _keep(self, caller: str, full_at: float) -> None:
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > _CALLERS:
            self._full_at.popitem(last=False)


def charge_batch(request: Request, entries: int) -> None:
    """Charge a batch for its entries. The guard let it in, unread, as one request; here it pays for the others."""
    if entries > 1 and (owe := request.scope.get("owe")) is not None:
        owe(entries - 1)
