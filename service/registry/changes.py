"""The rows of a registry in PostgreSQL that have changed, whoever changed them. The cursor misses no commit.

PostgreSQL numbers transactions in the order in which they first write, but they commit in any order. Reading "all
above the last number" would miss a transaction that commits late. So the cursor is a snapshot: the server's own list of
the transactions that had ended at one moment. `change_xid`, set by a trigger, is the transaction that wrote a row last.
The row has changed between two snapshots if the second one sees it and, in the first, that transaction either was still
running or had a number at or above the end. So each change is found once, and a long transaction holds nobody up.

NOTIFY only says when to look. A regular look finds what NOTIFY did not tell.
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
# Rows restored from a dump keep the transaction numbers of their old server. The upper bound leaves out numbers that
# this server has not reached; otherwise each look would read those rows again.
_CHANGED = text(
    "SELECT item_id, revision FROM kindred_items WHERE change_xid = ANY (CAST(:running AS xid8[])) "
    "OR (change_xid >= CAST(:start AS xid8) AND change_xid < CAST(:end AS xid8))"
)


class _Snapshot(NamedTuple):
    """Transactions below `end` had ended, except those in `running`. Both are in PostgreSQL's notation."""

    end: str
    running: str

    @classmethod
    def parse(cls, snapshot: str) -> _Snapshot:
        _, end, running = snapshot.split(":")
        return cls(end, running)

    def until(self, now: _Snapshot) -> dict[str, str]:
        """The parameters of `_CHANGED`."""
        return {"running": f"{{{self.running}}}", "start": self.end, "end": now.end}


class Changes:
    """A connection to `database`, opened when it is first needed and again after `break_off`.

    One thread uses it; any thread may call `end` and `cut`. Raises RegistryUnavailable, RegistryRefused or
    RegistryError if the database fails; call `break_off` then. It owns the database and closes it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Connection | None = None
        self._seen: _Snapshot | None = None  # up to which all is known
        self._now: _Snapshot | None = None
        self._told = False
        self._woken, self._waker = socket.socketpair()

    def news(self, held: Mapping[str, int]) -> list[str]:
        """Ids of the rows that changed since the last `settle` and have a revision above the one held.

        On a new connection it compares all rows: a server that crashed may give lost transaction numbers to others,
        and a server that took its place may know less.
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
        """Say that the caller now holds all that `news` found."""
        self._seen = self._now

    def wait(self, seconds: float) -> None:
        """Wait for a NOTIFY, the end of the connection, or `end`; at most `seconds`."""
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
        """Drop the connection. The next `news` opens another and compares all rows."""
        self._seen = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.invalidate()  # whatever state it is in
            connection.close()

    def end(self) -> None:
        """Let `wait` return at once from now on. Any thread may call it."""
        self._waker.send(b"\0")

    def cut(self) -> None:
        """End a query's wait. Any thread may call it."""
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
                # For a NOTIFY that arrives while a query runs. Without a handler, the driver would keep them all.
                driver.add_notify_handler(self._tell)
                # Plan each time: whether the index helps depends on the numbers.
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
    """The ids whose row is newer than the one held. known: what was held before `rows` were read; this empties it."""
    found, lost = [], 0
    for item_id, revision in rows:
        if revision > held.get(item_id, 0):
            found.append(item_id)
        lost += revision < known.pop(item_id, 0)
    if lost + len(known):
        log.error(
            "the database has lost rows that this service goes on serving; start the service again",
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
