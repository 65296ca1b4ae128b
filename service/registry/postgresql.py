"""A registry in PostgreSQL, by psycopg 3: setting up its sessions, and translating its errors."""

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

_OLDEST = 13  # the first version with transaction numbers that never repeat (xid8)
_DISK_FULL = "53100"
# Two writers met: both wrote an id that had no row yet (unique_violation), or they were in a deadlock.
_CONTENDED = {"23505", "40001", "40P01"}
# The same statement would fail again: the rest of class 23, data, syntax and privileges, features, credentials, a
# missing database, corruption. All other classes may pass: connections, resources, locks, an operator at work.
_LASTING = {"0A", "22", "23", "28", "2F", "3D", "3F", "42", "F0", "XX"}
_WRITE_LOCK = 0x6B696E64726564  # "kindred": an advisory lock is a number, the same for every service of a database


def create(url: URL, timeout: float) -> Engine:
    """An engine for `url`. timeout: seconds for connecting and for waiting for a lock; a statement has twice as long.

    READ COMMITTED, whatever the server's default: a writer that has waited for a row's lock then reads the row as it
    is, and the registry needs no more. Stricter levels would end each such wait in an error.
    """
    seconds = max(1, math.ceil(timeout))
    wanted: dict[str, Any] = {
        "connect_timeout": seconds,
        "client_encoding": "utf8",  # else the driver reads bytes from an SQL_ASCII database, and `check` fails
        # A machine that vanished says nothing. So unanswered data and unanswered keepalives end the connection.
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
        pool_size=2,  # writes follow one another, and little is read after the start
        max_overflow=2,
        pool_timeout=timeout,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # With synchronous_commit=off, a server acknowledges before its write-ahead log is on disk. What Kindred
        # acknowledges must survive a crash. `remote_apply` is stricter than `on` and stays.
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
            connection.close()  # SQLAlchemy would drop it open
            raise

    return engine


def check(connection: Connection) -> None:
    """Raise RegistryError for a server that is too old, or a database that is not in UTF-8. Warn of a server that may
    lose what it commits.
    """
    version = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if version < _OLDEST * 10_000:
        raise RegistryError(f"the registry's database is PostgreSQL {version // 10_000}; it must be {_OLDEST} or newer")
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise RegistryError(f"the registry's database is encoded in {encoding}; it must be UTF8")
    for name in ("fsync", "full_page_writes"):
        if connection.execute(text(f"SHOW {name}")).scalar_one() != "on":
            log.warning("the database can lose acknowledged items in a crash", extra={"setting": f"{name}=off"})


def lock_writing(connection: Connection, alone: bool) -> None:
    """Lock for writing until the transaction ends: shared with other writers, or alone."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    connection.execute(text(f"SELECT {function}(:key)"), {"key": _WRITE_LOCK})


def allow_long_statements(connection: Connection) -> None:
    """Let the statements of a migration take as long as they need."""
    connection.execute(text("SET LOCAL statement_timeout = 0"))


def translate(error: DBAPIError, opening: bool, engine: Engine) -> ServiceError:
    """The service's error for an error of the driver. The driver's message goes into the log.

    Errors while connecting have no SQLSTATE, and their messages are in the server's language. So at the start this asks
    whether the server takes connections at all. If it does, it refuses the URL's user, password or database.
    """
    state = getattr(error.orig, "sqlstate", None) or ""
    words = shorten(" ".join(str(error.orig).split()), 400)
    if state == _DISK_FULL:
        return RegistryFull("the registry's disk is full: nothing was written, reading goes on")
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
            "the connection to the registry's database broke: whether the write was made is not known; "
            "sending it again does no harm"
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
    """Ends the connections of an engine when something takes longer than `limit` seconds.

    A frozen server keeps its connections open and says nothing: its timeouts do not run, and TCP finds nothing wrong.
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
                # By a second descriptor of the socket. The driver waits on its own and finds the connection ended.
                with socket.socket(fileno=os.dup(connection.fileno())) as other:
                    other.shutdown(socket.SHUT_RDWR)
            except (OSError, connection.OperationalError) as error:
                log.info("a connection had ended by itself", extra={"reason": str(error)})
