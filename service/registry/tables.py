"""The registry's tables, as the newest revision of `service.registry.migrations` leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, String, Table, Text

metadata = MetaData()
_Key = BigInteger().with_variant(Integer(), "sqlite")  # SQLite numbers rows only in an INTEGER key
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
# One row for each request carried out under an idempotency key. The primary key decides which request is first.
idempotency_table = Table(
    "kindred_idempotency_keys",
    metadata,
    Column("caller", String(32), primary_key=True),  # id of the API key, "" where there are none
    Column("key", String(255), primary_key=True),
    Column("fingerprint", String(64), nullable=False),  # of the request
    Column("status", Integer, nullable=False),  # of the answer; 0 until its transaction ends
    Column("body", LargeBinary, nullable=False),
    Column("created_at", String(32), nullable=False),  # ISO 8601, UTC
    Index("ix_kindred_idempotency_keys_created_at", "created_at"),
)
# Revision 0001 writes it. It is read only in a registry that an older release made; Alembic's table replaced it.
meta_table = Table(
    "kindred_meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
