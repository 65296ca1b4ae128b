"""Compaction: a catalogue leaves the rows of replaced and deleted items behind, while others read and write."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import faiss

from service.catalogue.catalogue import Catalogue, Compacted
from service.errors import RegistryUnavailable, Superseded
from service.index.coarse import BadIndex

log = logging.getLogger("kindred.compact")

Writing = Callable[[], AbstractContextManager[None]]


class Compactor:
    """Compacts a catalogue in a thread of its own once it is crowded, one compaction at a time.

    A large index takes minutes to build (`hnsw` and `ivfpq` at a million items). No write waits for that; a write waits
    only while the few rows that came meanwhile are added.

    A swap to an engine started anew would do the same, and need the database. On Beauty with 100,000 registered items
    it takes 35 s of CPU instead of 7, and 1,035 MiB instead of 450 (`python -m benchmarks.compacting --artifacts …`).
    """

    def __init__(self, catalogue: Catalogue, threads: int) -> None:
        """threads: for one computation."""
        self._catalogue = catalogue
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._from = 0  # after a failure: the number of rows from which it tries again

    def look(self, writing: Writing) -> None:
        """Begin a compaction if one is due and none runs. Call it only under the writer's lock.

        writing: takes that lock. It raises RegistryUnavailable if another keeps the lock, and Superseded if another
        engine has taken over. The compactor does not keep it: the publisher and its compactor would then hold each
        other, and only a full collection would free them. A swap makes none.
        """
        if not self._catalogue.crowded or self._catalogue.moment.index.n < self._from:
            return
        if self._thread is None or not self._thread.is_alive():
            # A daemon: a stop need not wait for it, because the registry has everything.
            self._thread = threading.Thread(target=self._run, args=[writing], name="kindred-compact", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the running compaction has ended, if there is one."""
        if (thread := self._thread) is not None:
            thread.join(seconds)

    def _run(self, writing: Writing) -> None:
        began = time.perf_counter()
        before = self._catalogue.moment.index.n
        faiss.omp_set_num_threads(self._threads)  # OpenMP counts for each thread that calls it
        try:
            compacted = self._catalogue.compacted()
            while not self._take(compacted, writing):
                pass
        except BadIndex as error:
            self._from = 2 * before
            log.warning("the index cannot be compacted", extra={"reason": str(error)})
        except Superseded:
            log.info("another engine has taken over; its index is new")
        except Exception:
            self._from = 2 * before
            log.exception("compacting the index failed")
        else:
            self._from = 0
            seconds = round(time.perf_counter() - began, 3)
            extra = {"rows_before": before, "rows": self._catalogue.moment.index.n, "seconds": seconds}
            log.info("compacted the index", extra=extra)

    def _take(self, compacted: Compacted, writing: Writing) -> bool:
        """Put the result in place; False if another kept the lock."""
        try:
            with writing():
                before = self._catalogue.moment.generation
                self._catalogue.take(compacted)
        except Superseded:
            raise
        except RegistryUnavailable:
            return False
        for tell in self._catalogue.left:
            tell(before)  # without the lock: a listener waits for those who are looking at that generation
        return True
