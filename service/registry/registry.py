"""The registry: one durable row for each item id that was written. A write is acknowledged after its commit.

A row has an item's text and attributes; what training learned of an item stays in the artifact. A deleted item keeps
its row, with the status "deleted". So an item of the artifact stays away after a restart, and an id that comes back
keeps its place in the order of items.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, RowMapping, insert, select, update

from model.items import InvalidItem, Item
from service.contract.operation_answers import RegistryKind
from service.errors import RegistryContended, RegistryError, shorten
from service.registry import schema
from service.registry.changes import Changes
from service.registry.database import Database
from service.registry.idempotency import IdempotencyKey, StoredAnswer, claim, store
from service.registry.tables import items_table

log = logging.getLogger("kindred.registry")

ACTIVE = "active"
DELETED = "deleted"

T = TypeVar("T")

_ATTEMPTS = 3  # runs of a transaction that meets others; the last two run alone


@dataclass(frozen=True, slots=True)
class RegistryRow:
    """One row. `item` and `content_hash` are None for a deleted item. `seq` orders items by first registration.

    A row that was changed by hand may be no item. Then `flaw` says why, `item` is None, and `content_hash` is not. No
    service serves such an id; it can be written again or deleted.
    """

    seq: int
    item_id: str
    item: Item | None
    content_hash: str | None
    revision: int
    flaw: str | None = None

    @property
    def active(self) -> bool:
        return self.item is not None


class Transaction:
    """Reads and writes of one transaction, which is committed when its `with` block ends without an error."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, item_ids: Sequence[str]) -> dict[str, RegistryRow]:
        """The existing rows of these ids, locked against other writers until the transaction ends."""
        # In one order, so that two writers of the same items cannot deadlock.
        query = select(items_table).where(items_table.c.item_id.in_(item_ids)).order_by(items_table.c.item_id)
        query = query.with_for_update()
        return {row["item_id"]: _row(row) for row in self._connection.execute(query).mappings()}

    def put(self, item: Item, before: RegistryRow | None) -> RegistryRow:
        """Write `item` as active. before: the row of its id, as `get` returned it."""
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
        return RegistryRow(seq, item.item_id, item, content_hash, values["revision"])

    def delete(self, item_id: str, before: RegistryRow | None) -> RegistryRow:
        """Mark an id as deleted. An item of the artifact may get its first row by this."""
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
        return RegistryRow(before.seq, item_id, None, None, values["revision"])

    def claim(self, key: IdempotencyKey, hours: float) -> StoredAnswer | None:
        """The answer stored under a key in the last `hours`. None: this request is the first and has to `store` one.

        Call it before all else in a transaction. Raises IdempotencyKeyReused.
        """
        return claim(self._connection, key, hours)

    def store(self, key: IdempotencyKey, answer: StoredAnswer) -> None:
        """Store the answer that retries of a claimed request get once this transaction is committed."""
        store(self._connection, key, answer)


class Registry:
    """Opens the registry at a SQLAlchemy URL and creates or migrates its schema. Without `migrate`, it refuses a schema
    that is not the newest. timeout: seconds that a write waits for a lock.

    Raises RegistryError if the URL or the schema cannot be used, RegistryRefused if the server refuses the connection,
    RegistryUnavailable if the database does not answer.
    """

    def __init__(self, url: str, timeout: float = 5.0, migrate: bool = True) -> None:
        self._open = partial(Database, url, timeout)
        self._database = self._open()
        try:
            schema.prepare(self._database, migrate)
        except BaseException:
            self._database.close()
            raise

    @contextmanager
    def transaction(self, alone: bool = False) -> Iterator[Transaction]:
        """Write atomically. Leaving the block commits; when that returns, the rows are on disk.

        alone: no other service writes to this database meanwhile. Raises RegistryFull, RegistryUnavailable or, if
        another writer came in between, RegistryContended.
        """
        with self._database.writing(alone) as connection:
            yield Transaction(connection)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, commit, and return its result. Run it again if another writer came in between.

        Nobody can lock a row that does not exist yet. If two writers register an id at the same moment, neither finds
        a row, and the database lets the second write fail. The second run finds the first writer's row. It runs alone,
        because writers that met once would meet again. Raises as `transaction` does.
        """
        for attempt in range(1, _ATTEMPTS):
            try:
                with self.transaction(alone=attempt > 1) as transaction:
                    return work(transaction)
            except RegistryContended:
                log.info("a write met another and is run again", extra={"attempt": attempt})
        with self.transaction(alone=True) as transaction:
            return work(transaction)

    def rows(self, batch: int = 512) -> Iterator[list[RegistryRow]]:
        """All rows in the order of first registration, in batches, each read by itself. Flaws are logged."""
        last = 0
        while True:
            query = select(items_table).where(items_table.c.seq > last).order_by(items_table.c.seq).limit(batch)
            with self._database.reading() as connection:
                rows = [_row(row) for row in connection.execute(query).mappings()]
            if not rows:
                return
            _tell_flaws(rows)
            yield rows
            last = rows[-1].seq

    def rows_of(self, item_ids: Sequence[str]) -> list[RegistryRow]:
        """The rows of these ids as they are now. Rows with a flaw are logged and left out."""
        with self._database.reading() as connection:
            found = connection.execute(select(items_table).where(items_table.c.item_id.in_(item_ids))).mappings().all()
        rows = [_row(values) for values in found]
        _tell_flaws(rows)
        return [row for row in rows if row.flaw is None]

    def changes(self) -> Changes | None:
        """The changes to the registry from now on, by a connection of their own; None for SQLite."""
        return Changes(self._open()) if self._database.is_postgresql else None

    @property
    def kind(self) -> RegistryKind:
        return "postgresql" if self._database.is_postgresql else "sqlite"

    def cut(self) -> None:
        """End every wait for a silent server. Any thread may call it."""
        self._database.cut()

    def close(self) -> None:
        self._database.close()


def _row(row: RowMapping) -> RegistryRow:
    item: Item | None = None
    content_hash: str | None = row["content_hash"]
    flaw: str | None = None
    if row["status"] == ACTIVE:
        try:
            item = Item.from_dict(json.loads(row["content"]))
            if item.item_id != row["item_id"]:
                raise InvalidItem("item_id", f"is {shorten(item.item_id)!r} in its content")
        except (InvalidItem, ValueError, TypeError, RecursionError) as error:
            flaw = f"the registry's row of item {row['item_id']!r} is no item: {error}"
            # Not None: None would mean a deleted item.
            item, content_hash = None, content_hash or ""
    return RegistryRow(row["seq"], row["item_id"], item, content_hash, row["revision"], flaw)


def _tell_flaws(rows: Sequence[RegistryRow]) -> None:
    for row in rows:
        if row.flaw is not None:
            log.error("a row is not served", extra={"reason": row.flaw})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
