"""`python -m service backup FILE`: copy a registry in SQLite while it is in use. With `--restore`, put a copy back.

For PostgreSQL, use `pg_dump` and `pg_restore` (docs/operations.md).
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from service.errors import ServiceError
from service.registry.database import Database, parse_url
from service.registry.registry import ACTIVE
from service.registry.schema import prepare
from service.settings import Settings, complain


class Contents(NamedTuple):
    """What a registry holds: items, and ids that are marked as deleted."""

    items: int
    deleted: int

    def __str__(self) -> str:
        return f"{_count(self.items, 'item')} and {_count(self.deleted, 'deleted one')}"


class BadBackup(Exception):
    """Nothing was copied; the message says why."""


def save(registry: Path, target: Path, timeout: float) -> Contents:
    """Copy a registry, as it is at one moment, to a new file, and return what it holds. Raises BadBackup.

    The copy is checked and on disk, and appears whole or not at all. Writers wait meanwhile, up to their
    KINDRED_DATABASE_TIMEOUT. A copy in steps would let them in, but SQLite would start it again at each commit.
    """
    if target.exists():
        raise BadBackup(f"{target} exists already")
    if not registry.is_file():
        raise BadBackup(f"there is no registry at {registry}")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise BadBackup(f"{target} cannot be written: {error.strerror}") from error
    os.close(descriptor)
    partial = Path(name)
    try:
        contents = _copy(registry, partial, timeout)
        _sync(partial)
        os.link(partial, target)  # unlike a rename, it never replaces a file
        _sync(target.parent)
    except FileExistsError as error:
        raise BadBackup(f"{target} exists already") from error
    finally:
        partial.unlink()
    return contents


def restore(source: Path, registry: Path, timeout: float) -> Contents:
    """Replace a registry's content by a copy, in one transaction, and return what it then holds. Raises BadBackup, and
    then has changed nothing.

    Stop the service first: a service that runs notices nothing until its next start. This function cannot tell whether
    one runs, because a service locks the file only while it writes.
    """
    if not source.is_file():
        raise BadBackup(f"there is no file {source}")
    if registry.exists() and registry.samefile(source):
        raise BadBackup(f"{source} is the registry itself")  # the copy would wait for its own lock
    _contents(source)
    try:
        database = Database(f"sqlite:///{source.resolve()}", timeout)
        try:
            prepare(database, migrate=False)
        finally:
            database.close()
    except ServiceError as error:
        raise BadBackup(f"{source}: {error}") from error
    try:
        registry.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadBackup(f"the folder of {registry} cannot be made: {error.strerror}") from error
    return _copy(source, registry, timeout)


def _copy(source: Path, target: Path, timeout: float) -> Contents:
    # Not VACUUM INTO: it writes only new files, so `restore` would need this function too. Measured on 100,000 items
    # (29 MiB) beside a writer: both take 0.2 to 0.4 s, and the writer waits as long.
    try:
        with (
            closing(sqlite3.connect(source, timeout=timeout)) as reading,
            closing(sqlite3.connect(target, timeout=timeout)) as writing,
        ):
            writing.execute("PRAGMA synchronous=EXTRA")
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_master").fetchone()  # takes the lock that fixes the moment
            reading.backup(writing)
    except sqlite3.Error as error:
        raise BadBackup(f"{source} could not be copied to {target}: {error}") from error
    return _contents(target)


def _contents(path: Path) -> Contents:
    """What a file holds. Raises BadBackup if it is damaged or no registry."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check").fetchone()
            if found != "ok":
                raise BadBackup(f"{path} is damaged: {found}")
            rows = dict(connection.execute("SELECT status, count(*) FROM kindred_items GROUP BY status"))
    except sqlite3.Error as error:
        raise BadBackup(f"{path} is no registry: {error}") from error
    return Contents(rows.pop(ACTIVE, 0), sum(rows.values()))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _file_of(url: str) -> Path:
    parsed = parse_url(url)
    if not parsed.drivername.startswith("sqlite"):
        raise BadBackup('the registry is in PostgreSQL: use pg_dump and pg_restore (docs/operations.md, "Runbook")')
    if not parsed.database or parsed.database == ":memory:":
        raise BadBackup("the registry is in memory: there is no file")
    return Path(parsed.database)


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: copied. 1: not copied. 2: a setting is invalid."""
    parser = argparse.ArgumentParser(prog="python -m service backup", description="Copy the registry, or put it back.")
    parser.add_argument("file", type=Path, help="the copy")
    parser.add_argument("--restore", action="store_true", help="replace the registry by the copy")
    parser.add_argument("--database-url", help="the registry (KINDRED_DATABASE_URL)")
    given = parser.parse_args(arguments)
    try:
        settings = Settings(**({"database_url": given.database_url} if given.database_url else {}))
    except ValidationError as error:
        complain(error)
        return 2
    try:
        registry = _file_of(settings.database_url)
        if given.restore:
            contents = restore(given.file, registry, settings.database_timeout)
        else:
            contents = save(registry, given.file, settings.database_timeout)
    except (BadBackup, ServiceError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    of, to = (given.file, registry) if given.restore else (registry, given.file)
    print(f"{of} -> {to}: {contents}, integrity checked")
    if given.restore:
        print(
            "A service that has this registry open does not notice and serves what it had: stop the service first, "
            "restore, start it again."
        )
    return 0
