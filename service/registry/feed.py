"""The feed: what other services commit to the registry is served here too, moments later.

A thread of its own looks for changes at each NOTIFY, and every second without one. It belongs to one engine, which
it is started and ended with. A registry in SQLite has none: its file has one service.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from service.errors import ServiceError, Superseded
from service.registry.changes import Changes
from service.registry.registry import Registry, RegistryRow

log = logging.getLogger("kindred.feed")

_INTERVAL = 1.0  # seconds between two looks when nothing is told
_GATHER = 0.02  # seconds after which one looks: commits that follow one another are read together
_BATCH = 256  # rows applied at once
_PAUSE, _PAUSE_MAX = 0.25, 4.0  # seconds until a connection that broke is opened again: doubled each time
_PATIENCE = 2.0  # seconds that the thread gets to end by itself


class Feed:
    """Use `Feed.start`."""

    def __init__(
        self,
        registry: Registry,
        changes: Changes,
        held: Mapping[str, int],
        apply: Callable[[Sequence[RegistryRow]], int],
    ) -> None:
        self.applied = 0  # rows that others wrote and this engine took over
        self.failures = 0  # times that the feed broke off
        self._registry = registry
        self._changes = changes
        self._held = held
        self._apply = apply
        self._looked = time.monotonic()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="kindred-feed", daemon=True)

    @classmethod
    def start(
        cls, registry: Registry, held: Mapping[str, int], apply: Callable[[Sequence[RegistryRow]], int]
    ) -> Feed | None:
        """Take over what was committed until now, then follow; None where nobody else can write.

        `held`: the revision of each row that the engine holds, by item id. Raises what the registry raises.
        """
        if (changes := registry.changes()) is None:
            return None
        feed = cls(registry, changes, held, apply)
        try:
            feed._catch_up()
        except BaseException:
            changes.close()
            raise
        feed._thread.start()
        return feed

    @property
    def lag(self) -> float:
        """Seconds since all that others had committed was last served here."""
        return time.monotonic() - self._looked

    def close(self) -> None:
        """End the thread; no row is applied afterwards."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._changes.end()
        self._thread.join(_PATIENCE)
        while self._thread.is_alive():
            # It waits for a server that is silent.
            self._changes.cut()
            self._registry.cut()
            self._thread.join(_PATIENCE)
        self._changes.close()

    def _follow(self) -> None:
        pause = _PAUSE
        while not self._ending.is_set():
            try:
                self._changes.wait(_INTERVAL)
                if self._ending.wait(_GATHER):
                    break
                self._catch_up()
            except Superseded:
                break  # the engine that took over has a feed of its own
            except ServiceError as error:
                log.warning("the feed broke off", extra={"reason": str(error), "seconds": pause})
            except Exception:
                log.exception("the feed broke off")
            else:
                pause = _PAUSE
                continue
            self.failures += 1
            self._changes.break_off()
            self._ending.wait(pause)
            pause = min(2 * pause, _PAUSE_MAX)

    def _catch_up(self) -> None:
        began = time.monotonic()
        ids = self._changes.news(self._held)
        for start in range(0, len(ids), _BATCH):
            if self._ending.is_set():
                return
            # Read as they are now, which may be later than what was found: the next look finds them held.
            self.applied += self._apply(self._registry.rows_of(ids[start : start + _BATCH]))
        self._changes.settle()
        self._looked = began
