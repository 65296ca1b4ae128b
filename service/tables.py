"""The registry's tables, as the newest revision of `service.migrations` leaves them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text

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
# Written by revision 0001 and read where an older release made the registry; Alembic's table has taken its place.
meta_table = Table(
    "kindred_meta",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(256), nullable=False),
)
