"""The registry: what is committed is on disk and comes back; every failure has its name and changes nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import event, update
from sqlalchemy.exc import DBAPIError

from model.items import Item
from service.errors import RegistryError, RegistryFull, RegistryUnavailable
from service.registry.registry import Registry, RegistryRow
from service.registry.tables import items_table

Open = Callable[..., Registry]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/sub/registry.db"


def put(registry: Registry, *items: Item) -> list[RegistryRow]:
    with registry.transaction() as transaction:
        before = transaction.get([item.item_id for item in items])
        return [transaction.put(item, before.get(item.item_id)) for item in items]


def rows_of(registry: Registry, batch: int = 2) -> list[RegistryRow]:
    return [row for rows in registry.rows(batch) for row in rows]


SOAP = Item("soap", title="red soap", price=3.5, attributes={"stock": 2, "tags": ["a", "b"], "new": True})


def test_rows_come_back_equal_from_another_connection(database_url: str, open_registry: Open) -> None:
    registry = open_registry(database_url)
    written = put(registry, SOAP, Item("lamp/ä €", text="a lamp"))
    other = open_registry(database_url)
    assert rows_of(other) == written
    assert [row.revision for row in written] == [1, 1]
    assert written[0].item == SOAP
    assert written[0].content_hash == SOAP.content_hash()


def test_a_row_counts_its_revisions_and_keeps_its_place(database_url: str, open_registry: Open) -> None:
    registry = open_registry(database_url)
    first, _ = put(registry, SOAP, Item("lamp", title="lamp"))
    with registry.transaction() as transaction:
        gone = transaction.delete("soap", transaction.get(["soap"])["soap"])
        never = transaction.delete("catalogue-item", None)
    assert (gone.active, gone.revision, gone.seq) == (False, 2, first.seq)
    assert (never.active, never.revision) == (False, 1)
    (again,) = put(registry, SOAP)
    assert (again.active, again.revision, again.seq) == (True, 3, first.seq)
    assert [row.item_id for row in rows_of(registry)] == ["soap", "lamp", "catalogue-item"]


def test_batches_cover_every_row_once(database_url: str, open_registry: Open) -> None:
    registry = open_registry(database_url)
    items = [Item(f"i{number}", title="x") for number in range(23)]
    put(registry, *items)
    for batch in (1, 5, 23, 100):
        assert [row.item for row in rows_of(registry, batch)] == items


def test_an_error_inside_a_transaction_leaves_nothing(database_url: str, open_registry: Open) -> None:
    registry = open_registry(database_url)

    def fail_midway() -> None:
        with registry.transaction() as transaction:
            transaction.put(SOAP, None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert rows_of(registry) == []


def test_sqlite_keeps_a_rollback_journal_and_syncs_fully(sqlite_url: str, open_registry: Open) -> None:
    registry = open_registry(sqlite_url)
    with registry.transaction() as transaction:
        connection = transaction._connection
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 3


@pytest.mark.parametrize("version", [(3, 40, 1), (3, 51, 2), (3, 51, 3), (3, 53, 1)])
def test_a_file_in_wal_mode_is_turned_back_whatever_the_version(
    sqlite_url: str, open_registry: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]
) -> None:
    """Versions before 3.51.3 can corrupt a WAL database that several connections write."""
    monkeypatch.setattr(sqlite3, "sqlite_version_info", version)
    first = Registry(sqlite_url)
    put(first, SOAP)
    first.close()
    path = tmp_path / "sub" / "registry.db"
    other = sqlite3.connect(path)
    assert other.execute("PRAGMA journal_mode=WAL").fetchone() == ("wal",)
    assert other.execute("SELECT count(*) FROM kindred_items").fetchone() == (1,)  # only now does it have the log open
    with pytest.raises(RegistryUnavailable, match="locked"):
        Registry(sqlite_url, timeout=0.05)
    other.close()
    registry = open_registry(sqlite_url)
    put(registry, Item("lamp", title="lamp"))
    with registry._database.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
    assert [row.item_id for row in rows_of(registry)] == ["soap", "lamp"]
    assert sorted(file.name for file in path.parent.iterdir()) == ["registry.db"]


def test_a_disk_that_fails_leaves_a_write_in_doubt(sqlite_url: str, open_registry: Open) -> None:
    registry = open_registry(sqlite_url)

    @event.listens_for(registry._database.engine, "commit")
    def fail(_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise DBAPIError("COMMIT", None, error)

    with pytest.raises(RegistryUnavailable, match=r"disk I/O error.*: whether the write was made is not known"):
        put(registry, SOAP)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"item_id": "soap", "price": -1}', "price"),
        ('{"item_id": "lamp", "title": "red soap"}', "item_id: is 'lamp' in its content"),
        ("[]", "must be an object"),
        ("[" * 100_000, "recursion"),
        ("none", "Expecting value"),
        (None, "must be str"),
    ],
)
def test_a_row_that_is_no_item_is_named_and_hides_no_other(
    database_url: str, open_registry: Open, caplog: pytest.LogCaptureFixture, content: str | None, why: str
) -> None:
    registry = open_registry(database_url)
    put(registry, SOAP, Item("lamp", title="lamp"))
    damage(registry, "soap", content=content)
    soap, lamp = rows_of(registry)
    assert lamp.item is not None
    assert (soap.item, soap.content_hash, soap.revision) == (None, SOAP.content_hash(), 1)
    assert soap.flaw is not None
    assert "row of item 'soap' is no item: " in soap.flaw
    assert why in soap.flaw
    with registry.transaction() as transaction:
        assert transaction.get(["soap", "lamp"]) == {"soap": soap, "lamp": lamp}
    caplog.clear()
    assert registry.rows_of(["soap", "lamp"]) == [lamp]
    assert [vars(record)["reason"] for record in caplog.records] == [soap.flaw]


def test_a_row_without_content_and_hash_is_not_taken_for_a_deleted_one(database_url: str, open_registry: Open) -> None:
    registry = open_registry(database_url)
    put(registry, SOAP)
    damage(registry, "soap", content=None, content_hash=None)
    (soap,) = rows_of(registry)
    assert soap.flaw is not None
    assert (soap.active, soap.content_hash) == (False, "")


def damage(registry: Registry, item_id: str, **values: str | None) -> None:
    with registry.transaction() as transaction:
        changed = update(items_table).where(items_table.c.item_id == item_id).values(**values)
        transaction._connection.execute(changed)


def test_a_file_that_is_no_database_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    path = tmp_path / "sub" / "registry.db"
    path.parent.mkdir()
    path.write_bytes(b"no database, but long enough to look like a file of one" * 50)
    with pytest.raises(RegistryError, match="damaged or not a SQLite database"):
        Registry(sqlite_url)


@pytest.mark.parametrize("url", ["nonsense", "mongodb://x/y", "postgresql+nodriver://x/y"])
def test_a_url_that_cannot_be_used_is_refused(url: str) -> None:
    with pytest.raises(RegistryError, match="KINDRED_DATABASE_URL cannot be used"):
        Registry(url)


def test_a_folder_that_cannot_be_made_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "sub").write_text("a file")
    with pytest.raises(RegistryError, match="folder of the registry"):
        Registry(sqlite_url)


def test_a_locked_database_refuses_writes_and_serves_reads(
    sqlite_url: str, open_registry: Open, tmp_path: Path
) -> None:
    registry = open_registry(sqlite_url, timeout=0.05)
    put(registry, SOAP)
    other = sqlite3.connect(tmp_path / "sub" / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(RegistryUnavailable, match="locked"):
        put(registry, Item("lamp", title="lamp"))
    assert [row.item_id for row in rows_of(registry)] == ["soap"]
    other.execute("ROLLBACK")
    other.close()
    put(registry, Item("lamp", title="lamp"))
    assert [row.item_id for row in rows_of(registry)] == ["soap", "lamp"]


def test_a_full_disk_refuses_writes_serves_reads_and_recovers(sqlite_url: str, open_registry: Open) -> None:
    registry = open_registry(sqlite_url)
    put(registry, SOAP)
    limit_pages(registry, 8)
    with pytest.raises(RegistryFull, match="registry's disk is full"):
        put(registry, *[Item(f"i{number}", text="long " * 2000) for number in range(20)])
    assert [row.item_id for row in rows_of(registry)] == ["soap"]
    limit_pages(registry, 1_000_000)
    put(registry, Item("lamp", title="lamp"))
    assert [row.item_id for row in rows_of(registry)] == ["soap", "lamp"]


def limit_pages(registry: Registry, pages: int) -> None:
    """SQLite answers "database or disk is full" at this limit just as it does for a full disk."""

    @event.listens_for(registry._database.engine, "checkout")
    def limit(connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages}")
