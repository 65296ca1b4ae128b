"""A registry in PostgreSQL, by psycopg 3: how its sessions are set up, and what its errors mean."""

from __future__ import annotations

import logging
import math
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

from service.errors import (
    RegistryContended,
    RegistryError,
    RegistryFull,
    RegistryRefused,
    RegistryUnavailable,
    ServiceError,
    shorten,
)

log = logging.getLogger("kindred.registry")

_OLDEST = 13  # the first with transaction numbers that never come again (xid8)
_DISK_FULL = "53100"
# Two writers met: of one id that had no row yet (unique_violation), or in a deadlock.
_CONTENDED = {"23505", "40001", "40P01"}
# The rest of class 23, data, syntax and privileges, features, credentials, a database that is not there, corruption:
# the same statement would fail again. All other classes pass: connections, resources, locks, an operator at work.
_LASTING = {"0A", "22", "23", "28", "2F", "3D", "3F", "42", "F0", "XX"}
_WRITE_LOCK = 0x6B696E64726564  # "kindred": an advisory lock is a number, the same for every service of a database


def create(url: URL, timeout: float) -> Engine:
    """An engine for `url`. `timeout` (seconds) bounds connecting and waiting for a lock, twice that a statement.

    READ COMMITTED, whatever the server's default: a writer that waited for a row's lock then reads the row as it
    is, which is all the registry needs. The stricter levels would end each such wait in an error.
    """
    seconds = max(1, math.ceil(timeout))
    wanted: dict[str, Any] = {
        "connect_timeout": seconds,
        "client_encoding": "utf8",  # of a database in SQL_ASCII the driver would read bytes, and never get to `check`
        # A machine that vanished says nothing: unanswered data ends the connection, and so does a silent one.
        "tcp_user_timeout": seconds * 1000,
        "keepalives_idle": seconds,
        "keepalives_interval": seconds,
        "keepalives_count": 2,
        "fallback_application_name": "kindred",
    }
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={name: value for name, value in wanted.items() if name not in url.query},
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        pool_size=2,  # writes follow one another, and nothing is read after the start
        max_overflow=2,
        pool_timeout=timeout,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # A server may be set up to acknowledge before the write-ahead log is on disk (synchronous_commit=off); what
        # is acknowledged here must survive its crash. `remote_apply` asks for more than `on` and stays.
        settings = {
            "lock_timeout": f"{math.ceil(timeout * 1000)}ms",
            "statement_timeout": f"{math.ceil(timeout * 2000)}ms",
            "idle_in_transaction_session_timeout": f"{math.ceil(timeout * 2000)}ms",
        }
        try:
            with connection.cursor() as cursor:
                for name, value in settings.items():
                    cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
                cursor.execute(
                    "SELECT set_config('synchronous_commit', 'on', false) "
                    "WHERE current_setting('synchronous_commit') <> 'remote_apply'"
                )
            connection.commit()
        except BaseException:
            connection.close()  # SQLAlchemy lets go of it without
            raise

    return engine


def check(connection: Connection) -> None:
    """Raises RegistryError for a server that is too old, or where texts would not fit; warns of one that is set up to
    lose what it commits.
    """
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST * 10_000:
        raise RegistryError(
            f"the registry's database is PostgreSQL {version // 10_000}; it has to be {_OLDEST} or newer"
        )
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise RegistryError(f"the registry's database is encoded in {encoding}; it has to be UTF8")
    for name in ("fsync", "full_page_writes"):
        if connection.execute(text(f"SHOW {name}")).scalar_one() != "on":
            log.warning("the database can lose acknowledged items in a crash", extra={"setting": f"{name}=off"})


def lock_writing(connection: Connection, alone: bool) -> None:
    """Write beside others, who do the same, or `alone`; until the transaction ends."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    connection.execute(text(f"SELECT {function}(:key)"), {"key": _WRITE_LOCK})


def allow_long_statements(connection: Connection) -> None:
    """For a migration: a statement of it may take as long as it needs."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))


def translate(error: DBAPIError, opening: bool, engine: Engine) -> ServiceError:
    """What an error of the driver is to the service; the driver's own words go into the log.

    Errors while connecting have no SQLSTATE, and their words come in the server's language. At the start it is
    therefore asked whether the server takes connections at all: one that does, but not ours, refuses the URL's
    user, password or database.
    """
    state = getattr(error.orig, "sqlstate", None) or ""
    words = shorten(" ".join(str(error.orig).split()), 400)
    if state == _DISK_FULL:
        return RegistryFull("the disk of the registry is full: nothing was written, reading goes on")
    if state in _CONTENDED:
        return RegistryContended("others write the same items: nothing was written")
    if state[:2] in _LASTING:
        return RegistryError(f"the registry's database refuses ({state}): {words}")
    if not state and isinstance(error, ProgrammingError):
        return RegistryError(f"KINDRED_DATABASE_URL cannot be used: {words}")
    if opening:
        if not state and _takes_connections(engine) and not _is_crowded(words):
            return RegistryRefused(f"the registry's database refuses the connection: {words}")
        return RegistryUnavailable(f"the registry's database does not answer: {words}")
    log.warning("the registry's database does not take a write", extra={"sqlstate": state, "reason": words})
    if error.connection_invalidated:
        return RegistryUnavailable(
            "the connection to the registry's database broke: whether the write was made is not known, "
            "and to send it again does no harm"
        )
    return RegistryUnavailable("the registry's database does not take writes now: nothing was written")


def _takes_connections(engine: Engine) -> bool:
    from psycopg.conninfo import make_conninfo
    from psycopg.pq import Conninfo, PGconn, Ping

    _, options = engine.dialect.create_connect_args(engine.url)
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}  # the dialect adds some of psycopg's own
    wanted = {"connect_timeout": 2} | {name: value for name, value in options.items() if name in known}
    return PGconn.ping(make_conninfo(**wanted).encode()) == Ping.OK


def _is_crowded(words: str) -> bool:
    return "too many" in words or "connection slots" in words


class Watchdog:
    """Ends the connections of an engine on which something takes longer than `limit` seconds.

    A server that is frozen rather than gone keeps its connections open and says nothing: no timeout of its own runs,
    and TCP finds nothing wrong.
    """

    def __init__(self, engine: Engine, limit: float) -> None:
        self._limit = limit
        self._connections: WeakSet[Any] = WeakSet()
        event.listen(engine, "connect", lambda connection, _record: self._connections.add(connection))

    @contextmanager
    def watching(self) -> Iterator[None]:
        timer = threading.Timer(self._limit, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        log.warning("the registry's database is silent: its connections are cut", extra={"seconds": self._limit})
        self.cut()

    def cut(self) -> None:
        for connection in list(self._connections):
            try:
                # A second descriptor of the socket: the driver, which waits on its own, finds the connection ended.
                with socket.socket(fileno=os.dup(connection.fileno())) as other:
                    other.shutdown(socket.SHUT_RDWR)
            except (OSError, connection.OperationalError) as error:
                log.info("a connection had ended by itself", extra={"reason": str(error)})
