"""The durable registry of the items an operator wrote: one row an id, committed before anything is
acknowledged.

A row states an item's text and attributes; what was learned about an item stays in the artifact. A deleted
item keeps its row with the status "deleted", so that an item of the artifact's catalogue stays away after a
restart and an id that comes back has its old place in the order.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    RowMapping,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from model.items import InvalidItem, Item
from service.errors import RegistryError, RegistryFull, RegistryUnavailable

SCHEMA_VERSION = 1
ACTIVE = "active"
DELETED = "deleted"

metadata = MetaData()
_Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows by itself only in an INTEGER key
items_table = Table(
    "kindred_items",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=True),
    Column("item_id", String(256), nullable=False, unique=True),
    Column("content", Text),  # JSON of Item.to_dict(); null once deleted
    Column("content_hash", String(64)),
    Column("status", String(8), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("created_at", String(32), nullable=False),  # ISO 8601, UTC
    Column("updated_at", String(32), nullable=False),
    sqlite_autoincrement=True,  # a number is never given twice, so the order of items never changes
)
meta_table = Table(
    "kindred_meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `item` and `content_hash` are None for a deleted item; `seq` orders items by first
    registration.
    """

    seq: int
    item_id: str
    item: Item | None
    content_hash: str | None
    revision: int

    @property
    def active(self) -> bool:
        return self.item is not None


class Transaction:
    """Reads and writes of one transaction; what it wrote counts when the `with` block ends without an error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, item_ids: Sequence[str]) -> dict[str, Row]:
        """The rows of the given ids that exist, locked against other writers until the transaction ends."""
        query = select(items_table).where(items_table.c.item_id.in_(item_ids)).with_for_update()
        return {row["item_id"]: _row(row) for row in self._connection.execute(query).mappings()}

    def put(self, item: Item, before: Row | None) -> Row:
        """Write `item` as active; `before` is the row of its id as `get` returned it."""
        content_hash = item.content_hash()
        now = _now()
        values: dict[str, Any] = {
            "content": json.dumps(item.to_dict(), ensure_ascii=False),
            "content_hash": content_hash,
            "status": ACTIVE,
            "revision": before.revision + 1 if before else 1,
            "updated_at": now,
        }
        if before is None:
            added = insert(items_table).values(item_id=item.item_id, created_at=now, **values)
            key = self._connection.execute(added).inserted_primary_key
            if key is None:
                raise RegistryError(f"the database gave no number to the row of item {item.item_id!r}")
            seq = int(key[0])
        else:
            self._connection.execute(update(items_table).where(items_table.c.seq == before.seq).values(values))
            seq = before.seq
        return Row(seq, item.item_id, item, content_hash, values["revision"])

    def delete(self, item_id: str, before: Row | None) -> Row:
        """Mark an id as deleted; an item of the catalogue gets its first row by that."""
        now = _now()
        values: dict[str, Any] = {
            "content": None,
            "content_hash": None,
            "status": DELETED,
            "revision": before.revision + 1 if before else 1,
            "updated_at": now,
        }
        if before is None:
            self._connection.execute(insert(items_table).values(item_id=item_id, created_at=now, **values))
            return self.get([item_id])[item_id]
        self._connection.execute(update(items_table).where(items_table.c.seq == before.seq).values(values))
        return Row(before.seq, item_id, None, None, values["revision"])


class Registry:
    """Opens (and creates, when missing) the registry at a SQLAlchemy URL.

    Raises RegistryError when the URL cannot be used or the schema is another version's, RegistryUnavailable
    when the database does not answer. `timeout` is how long a write waits for a lock, in seconds.
    """

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        self._engine = _engine(url, timeout)
        with _translated(), self._engine.connect() as connection, _writing(connection):
            metadata.create_all(connection)
            query = select(meta_table.c.value).where(meta_table.c.name == "schema_version")
            found = connection.execute(query).scalar_one_or_none()
            if found is None:
                connection.execute(insert(meta_table).values(name="schema_version", value=str(SCHEMA_VERSION)))
            elif found != str(SCHEMA_VERSION):
                raise RegistryError(
                    f"the registry has schema version {found}, this service reads version {SCHEMA_VERSION}: "
                    "use the release that wrote it, or point KINDRED_DATABASE_URL at another database"
                )

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write atomically. Leaving the block commits, and has returned only when the rows are on disk.

        Raises RegistryFull or RegistryUnavailable; then nothing was written.
        """
        with _translated(), self._engine.connect() as connection, _writing(connection):
            yield Transaction(connection)

    def rows(self, batch: int = 512) -> Iterator[list[Row]]:
        """All rows in the order of first registration, in batches that were read one after another."""
        last = 0
        while True:
            query = select(items_table).where(items_table.c.seq > last).order_by(items_table.c.seq).limit(batch)
            with _translated(), self._engine.connect() as connection:
                rows = [_row(row) for row in connection.execute(query).mappings()]
            if not rows:
                return
            yield rows
            last = rows[-1].seq

    def close(self) -> None:
        self._engine.dispose()


def _engine(url: str, timeout: float) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            return create_engine(parsed, pool_pre_ping=True, pool_timeout=timeout)
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, connect_args={"timeout": timeout}, pool_timeout=timeout)
    except (ArgumentError, NoSuchModuleError, ImportError, ValueError) as error:
        raise RegistryError(f"KINDRED_DATABASE_URL cannot be used: {error}") from error
    except OSError as error:
        raise RegistryError(f"the folder of the registry cannot be made: {error}") from error
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Rollback journal and full synchronisation.

    DELETE rather than WAL: versions of SQLite before 3.51.3 can corrupt a WAL database when it is reset under
    several connections. EXTRA rather than FULL: with a rollback journal the commit is the journal's removal
    from its folder, and only EXTRA synchronises that folder too, so that a power cut cannot bring the journal
    back and undo what was acknowledged.
    """
    connection.isolation_level = None  # this driver's own BEGIN comes too late; ours is in _begin_sqlite
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=DELETE")
    cursor.execute("PRAGMA synchronous=EXTRA")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes its lock at once: a transaction that read first and then finds it cannot write would have
    # to be run again from its start.
    writing = connection.get_execution_options().get("kindred_writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


@contextmanager
def _writing(connection: Connection) -> Iterator[None]:
    connection.execution_options(kindred_writing=True)
    with connection.begin():
        yield


@contextmanager
def _translated() -> Iterator[None]:
    """Driver errors as the registry's own; InvalidItem, RegistryError and the like pass through."""
    try:
        yield
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # the low byte, without the extended code
        if code == sqlite3.SQLITE_FULL or getattr(error.orig, "sqlstate", "") == "53100":
            raise RegistryFull("the disk of the registry is full: nothing was written, reading goes on") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise RegistryError(f"the registry's file is damaged or no SQLite database: {error.orig}") from error
        raise RegistryUnavailable(f"the registry does not accept writes now: {error.orig}") from error
    except PoolTimeout as error:
        raise RegistryUnavailable("the registry has no free connection") from error
    except SQLAlchemyError as error:
        raise RegistryError(f"the registry failed: {error}") from error


def _row(row: RowMapping) -> Row:
    item: Item | None = None
    if row["status"] == ACTIVE:
        try:
            item = Item.from_dict(json.loads(row["content"]))
        except (InvalidItem, ValueError, TypeError) as error:
            raise RegistryError(f"the registry's row of item {row['item_id']!r} is no item: {error}") from error
    return Row(row["seq"], row["item_id"], item, row["content_hash"], row["revision"])


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
