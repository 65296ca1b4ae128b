"""Engines that hand over: the old writes no more, the new has all that was written."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from model.items import Item
from service.engine.engine import Engine
from service.errors import Superseded
from tests.support.postgres import Server
from tests.support.service import add, ask, make_settings, put, serving, until
from tests.support.swaps import HISTORY, use


def test_an_engine_that_handed_over_writes_no_more_and_reads_on(root: Path, tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError("nothing")

    old = Engine.start(make_settings(root, tmp_path))
    try:
        add(old, Item("early", title="red soap"))
        with pytest.raises(KeyError):
            old.hand_over(fail)
        add(old, Item("late", title="red soap"))  # it stayed in its place
        old.hand_over(lambda: None)
        for write in (
            lambda: add(old, Item("new", title="red soap")),
            lambda: put(old, Item("early", title="red soap")),
            lambda: old.writer.delete("early"),
        ):
            with pytest.raises(Superseded):
                write()
        assert old.get("early").revision == 1
        assert ask(old, *HISTORY).model_version == "v1"
    finally:
        old.close()


def test_a_listener_hears_of_all_that_is_published(root: Path, tmp_path: Path) -> None:
    engine = Engine.start(make_settings(root, tmp_path))
    heard: list[tuple[str, int, bool]] = []
    try:
        add(engine, Item("before", title="red soap"))
        engine.publisher.listen(lambda rows: heard.extend((row.item_id, row.revision, row.active) for row in rows))
        add(engine, Item("new", title="red soap"))
        add(engine, Item("new", title="red soap"))
        put(engine, Item("new", title="blue soap"))
        engine.writer.delete("item-3")
        engine.publisher.listen(None)
        add(engine, Item("after", title="red soap"))
    finally:
        engine.close()
    assert heard == [("new", 1, True), ("new", 2, True), ("item-3", 1, False)]


def test_what_another_replica_writes_is_followed_across_swaps(
    root: Path, tmp_path: Path, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.database()
    settings = make_settings(root, tmp_path, watch=0.02, database_url=url)
    # The other one stays with its version.
    elsewhere = make_settings(root / "v1", tmp_path, database_url=url)
    stop = threading.Event()
    written: list[str] = []
    with serving(settings) as client:
        other = Engine.start(elsewhere)

        def write() -> None:
            while not stop.is_set():
                item = Item(f"theirs-{len(written)}", title="a red soap")
                add(other, item)
                written.append(item.item_id)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for name in ("v2", "v1", "v2"):
                use(client, root, name)
                enough = len(written) + 5
                until(lambda enough=enough: len(written) >= enough)  # type: ignore[misc]
        finally:
            stop.set()
            writer.join()
        until(lambda: client.get(f"/items/{written[-1]}").status == 200)
        assert [item_id for item_id in written if client.get(f"/items/{item_id}").status != 200] == []
        assert client.post("/items", {"item_id": "ours", "title": "a blue lamp"}).status == 201
        until(lambda: "ours" in {item.item_id for item in other.export()})
        # One feed each; those of the engines before are gone.
        assert sum(thread.name == "kindred-feed" for thread in threading.enumerate()) == 2
        other.close()
    assert [record.message for record in caplog.records if "the feed broke off" in record.message] == []
