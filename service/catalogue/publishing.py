"""Publishing: readers get committed rows. One writer at a time; of each item the latest revision, once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from model.artifact import Artifact
from service.catalogue.catalogue import Catalogue
from service.catalogue.compacting import Compactor
from service.catalogue.records import Encoded, registered_record
from service.errors import RegistryUnavailable, Superseded
from service.registry.registry import RegistryRow
from service.settings import Settings


class Publisher:
    """The writer's side of a catalogue. Only `writing`, `is_news` and `listen` may be called without the lock that
    `writing` takes.
    """

    def __init__(
        self,
        artifact: Artifact,
        catalogue: Catalogue,
        settings: Settings,
        revisions: dict[str, int],
    ) -> None:
        """revisions: by item id, the revision of each registry row that the catalogue holds."""
        self.compactor = Compactor(catalogue, settings.threads)
        self._artifact = artifact
        self._catalogue = catalogue
        self._seconds = settings.database_timeout
        self._lock = threading.Lock()
        # Deleted items stay in it: a row that comes late must not bring back an item that is gone.
        self._revisions = revisions
        self._listener: Callable[[Sequence[RegistryRow]], object] | None = None
        self._superseded = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Take the writer's lock. Raises RegistryUnavailable if another writer keeps it for too long, and Superseded
        once another engine has taken over: this one no longer uses the registry.
        """
        if not self._lock.acquire(timeout=self._seconds):
            raise RegistryUnavailable(f"another write has kept the registry for {self._seconds:g} seconds")
        try:
            if self._superseded:
                raise Superseded
            yield
        finally:
            self._lock.release()

    def is_news(self, row: RegistryRow) -> bool:
        """Whether the row is later than what this process serves of its item."""
        return row.revision > self._revisions.get(row.item_id, 0)

    def publish(self, changes: Sequence[tuple[RegistryRow, Encoded | None]]) -> int:
        """Let readers see committed rows, all in one step. Rows that are no news are left out; returns how many were.

        changes: each row with the code of its item; no code for a deleted one.
        """
        news = [(row, code) for row, code in changes if self.is_news(row)]
        put = [
            (registered_record(self._artifact, row.item, code, row.seq, row.revision), code.embedding)
            for row, code in news
            if row.item is not None and code is not None
        ]
        if news:
            self._catalogue.apply(put, [row.item_id for row, _ in news if row.item is None])
            self._revisions.update((row.item_id, row.revision) for row, _ in news)
            if self._listener is not None:
                self._listener([row for row, _ in news])
            self.compactor.look(self.writing)
        return len(news)

    def listen(self, listener: Callable[[Sequence[RegistryRow]], object] | None) -> None:
        """From now on, tell `listener` of all rows that are published, each item's in the order of revisions. None ends
        it. The listener and a later read of the registry together know all that this process ever serves.
        """
        self._listener = listener

    def end(self) -> None:
        """Publish no more: another engine has taken over."""
        self._superseded = True
