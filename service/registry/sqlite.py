"""A registry in a SQLite file: how it is opened so that a commit is on disk, and what its errors mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from service.errors import RegistryError, RegistryFull, RegistryUnavailable, ServiceError

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# At the start these say that the path is wrong; later, that a volume has gone and may come back.
_FORBIDDEN = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


def create(url: URL, timeout: float) -> Engine:
    """An engine for the file of `url`, whose folder is made. `timeout`: seconds to wait for a lock."""
    if url.database and url.database != ":memory:":
        try:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RegistryError(f"the folder of the registry cannot be made: {error}") from error
    engine = create_engine(url, connect_args={"timeout": timeout}, pool_timeout=timeout, hide_parameters=True)
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    """Rollback journal and full synchronisation.

    DELETE rather than WAL, whatever the version: SQLite before 3.51.3 (but for 3.50.7 and 3.44.6, which were mended
    too) can corrupt a WAL database when it is reset under several connections, and one way of writing is one to test.
    A file that another program left in WAL mode is turned back; one that it has open is locked.

    EXTRA rather than FULL: with a rollback journal the commit is the journal's removal from its folder, and only EXTRA
    synchronises that folder too, so that a power cut cannot bring the journal back and undo what was acknowledged.
    """
    connection.isolation_level = None  # this driver's own BEGIN comes too late; ours is in _begin
    try:
        connection.execute("PRAGMA journal_mode=DELETE").close()
        connection.execute("PRAGMA synchronous=EXTRA").close()
    except sqlite3.Error:
        connection.close()  # nobody else would, and an open one keeps the log that it could not do away with
        raise


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once: a transaction that read first and then finds it cannot write would have
    # to be run again from its start.
    writing = connection.get_execution_options().get("kindred_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def translate(error: DBAPIError, opening: bool) -> ServiceError:
    """What an error of the driver is to the service."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte, without the extended code
    if code == sqlite3.SQLITE_FULL:
        return RegistryFull("the disk of the registry is full: nothing was written, reading goes on")
    if code in _DAMAGED:
        return RegistryError(f"the registry's file is damaged or no SQLite database: {error.orig}")
    if code == sqlite3.SQLITE_IOERR and not opening:
        # Of a commit as well, whose last step, the journal's removal, may have reached the disk.
        return RegistryUnavailable(
            f"the registry's disk fails ({error.orig}): whether the write was made is not known, and to send it again "
            "does no harm"
        )
    if opening and code in _FORBIDDEN:
        return RegistryError(f"the registry's file cannot be used: {error.orig}")
    return RegistryUnavailable(f"the registry does not accept writes now: {error.orig}")
