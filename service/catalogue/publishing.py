"""Committed rows, put before readers: one writer at a time, the latest revision of each item, each once."""

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
    """The writer's side of a catalogue. All but `writing`, `is_news` and `listen` only under the lock of `writing`."""

    def __init__(
        self,
        artifact: Artifact,
        catalogue: Catalogue,
        settings: Settings,
        revisions: dict[str, int],
    ) -> None:
        """revisions: of the registry's rows that the catalogue holds, by item id."""
        self.compactor = Compactor(catalogue, settings.threads)
        self._artifact = artifact
        self._catalogue = catalogue
        self._seconds = settings.database_timeout
        self._lock = threading.Lock()
        # Of deleted items too: a row that comes late must not bring back what has gone since.
        self._revisions = revisions
        self._listener: Callable[[Sequence[RegistryRow]], object] | None = None
        self._superseded = False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One writer at a time; raises RegistryUnavailable for those who would wait for one that does not end, and
        Superseded once another engine has taken over: the registry is not used here any more then.
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
        """Whether the row is later than what is served of its item."""
        return row.revision > self._revisions.get(row.item_id, 0)

    def publish(self, changes: Sequence[tuple[RegistryRow, Encoded | None]]) -> int:
        """Let readers see committed rows in one step, those that are news, each with its item's code; how many were."""
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
        """Tell `listener` from now on of all rows that are published, in the order of each item's revisions; None: no
        more. With what the registry holds after this call, it knows all that is ever served here.
        """
        self._listener = listener

    def end(self) -> None:
        """Publish no more: another engine has the place of this one."""
        self._superseded = True
