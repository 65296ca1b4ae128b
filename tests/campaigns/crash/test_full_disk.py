"""The registry's disk is full: writes get 507, reads go on, and as soon as there is room the next write succeeds."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import Pool

from service.settings import Settings
from tests.campaigns.crash.campaign import CONNECTIONS, acknowledged
from tests.campaigns.crash.writers import Writer, check_served, settle, states, writing
from tests.support.disks import small_disk
from tests.support.service import Client, make_settings, refused, serving


class SmallDisk:
    """A tmpfs of 2 MiB with nothing but the registry on it, and a file that takes what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(512))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    return

    def free(self) -> None:
        self._ballast.unlink()


class PageLimit:
    """No disk at all, for machines where nothing can be mounted: SQLite says the same at a limit of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pages = 1_000_000

    def fill(self) -> None:
        self.pages = 1  # SQLite takes the size that the file has

    def free(self) -> None:
        self.pages = 1_000_000

    def limit(self, connection: sqlite3.Connection, *_: object) -> None:
        connection.execute(f"PRAGMA max_page_count={self.pages}")


Space = SmallDisk | PageLimit


@pytest.fixture(params=["disk", "page limit"])
def space(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Space]:
    if request.param == "disk":
        with small_disk(tmp_path, "2m") as folder:
            yield SmallDisk(folder)
        return
    limit = PageLimit(tmp_path)
    event.listen(Pool, "checkout", limit.limit)
    yield limit
    event.remove(Pool, "checkout", limit.limit)


def settings_of(small_root: Path, space: Space) -> Settings:
    return make_settings(small_root, space.folder, database_url=f"sqlite:///{space.folder}/registry.db")


def soap(number: int) -> dict[str, Any]:
    return {"item_id": f"soap-{number}", "title": f"soap {number}", "description": "red soap " * 500}


def check_reading(client: Client) -> None:
    assert client.recommend("soap-0")["strategy"] == "model"
    assert client.get("/items/soap-0").json()["revision"] == 1
    assert client.get("/readyz").status == 200


def test_writes_are_refused_reads_go_on_and_the_next_write_succeeds(small_root: Path, space: Space) -> None:
    settings = settings_of(small_root, space)
    with serving(settings) as client:
        assert client.post("/items", soap(0)).status == 201
        space.fill()
        refused(client.post("/items", soap(1)), 507, "registry-full")
        refused(client.post("/items/batch", {"items": [soap(2), soap(3)]}), 507, "registry-full")
        refused(client.put("/items/soap-0", {"title": "lamp", "text": "lamp " * 3000}), 507, "registry-full")
        if isinstance(space, SmallDisk):
            refused(client.delete("/items/soap-0"), 507, "registry-full")
        check_reading(client)
        assert client.get("/items/soap-1").status == 404
        space.free()
        assert client.post("/items", soap(1)).status == 201
        assert client.put("/items/soap-0", {"title": "lamp"}).json()["revision"] == 2
    assert sorted(states(settings.database_url)) == ["soap-0", "soap-1"]


def test_a_service_starts_on_a_full_disk_and_serves(small_root: Path, space: Space) -> None:
    settings = settings_of(small_root, space)
    with serving(settings) as client:
        assert client.post("/items", soap(0)).status == 201
    space.fill()
    with serving(settings) as client:
        check_reading(client)
        refused(client.post("/items", soap(1)), 507, "registry-full")
        space.free()
        assert client.post("/items", soap(1)).status == 201


def wait_for(count: Callable[[], int], more: int) -> None:
    wanted, end = count() + more, time.monotonic() + 60
    while count() < wanted:
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_disk_that_fills_up_and_empties_under_load_loses_nothing(small_root: Path, space: Space) -> None:
    settings = settings_of(small_root, space)
    writers = [Writer(f"w{number}", number) for number in range(CONNECTIONS)]
    with serving(settings) as client:
        with writing(writers, client.port):
            for _ in range(3):
                wait_for(lambda: acknowledged(writers), 12)
                space.fill()
                wait_for(lambda: sum(writer.answers[507] for writer in writers), 12)
                assert client.recommend("item-1")["strategy"] == "model"
                space.free()
                wait_for(lambda: acknowledged(writers), 12)
        assert settle(writers, states(settings.database_url)) == []
        check_served(client.port, writers)
    connection = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
