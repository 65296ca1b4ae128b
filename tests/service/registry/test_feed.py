"""Replicas: what one service commits the others serve, whatever commits late, gets lost or breaks meanwhile."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest

from model.artifact import Artifact
from model.items import Item
from service.engine.engine import Engine
from service.errors import UnknownItem
from service.registry import feed
from service.registry.changes import _CHANGED
from service.registry.registry import Registry
from tests.support.postgres import Server, running_server
from tests.support.service import add, ask, ids, make_settings, put, serving, until

KILL_LISTENERS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kindred-feed'"


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return Artifact.load(root)


@pytest.fixture
def url(postgres: Server) -> str:
    return postgres.database()


Start = Callable[..., Engine]
Open = Callable[..., Registry]


@pytest.fixture
def start(root: Path, artifact: Artifact, tmp_path: Path) -> Iterator[Start]:
    """Starts engines on a registry and closes them at the end."""
    with ExitStack() as stack:

        def start_(url: str, **changes: object) -> Engine:
            engine = Engine.start(make_settings(root, tmp_path, database_url=url, **changes), artifact)
            stack.callback(engine.close)
            return engine

        yield start_


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_INTERVAL", 0.1)


@pytest.fixture
def only_told(often: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Feeds look when they are told to, and never by themselves."""
    monkeypatch.setattr(feed, "_INTERVAL", 3600.0)


def serves(engine: Engine, item_id: str, revision: int = 1) -> bool:
    try:
        return engine.get(item_id).revision == revision
    except UnknownItem:
        return False


def state(engine: Engine) -> list[object]:
    return [(item.item_id, item.revision, item.semantic_id, item.attributes) for item in engine.page(-1, 1000).items]


def looks(engine: Engine) -> None:
    """Wait until the engine has looked for changes once more, from the beginning of the look to its end."""
    assert engine.feed is not None
    for _ in range(2):
        before = engine.feed._looked
        until(lambda before=before: engine.feed is not None and engine.feed._looked != before)  # type: ignore[misc]


# --- what one writes, all serve ---


def test_what_one_registers_replaces_and_deletes_is_served_by_all(start: Start, url: str) -> None:
    engines = [start(url) for _ in range(3)]
    for number, author in enumerate(engines):
        add(author, Item(f"new-{number}", title="red soap"))
        put(author, Item(f"item-{number}", title="a lamp now"))
        author.writer.delete(f"item-{number + 10}")
    for engine in engines:
        until(lambda engine=engine: all(serves(engine, f"new-{number}") for number in range(3)))  # type: ignore[misc]
        until(lambda engine=engine: all(serves(engine, f"item-{number}") for number in range(3)))  # type: ignore[misc]
        for number in range(3):
            until(lambda engine=engine, n=number: not serves(engine, f"item-{n + 10}", 0))  # type: ignore[misc]
        assert {"new-0", "new-1", "new-2"} <= set(ids(ask(engine, "item-20", k=500)))
    put(engines[2], Item("new-0", title="blue lamp"))
    engines[1].writer.delete("new-1")
    until(lambda: serves(engines[0], "new-0", 2) and not serves(engines[0], "new-1"))
    for engine in engines:
        looks(engine)
    assert state(engines[0]) == state(engines[1]) == state(engines[2])
    assert [engine.feed.applied for engine in engines if engine.feed] == [8, 7, 7]  # its own not among them


def test_a_commit_is_told_of(start: Start, url: str, only_told: None) -> None:
    author, reader = start(url), start(url)
    for number in range(5):
        add(author, Item(f"new-{number}", title="red soap"))
        until(lambda number=number: serves(reader, f"new-{number}"))  # type: ignore[misc]


def test_a_write_of_a_release_without_a_feed_is_served_too(start: Start, url: str, postgres: Server) -> None:
    reader = start(url)
    item = Item("new", title="red soap")
    postgres.execute(
        "INSERT INTO kindred_items (item_id, content, content_hash, status, revision, created_at, updated_at) "
        f"VALUES ('new', '{json.dumps(item.to_dict())}', '{item.content_hash()}', 'active', 1, 'now', 'now')",
        "shop",
    )
    until(lambda: serves(reader, "new"))


def test_one_service_on_sqlite_follows_nobody(start: Start, tmp_path: Path) -> None:
    assert start(f"sqlite:///{tmp_path}/registry.db").feed is None


# --- transactions that take long ---


