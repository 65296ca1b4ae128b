"""Which rows of a registry in PostgreSQL have changed, whoever changed them: a cursor that no commit slips past.

Transactions are numbered in the order in which they first write, and commit in any order: a number read as "above
the last one" misses those that commit late. The cursor is therefore a snapshot, the server's own list of what had
ended at one moment. A row has changed between two snapshots if the transaction that wrote it last (`change_xid`, set
by a trigger) was in the first one's list of those that ran, or is numbered at or above its end, and the row is visible
in the second. So each change is found once, a transaction may take as long as it likes, and holds no other back.

NOTIFY only says when to look. What it does not say is found by looking every now and then.
"""

from __future__ import annotations

import logging
import selectors
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from service.errors import RegistryUnavailable
from service.registry.database import Database

log = logging.getLogger("kindred.feed")

_SNAPSHOT = text("SELECT CAST(pg_current_snapshot() AS text)")
_ALL = text("SELECT item_id, revision FROM kindred_items")
# Rows restored from a dump keep the numbers of the server that they come from. Those of its future lie above the end
# of the present snapshot, and are not read each time.
_CHANGED = text(
    "SELECT item_id, revision FROM kindred_items WHERE change_xid = ANY (CAST(:running AS xid8[])) "
    "OR (change_xid >= CAST(:start AS xid8) AND change_xid < CAST(:end AS xid8))"
)


class _Snapshot(NamedTuple):
    """Transactions below `end` had ended, but for those that were `running`. Both as PostgreSQL writes them."""

    end: str
    running: str

    @classmethod
    def parse(cls, snapshot: str) -> _Snapshot:
        _, end, running = snapshot.split(":")
        return cls(end, running)

    def until(self, now: _Snapshot) -> dict[str, str]:
        """The values that `_CHANGED` takes."""
        return {"running": f"{{{self.running}}}", "start": self.end, "end": now.end}


class Changes:
    """A connection to `database`, opened when it is first needed and again after `break_off`.

    Used by one thread, but for `end` and `cut`. Raises RegistryUnavailable, RegistryRefused or RegistryError where the
    database fails; `break_off` then. The database is this object's own and closed with it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._seen: _Snapshot | None = None  # up to which all is known
        self._now: _Snapshot | None = None
        self._told = False
        self._woken, self._waker = socket.socketpair()

    def news(self, held: Mapping[str, int]) -> list[str]:
        """Ids of the rows that changed since the last `settle` and whose revision is above the one held.

        On a new connection all rows are compared: a server that crashed may give the numbers of transactions whose
        traces it lost to others, and one that took its place may know less.
        """
        known = dict(held) if self._seen is None else {}
        with self._database.attended():
            connection = self._open()
            with connection.begin():
                # The first statement fixes the moment that all in this transaction see.
                self._now = now = _Snapshot.parse(connection.execute(_SNAPSHOT).scalar_one())
                query, values = (_ALL, {}) if self._seen is None else (_CHANGED, self._seen.until(now))
                rows = connection.execute(query, values)
                if self._seen is None:
                    return _compared(rows, held, known)
                return [item_id for item_id, revision in rows if revision > held.get(item_id, 0)]

    def settle(self) -> None:
        """All that `news` found is held now."""
        self._seen = self._now

    def wait(self, seconds: float) -> None:
        """Until a commit is told of, the connection ends, or `end`; no longer than `seconds`."""
        if self._connection is None:
            return
        driver: Any = self._connection.connection.driver_connection
        with selectors.DefaultSelector() as selector, _translated():
            selector.register(self._woken, selectors.EVENT_READ)
            selector.register(driver.pgconn.socket, selectors.EVENT_READ)
            if not self._told:
                selector.select(seconds)
            driver.pgconn.consume_input()
            while driver.pgconn.notifies():
                continue
        self._told = False

    def break_off(self) -> None:
        """Let go of the connection; the next `news` opens another and compares all rows."""
        self._seen = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # whatever state it is in
            connection.close()

    def end(self) -> None:
        """Let `wait` return at once from now on; by any thread."""
        self._waker.send(b"\0")

    def cut(self) -> None:
        """End what a query waits for; by any thread."""
        self._database.cut()

    def close(self) -> None:
        self.break_off()
        self._database.close()
        self._woken.close()
        self._waker.close()

    def _open(self) -> Connection:
        if self._connection is None:
            connection = self._database.engine.connect()
            try:
                connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
                driver: Any = connection.connection.driver_connection
                # Those that arrive while a query runs; without a handler the driver would keep them all.
                driver.add_notify_handler(self._tell)
                # Planned anew each time: whether the index helps depends on the numbers.
                driver.prepare_threshold = None
                with connection.begin():
                    connection.execute(text("SELECT set_config('application_name', 'kindred-feed', false)"))
                    connection.execute(text("LISTEN kindred_items"))
            except BaseException:
                connection.invalidate()
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _tell(self, _notification: object) -> None:
        self._told = True


def _compared(rows: Iterable[Sequence[Any]], held: Mapping[str, int], known: dict[str, int]) -> list[str]:
    """The ids whose row is above what is held. `known` is what was held before the moment of `rows`; it is used up."""
    found, lost = [], 0
    for item_id, revision in rows:
        if revision > held.get(item_id, 0):
            found.append(item_id)
        lost += revision < known.pop(item_id, 0)
    if lost + len(known):
        log.error(
            "the database has lost rows that this service goes on serving; it has to be started again",
            extra={"rows": lost + len(known)},
        )
    return found


@contextmanager
def _translated() -> Iterator[None]:
    from psycopg import Error

    try:
        yield
    except (Error, OSError) as error:
        raise RegistryUnavailable("the connection to the registry's database ended") from error
