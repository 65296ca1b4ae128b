"""Backup and restore of a registry, while it is written to."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from sqlalchemy import make_url

from model.items import Item
from service.registry import backup
from service.registry.registry import Registry
from tests.support.paths import REPOSITORY
from tests.support.postgres import Server, find_binaries
from tests.support.service import Client, make_settings, serving, until


def run(folder: Path, *arguments: str) -> int:
    return backup.main([*arguments, "--database-url", f"sqlite:///{folder}/registry.db"])


class Writer(threading.Thread):
    """Registers items, one after the other, until it is stopped; remembers which were acknowledged."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.acknowledged: list[str] = []
        self.refused: list[int] = []
        self._port = port
        self._enough = threading.Event()

    def run(self) -> None:
        client = Client(self._port)
        while not self._enough.is_set():
            item_id = f"new-{len(self.acknowledged)}"
            status = client.post("/items", {"item_id": item_id, "title": "soap"}).status
            if status == 201:
                self.acknowledged.append(item_id)
            else:
                self.refused.append(status)
        client.close()

    def end(self) -> None:
        self._enough.set()
        self.join(60)


def test_a_copy_made_under_load_holds_what_was_acknowledged_and_serves(root: Path, tmp_path: Path) -> None:
    copies: list[tuple[Path, int]] = []
    with serving(make_settings(root, tmp_path)) as client:
        writer = Writer(client.port)
        writer.start()
        try:
            for number in range(5):
                until(lambda: len(writer.acknowledged) >= 10 * (number + 1))  # noqa: B023
                before = len(writer.acknowledged)
                target = tmp_path / f"copy-{number}.db"
                assert run(tmp_path, str(target)) == 0
                copies.append((target, before))
        finally:
            writer.end()
        assert writer.refused == []
    for target, before in copies:
        folder = tmp_path / target.stem
        assert run(folder, str(target), "--restore") == 0
        with serving(make_settings(root, folder)) as client:
            for item_id in writer.acknowledged[:before]:
                assert client.get(f"/items/{item_id}").status == 200


def test_restoring_replaces_what_is_there(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path)) as client:
        assert client.post("/items", {"item_id": "kept", "title": "soap"}).status == 201
    assert run(tmp_path, str(tmp_path / "copy.db")) == 0
    with serving(make_settings(root, tmp_path)) as client:
        assert client.delete("/items/kept").status == 204
        assert client.post("/items", {"item_id": "late", "title": "soap"}).status == 201
    assert run(tmp_path, str(tmp_path / "copy.db"), "--restore") == 0
    with serving(make_settings(root, tmp_path)) as client:
        assert client.get("/items/kept").status == 200
        assert client.get("/items/late").status == 404


def test_it_says_how_many_items_there_are_and_that_a_service_has_to_be_stopped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/registry.db", 5.0, True)
    with registry.transaction() as transaction:
        for item_id in ("a", "b"):
            transaction.put(Item(item_id, title="soap"), None)
        transaction.delete("c", None)
    registry.close()
    assert run(tmp_path, str(tmp_path / "copy.db")) == 0
    said = capsys.readouterr().out
    assert said.endswith("copy.db: 2 items and 1 deleted one, integrity checked\n")
    assert run(tmp_path, str(tmp_path / "copy.db"), "--restore") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("registry.db: 2 items and 1 deleted one, integrity checked")
    assert "stop the service first, restore, start it again" in second


def test_what_cannot_be_copied_is_said_and_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, str(tmp_path / "copy.db")) == 1
    assert "there is no registry at" in capsys.readouterr().err
    Registry(f"sqlite:///{tmp_path}/registry.db", 5.0, True).close()
    before = (tmp_path / "registry.db").read_bytes()
    (tmp_path / "taken.db").write_bytes(b"mine")
    assert run(tmp_path, str(tmp_path / "taken.db")) == 1
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "taken.db").read_bytes() == b"mine"
    assert run(tmp_path, str(tmp_path / "no folder" / "copy.db")) == 1
    assert "cannot be written" in capsys.readouterr().err

    (tmp_path / "garbage.db").write_bytes(b"no database" * 1000)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE things (id INTEGER)")
    other.close()
    for name, message in [("garbage.db", "is no registry"), ("other.db", "is no registry"), ("none.db", "there is no")]:
        assert run(tmp_path, str(tmp_path / name), "--restore") == 1
        assert message in capsys.readouterr().err
    assert (tmp_path / "registry.db").read_bytes() == before
    assert not list(tmp_path.glob(".*"))


def test_a_restore_that_cannot_be_is_said_and_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry(f"sqlite:///{tmp_path}/registry.db", 5.0, True).close()
    (tmp_path / "link.db").symlink_to("registry.db")
    for name in ("registry.db", "link.db"):
        assert run(tmp_path, str(tmp_path / name), "--restore") == 1
        assert f"{name} is the registry itself" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert run(tmp_path / "file", str(tmp_path / "registry.db"), "--restore") == 1
    assert "the folder of" in capsys.readouterr().err


def test_a_copy_of_a_newer_release_is_not_restored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Registry(f"sqlite:///{tmp_path}/registry.db", 5.0, True).close()
    assert run(tmp_path, str(tmp_path / "copy.db")) == 0
    with sqlite3.connect(tmp_path / "copy.db") as copy:
        for (name,) in copy.execute("SELECT name FROM sqlite_master WHERE sql LIKE '%version_num%' AND type = 'table'"):
            copy.execute(f"UPDATE {name} SET version_num = '9999'")
    copy.close()
    assert run(tmp_path, str(tmp_path / "copy.db"), "--restore") == 1
    assert "9999" in capsys.readouterr().err


def test_postgresql_is_left_to_its_own_tools(capsys: pytest.CaptureFixture[str]) -> None:
    assert backup.main(["x.db", "--database-url", "postgresql://shop:secret@db/shop"]) == 1
    said = capsys.readouterr().err
    assert "pg_dump" in said
    assert "secret" not in said


def test_a_dump_of_postgresql_made_under_load_can_be_restored(root: Path, tmp_path: Path, postgres: Server) -> None:
    binaries = find_binaries()
    assert binaries is not None
    url, restored = postgres.own_database(), postgres.url("restored")
    runbook = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8").partition("## Runbook")[2]

    def as_written(tool: str) -> None:
        (line,) = re.findall(rf"`({tool} [^`]*)`", runbook)
        plain = {name: make_url(at).set(drivername="postgresql") for name, at in (("URL", url), ("RESTORED", restored))}
        subprocess.run(
            ["sh", "-c", line],
            cwd=tmp_path,
            env={"PATH": f"{binaries}:{os.environ['PATH']}"}
            | {name: at.render_as_string(hide_password=False) for name, at in plain.items()},
            check=True,
            capture_output=True,
            timeout=60,
        )

    with serving(make_settings(root, tmp_path, database_url=url)) as client:
        writer = Writer(client.port)
        writer.start()
        try:
            until(lambda: len(writer.acknowledged) >= 20)
            before = len(writer.acknowledged)
            as_written("pg_dump")
        finally:
            writer.end()
        assert writer.refused == []
    as_written("createdb")
    as_written("pg_restore")
    address = restored.render_as_string(hide_password=False)
    with serving(make_settings(root, tmp_path, database_url=address)) as client:
        for item_id in writer.acknowledged[:before]:
            assert client.get(f"/items/{item_id}").status == 200
