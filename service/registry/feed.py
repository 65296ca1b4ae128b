"""The feed: this service serves what other services commit to the registry, moments later.

A thread looks for changes at each NOTIFY, and every second without one. Each engine starts and ends a feed of its own.
A registry in SQLite has no feed: only one service uses its file.
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

_INTERVAL = 1.0  # seconds between two looks without a NOTIFY
_GATHER = 0.02  # seconds to wait before a look, so that it reads several commits at once
_BATCH = 256  # rows applied at once
_PAUSE, _PAUSE_MAX = 0.25, 4.0  # seconds until it opens a broken connection again: doubled each time
_PATIENCE = 2.0  # seconds that the thread has to end by itself


class Feed:
    """Use `Feed.start`."""

    def __init__(
        self,
        registry: Registry,
        changes: Changes,
        held: Mapping[str, int],
        apply: Callable[[Sequence[RegistryRow]], int],
    ) -> None:
        self.applied = 0  # rows that other services wrote and this engine took over
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
        """Take over what was committed until now, then follow. None if nobody else can write.

        held: by item id, the revision of each row that the engine has. Raises the registry's errors.
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
        """Seconds since this service last served all that others had committed."""
        return time.monotonic() - self._looked

    def close(self) -> None:
        """End the thread. It applies no row afterwards."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._changes.end()
        self._thread.join(_PATIENCE)
        while self._thread.is_alive():
            # The thread waits for a silent server.
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
                break  # the engine that took over has its own feed
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
            # A row may be newer now than when `news` found it. The next look then finds nothing new.
            self.applied += self._apply(self._registry.rows_of(ids[start : start + _BATCH]))
        self._changes.settle()
        self._looked = began