def test_no_transaction_is_missed_that_commits_late(start: Start, url: str, open_registry: Open) -> None:
    """Begun first and committed last, in every order of three, with others' commits served in between."""
    reader, author = start(url), start(url)
    registry = open_registry(url)
    for number, order in enumerate([(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]):
        open_ = [registry.transaction() for _ in range(2)]
        for slow, transaction in enumerate(open_):
            transaction.__enter__().put(Item(f"slow-{number}-{slow}", title="red soap"), None)
        add(author, Item(f"between-{number}", title="blue lamp"))
        until(lambda number=number: serves(reader, f"between-{number}"))  # type: ignore[misc]
        looks(reader)
        for step in order:
            if step < 2:
                open_[step].__exit__(None, None, None)
                until(lambda name=f"slow-{number}-{step}": serves(reader, name))  # type: ignore[misc]
            else:
                put(author, Item(f"between-{number}", title="red lamp"))
                until(lambda number=number: serves(reader, f"between-{number}", 2))  # type: ignore[misc]
    looks(author)
    looks(reader)
    assert state(reader) == state(author)
    assert reader.feed is not None
    assert reader.feed.failures == 0  # nothing was found because all was compared anew
    assert reader.feed.applied == 24


def test_what_commits_between_the_loading_and_the_first_look_is_served(
    start: Start, url: str, monkeypatch: pytest.MonkeyPatch, only_told: None
) -> None:
    author = start(url)
    late = feed.Feed.start

    def commit_first(*arguments: object) -> feed.Feed | None:
        add(author, Item("new", title="red soap"))
        return late(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(feed.Feed, "start", commit_first)
    assert serves(start(url), "new")


def test_a_change_is_read_once_though_a_transaction_takes_long(url: str, open_registry: Open) -> None:
    registry = open_registry(url)
    changes = registry.changes()
    assert changes is not None
    held: dict[str, int] = {}
    try:
        with registry.transaction() as slow:
            slow.put(Item("slow", title="red soap"), None)
            assert changes.news(held) == []
            changes.settle()
            for number in range(3):
                with registry.transaction() as transaction:
                    transaction.put(Item(f"new-{number}", title="blue lamp"), None)
                assert changes.news(held) == [f"new-{number}"]
                assert changes.news(held) == [f"new-{number}"]  # until it is settled
                changes.settle()
        assert changes.news(held) == ["slow"]
        assert changes.news({"slow": 1}) == []
        changes.settle()
        assert changes.news(held) == []
    finally:
        changes.close()


def test_rows_of_another_server_s_dump_cost_nothing_and_are_not_lost(
    start: Start, url: str, postgres: Server, open_registry: Open
) -> None:
    """A dump brings the numbers of transactions along; here they lie far in the future of the new server."""
    author = start(url)
    author.writer.write([Item(f"new-{number}", title="red soap") for number in range(3)])
    postgres.execute("ALTER TABLE kindred_items DISABLE TRIGGER kindred_items_mark", "shop")
    postgres.execute("UPDATE kindred_items SET change_xid = '1000000000000'", "shop")
    postgres.execute("ALTER TABLE kindred_items ENABLE TRIGGER kindred_items_mark", "shop")
    registry = open_registry(url)
    changes = registry.changes()
    assert changes is not None
    try:
        assert sorted(changes.news({})) == ["new-0", "new-1", "new-2"]
        changes.settle()
        assert changes.news({}) == []  # read at the start, and not each time
    finally:
        changes.close()
    reader = start(url)
    assert all(serves(reader, f"new-{number}") for number in range(3))
    put(author, Item("new-1", title="blue lamp"))
    until(lambda: serves(reader, "new-1", 2))


# --- what breaks ---


def test_a_listener_that_is_cut_off_comes_back_and_has_missed_nothing(
    start: Start, url: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    author, reader = start(url), start(url)
    for number in range(3):
        assert len(postgres.execute(KILL_LISTENERS)) == 2
        add(author, Item(f"new-{number}", title="red soap"))
        until(lambda number=number: serves(reader, f"new-{number}"))  # type: ignore[misc]
        looks(reader)
        looks(author)
    assert reader.feed is not None
    assert reader.feed.failures == 3
    assert "the feed broke off" in caplog.text


def test_a_commit_that_nobody_was_told_of_is_found(start: Start, url: str, postgres: Server) -> None:
    reader, author = start(url), start(url)
    postgres.execute("ALTER TABLE kindred_items DISABLE TRIGGER kindred_items_tell", "shop")
    add(author, Item("new", title="red soap"))
    until(lambda: serves(reader, "new"))


def test_a_row_that_is_no_item_holds_up_no_other(
    start: Start, url: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    author, reader = start(url), start(url)
    add(author, Item("bad", title="red soap"))
    until(lambda: serves(reader, "bad"))
    postgres.execute("UPDATE kindred_items SET content = '{}', revision = 2 WHERE item_id = 'bad'", "shop")
    add(author, Item("new", title="red soap"))
    until(lambda: serves(reader, "new"))
    looks(reader)
    assert serves(reader, "bad", 1)
    assert "the registry's row of item 'bad' is no item" in "".join(
        str(vars(record).get("reason")) for record in caplog.records
    )
    content = json.dumps(Item("bad", title="blue lamp").to_dict())
    postgres.execute(f"UPDATE kindred_items SET content = '{content}' WHERE item_id = 'bad'", "shop")
    until(lambda: serves(reader, "bad", 2))


def test_a_database_that_lost_rows_is_told_of(
    start: Start, url: str, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    engine = start(url)
    engine.writer.write([Item(f"new-{number}", title="red soap") for number in range(3)])
    put(engine, Item("new-0", title="blue lamp"))
    postgres.execute("DELETE FROM kindred_items WHERE item_id = 'new-2'", "shop")
    postgres.execute("UPDATE kindred_items SET revision = 1 WHERE item_id = 'new-0'", "shop")
    postgres.execute(KILL_LISTENERS)
    until(lambda: any("has lost rows" in record.message for record in caplog.records))
    (record,) = [record for record in caplog.records if "has lost rows" in record.message]
    assert (record.levelno, vars(record)["rows"]) == (logging.ERROR, 2)


def test_an_error_of_our_own_does_not_end_the_feed(
    start: Start, url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    author, reader = start(url), start(url)
    apply = reader.feed._apply if reader.feed else None
    assert apply is not None
    failures = [ZeroDivisionError()]

    def fail_once(rows: Sequence[object]) -> int:
        if failures:
            raise failures.pop()
        return apply(rows)  # type: ignore[arg-type]

    monkeypatch.setattr(reader.feed, "_apply", fail_once)
    add(author, Item("new", title="red soap"))
    until(lambda: serves(reader, "new"))
    assert "ZeroDivisionError" in caplog.text


def test_a_server_that_is_killed_stopped_and_frozen_is_followed_again(start: Start) -> None:
    with running_server() as server:
        url = server.own_database()
        author, reader = start(url, database_timeout=1), start(url, database_timeout=1)
        assert reader.feed is not None
        for number, (down, up) in enumerate(
            [(server.kill, server.start), (server.stop, server.start), (server.freeze, server.thaw)]
        ):
            failures = reader.feed.failures
            down()
            until(lambda failures=failures: reader.feed is not None and reader.feed.failures > failures)  # type: ignore[misc]
            assert ids(ask(reader, "item-1"))
            up()
            looks(reader)
            add(author, Item(f"new-{number}", title="red soap"))
            until(lambda number=number: serves(reader, f"new-{number}"))  # type: ignore[misc]
        assert reader.feed.lag < 30


def test_an_engine_ends_though_its_server_is_frozen(start: Start) -> None:
    with running_server() as server:
        engine = start(server.own_database(), database_timeout=60)
        server.freeze()
        try:
            time.sleep(1.5)  # the feed waits for an answer now
            engine.close()
        finally:
            server.thaw()
        assert engine.feed is not None
        assert not engine.feed._thread.is_alive()


# --- what is known of it ---


def test_the_metrics_say_how_far_a_replica_is_behind(root: Path, tmp_path: Path, url: str, start: Start) -> None:
    author = start(url)
    with serving(make_settings(root, tmp_path, database_url=url)) as client:
        add(author, Item("new", title="red soap"))
        until(lambda: client.get("/items/new").status == 200)
        lines = client.get("/metrics").body.decode().splitlines()
        values = {name: float(value) for name, _, value in (line.partition(" ") for line in lines if line[0] != "#")}
        assert 0 <= values["kindred_feed_lag_seconds"] < 30
        assert values["kindred_feed_rows_total"] == 1
        assert values["kindred_feed_failures_total"] == 0
    with serving(make_settings(root, tmp_path)) as client:
        assert b"kindred_feed" not in client.get("/metrics").body


def test_the_changes_are_found_by_their_index(url: str, start: Start, postgres: Server) -> None:
    start(url)
    values = {":running": "{5,6}", ":start": "1000000", ":end": "2000000"}
    query = re.sub(":(running|start|end)", lambda name: f"'{values[name[0]]}'", f"EXPLAIN {_CHANGED}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO kindred_items (item_id, status, revision, created_at, updated_at) "
            "SELECT 'gone-' || n, 'deleted', 1, 'now', 'now' FROM generate_series(1, 20000) n"
        )
        connection.execute("ANALYZE kindred_items")
        plan = "\n".join(row[0] for row in connection.execute(query.encode()))
        assert "ix_kindred_items_change_xid" in plan
        assert "Seq Scan" not in plan
