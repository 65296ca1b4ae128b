"""Idempotency keys: a request is carried out once, however often it is sent, and retries get the stored answer.

A request first claims its key by inserting the key's row, and last stores its answer in that row, all in the
transaction of its write. So key, write and answer are committed together or not at all. If two requests come at once,
to any services, the second waits until the first has ended. Then it finds the answer, or becomes the first.

A request is checked after its claim. Otherwise a retry that runs beside the first request could be refused for what
that request wrote. A refused request writes nothing and leaves no row.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, and_, delete, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from service.errors import IdempotencyKeyReused, RegistryContended
from service.registry.tables import idempotency_table as table

_STEP = 16  # expired keys that a claim removes, at most: faster than keys come in, and too few to notice


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The key of a request. caller: the id of the caller's API key, "" without API keys; callers share no answers."""

    caller: str
    key: str
    fingerprint: str  # of everything that identifies the request; at most 64 characters


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The answer to a request, as HTTP sends it."""

    status: int
    body: bytes


def claim(connection: Connection, key: IdempotencyKey, hours: float) -> StoredAnswer | None:
    """The answer stored under the key in the last `hours`; then nothing is written. None: this transaction has claimed
    the key and has to `store` an answer. Waits for another transaction that has claimed the key and not ended.

    Raises IdempotencyKeyReused, and RegistryContended if another transaction took over the same expired key.
    """
    now = datetime.now(UTC)
    cutoff = _iso(now - timedelta(hours=hours))
    mine = and_(table.c.caller == key.caller, table.c.key == key.key)
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = insert(table).values(
        caller=key.caller, key=key.key, fingerprint=key.fingerprint, status=0, body=b"", created_at=_iso(now)
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
    """Put the answer into the claimed row."""
    mine = and_(table.c.caller == key.caller, table.c.key == key.key)
    connection.execute(update(table).where(mine).values(status=answer.status, body=answer.body))


def _remove_expired(connection: Connection, cutoff: str) -> None:
    # Skip keys that another transaction has locked: nobody waits for a cleanup.
    oldest = select(table.c.caller, table.c.key).where(table.c.created_at <= cutoff).order_by(table.c.created_at)
    some = oldest.limit(_STEP).with_for_update(skip_locked=True).cte("some")
    connection.execute(delete(table).where(tuple_(table.c.caller, table.c.key).in_(select(some.c.caller, some.c.key))))


def _iso(moment: datetime) -> str:
    """ISO 8601 in one form, so that texts compare as times do."""
    return moment.isoformat(timespec="milliseconds")
