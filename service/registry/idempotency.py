"""Requests that are carried out once, however often they are sent: what is kept of each under its idempotency key.

A request claims its key first, by the row that can be there only once, and puts its answer into that row last, all in
the transaction of its write. So key, write and answer are committed together or not at all, and of two that come at
once, at whichever services, the second waits for the first to end: it finds the answer, or is the first itself. What is
to be refused is found out after the claim: before, a retry beside the first request could be refused for what that one
wrote. A refused request leaves no row, for it wrote nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, and_, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import IdempotencyKeyReused, RegistryContended
from service.registry.tables import idempotency_table as table

_STEP = 16  # expired keys that a new one removes at most: more than come in, few enough not to be felt


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """A request under a key. `caller`: the id of its API key, "" where there are none; the answers of one caller are
    none of another's.
    """

    caller: str
    key: str
    fingerprint: str  # of all that makes it the same request, in at most 64 characters


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """An answer as it goes out."""

    status: int
    body: bytes


def claim(connection: Connection, key: IdempotencyKey, hours: float) -> StoredAnswer | None:
    """None: the key is this transaction's, which has to `store` an answer. Else the answer that was kept, less than
    `hours` ago, and nothing is written. Waits for a transaction that has claimed the key and not ended.

    Raises IdempotencyKeyReused, and RegistryContended where another took over the same expired key.
    """
    now = datetime.now(UTC)
    cutoff = _written(now - timedelta(hours=hours))
    mine = and_(table.c.caller == key.caller, table.c.key == key.key)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = insert(table).values(
        caller=key.caller, key=key.key, fingerprint=key.fingerprint, status=0, body=b"", created_at=_written(now)
    )
    for _ in range(2):
        if (
            connection.execute(row.on_conflict_do_nothing(), execution_options={"preserve_rowcount": True}).rowcount
            == 1
        ):
            _remove_expired(connection, cutoff)
            return None
        found = connection.execute(select(table).where(mine)).mappings().one_or_none()
        if found is not None and found["created_at"] > cutoff:
            if found["fingerprint"] != key.fingerprint:
                raise IdempotencyKeyReused
            return StoredAnswer(found["status"], found["body"])
        connection.execute(delete(table).where(mine, table.c.created_at <= cutoff))
    raise RegistryContended("others use the same Idempotency-Key: nothing was written")


def store(connection: Connection, key: IdempotencyKey, answer: StoredAnswer) -> None:
    """Put the answer into the row that was claimed."""
    mine = and_(table.c.caller == key.caller, table.c.key == key.key)
    connection.execute(update(table).where(mine).values(status=answer.status, body=answer.body))


def _remove_expired(connection: Connection, cutoff: str) -> None:
    # Those that another transaction holds are left to it: nobody waits for anybody to tidy up.
    oldest = select(table.c.caller, table.c.key).where(table.c.created_at <= cutoff).order_by(table.c.created_at)
    some = oldest.limit(_STEP).with_for_update(skip_locked=True).cte("some")
    connection.execute(delete(table).where(tuple_(table.c.caller, table.c.key).in_(select(some.c.caller, some.c.key))))


def _written(moment: datetime) -> str:
    """In one form for all, so that text compares as time does."""
    return moment.isoformat(timespec="milliseconds")
