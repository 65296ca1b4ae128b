"""A registry in a SQLite file: opening it so that commits are on disk, and translating its errors."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from service.errors import RegistryError, RegistryFull, RegistryUnavailable, ServiceError

_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
# At the start, these mean a wrong path; later, that a volume has gone and may come back.
_FORBIDDEN = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}


def create(url: URL, timeout: float) -> Engine:
    """An engine for the file of `url`; makes its folder. timeout: seconds to wait for a lock."""
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

    DELETE and not WAL: SQLite before 3.51.3 (except 3.50.7 and 3.44.6) can corrupt a WAL database when it is reset
    under several connections, and one journal mode is one to test. This turns back a file that another program left in
    WAL mode; if that program still has it open, the file is locked.

    EXTRA and not FULL: with a rollback journal, a commit removes the journal from its folder. Only EXTRA synchronises
    that folder, so that a power cut cannot bring the journal back and undo an acknowledged write.
    """
    connection.isolation_level = None  # the driver would BEGIN too late; `_begin` does it
    try:
        connection.execute("PRAGMA journal_mode=DELETE").close()
        connection.execute("PRAGMA synchronous=EXTRA").close()
    except sqlite3.Error:
        connection.close()  # nobody else would; an open connection would keep the log that it could not remove
        raise


def _begin(connection: Connection) -> None:
    # A writer takes its lock at once. If it read first and then could not write, it would have to start again.
    writing = connection.get_execution_options().get("kindred_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def translate(error: DBAPIError, opening: bool) -> ServiceError:
    """The service's error for an error of the driver."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte, without the extended code
    if code == sqlite3.SQLITE_FULL:
        return RegistryFull("the registry's disk is full: nothing was written, reading goes on")
    if code in _DAMAGED:
        return RegistryError(f"the registry's file is damaged or not a SQLite database: {error.orig}")
    if code == sqlite3.SQLITE_IOERR and not opening:
        # A commit's last step, the removal of the journal, may have reached the disk.
        return RegistryUnavailable(
            f"the registry's disk fails ({error.orig}): whether the write was made is not known; sending it again does "
            "no harm"
        )
    if opening and code in _FORBIDDEN:
        return RegistryError(f"the registry's file cannot be used: {error.orig}")
    return RegistryUnavailable(f"the registry does not accept writes now: {error.orig}")
