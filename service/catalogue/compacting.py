"""Leaving the rows of replaced and deleted items behind, beside those who read and write."""

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

    To build an index takes minutes where it is large (`hnsw` and `ivfpq` at a million items); no write waits for that,
    only for the few rows that were written meanwhile.
    """

    def __init__(self, catalogue: Catalogue, threads: int) -> None:
        """threads: of a computation."""
        self._catalogue = catalogue
        self._threads = threads
        self._thread: threading.Thread | None = None
        self._from = 0  # rows from which on it is tried again after an index could not be built

    def look(self, writing: Writing) -> None:
        """Begin a compaction if one is due and none is under way. Only under the writer's lock.

        writing: takes that lock; raises RegistryUnavailable where another keeps it, Superseded where it is no longer to
        be had. It is not kept: a publisher that its compactor knows would be freed by a full collection alone, and a
        swap makes none.
        """
        if not self._catalogue.crowded or self._catalogue.moment.index.n < self._from:
            return
        if self._thread is None or not self._thread.is_alive():
            # A stop does not wait for it: all that it makes is in the registry, or gone with the process.
            self._thread = threading.Thread(target=self._run, args=[writing], name="kindred-compact", daemon=True)
            self._thread.start()

    def wait(self, seconds: float | None = None) -> None:
        """Until the compaction that is under way has ended, if there is one."""
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
        """Whether the lock was to be had."""
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
