"""Migrations: an empty database, one of the first release, an unknown one; two services at once; the command."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from model.items import Item
from service.errors import RegistryError, RegistryUnavailable
from service.registry import migrations, schema
from service.registry.database import Database
from service.registry.registry import Registry
from service.registry.schema import State, prepare
from service.registry.tables import metadata
from tests.support.paths import REPOSITORY
from tests.support.postgres import Server

Open = Callable[..., Registry]

# What the release before these revisions made, to the letter.
FIRST_RELEASE = {
    "sqlite": """
CREATE TABLE kindred_items (
	seq INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	item_id VARCHAR(256) NOT NULL,
	content TEXT,
	content_hash VARCHAR(64),
	status VARCHAR(8) NOT NULL,
	revision INTEGER NOT NULL,
	created_at VARCHAR(32) NOT NULL,
	updated_at VARCHAR(32) NOT NULL,
	UNIQUE (item_id)
)""",
    "postgresql": """
CREATE TABLE kindred_items (
	seq BIGSERIAL NOT NULL,
	item_id VARCHAR(256) NOT NULL,
	content TEXT,
	content_hash VARCHAR(64),
	status VARCHAR(8) NOT NULL,
	revision INTEGER NOT NULL,
	created_at VARCHAR(32) NOT NULL,
	updated_at VARCHAR(32) NOT NULL,
	PRIMARY KEY (seq),
	UNIQUE (item_id)
)""",
}
META = """
CREATE TABLE kindred_meta (
	name VARCHAR(64) NOT NULL,
	value VARCHAR(256) NOT NULL,
	PRIMARY KEY (name)
)"""
SOAP = Item("soap", title="red soap", brand="Alba", price=3.5)


def execute(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def first_release(url: str, version: str = "1") -> None:
    """A registry of the first release with one item, deleted, and one that is there."""
    content = '{"item_id": "soap", "title": "red soap", "brand": "Alba", "price": 3.5}'.replace(":", "\\:")
    columns = "item_id, content, content_hash, status, revision, created_at, updated_at"
    execute(
        url,
        FIRST_RELEASE[url.partition(":")[0]],
        META,
        f"INSERT INTO kindred_meta (name, value) VALUES ('schema_version', '{version}')",
        f"INSERT INTO kindred_items ({columns}) VALUES ('gone', NULL, NULL, 'deleted', 2, 'then', 'then')",
        f"INSERT INTO kindred_items ({columns}) "
        f"VALUES ('soap', '{content}', '{SOAP.content_hash()}', 'active', 1, 'then', 'then')",
    )


def release_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know all revisions but the last."""
    monkeypatch.setattr(migrations, "REVISIONS", ("0001", "0002"))
    monkeypatch.setattr(migrations, "HEAD", "0002")


def opened(url: str, migrate: bool = True) -> State:
    """The state that a start finds."""
    database = Database(url, 5.0)
    try:
        return prepare(database, migrate)
    finally:
        database.close()


def test_the_revisions_are_those_of_the_folder() -> None:
    script = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert tuple(step.revision for step in script.walk_revisions())[::-1] == migrations.REVISIONS
    assert script.get_heads() == [migrations.HEAD]


@pytest.mark.parametrize("old", [False, True])
def test_the_revisions_end_in_the_tables_that_the_service_reads(database_url: str, old: bool) -> None:
    if old:
        first_release(database_url)
    opened(database_url)
    engine = create_engine(database_url)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            # Only `service.registry.changes` reads it, and SQLAlchemy does not know its type. Rolled back at the end.
            connection.execute(text("ALTER TABLE kindred_items DROP COLUMN change_xid"))
        options = {
            "version_table": migrations.VERSION_TABLE,
            "compare_type": True,
            "compare_server_default": False,
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
        (unique,) = inspect(connection).get_unique_constraints("kindred_items")
        assert unique["column_names"] == ["item_id"]
        assert connection.execute(text("SELECT value FROM kindred_meta WHERE name = 'schema_version'")).scalar() == "1"
        if engine.dialect.name == "sqlite":
            made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'kindred_items'")).scalar_one()
            assert "AUTOINCREMENT" in made
    engine.dispose()


def test_a_start_finds_the_schema_of_the_start_before(database_url: str) -> None:
    assert opened(database_url) == State(None, True)
    assert opened(database_url) == State(migrations.HEAD, True)
    assert opened(database_url, migrate=False) == State(migrations.HEAD, True)


def test_a_registry_of_the_first_release_is_adopted_with_its_items(database_url: str, open_registry: Open) -> None:
    first_release(database_url)
    (rows,) = open_registry(database_url).rows()
    assert [(row.seq, row.item_id, row.item, row.revision) for row in rows] == [
        (1, "gone", None, 2),
        (2, "soap", SOAP, 1),
    ]
    assert opened(database_url) == State(migrations.HEAD, True)


def test_a_registry_of_the_release_before_is_migrated_with_its_items(
    database_url: str, open_registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        release_before(before)
        with open_registry(database_url).transaction() as transaction:
            row = transaction.put(SOAP, None)
            transaction.delete("gone", None)
    assert opened(database_url) == State("0002", True)
    (rows,) = open_registry(database_url).rows()
    assert rows[0] == row
    assert [(row.item_id, row.revision) for row in rows] == [("soap", 1), ("gone", 1)]


def test_the_release_before_writes_on_but_does_not_start_anew(
    database_url: str, open_registry: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        release_before(before)
        running = open_registry(database_url)
    assert opened(database_url) == State("0002", True)
    with running.transaction() as transaction:
        transaction.put(SOAP, None)
    (rows,) = open_registry(database_url).rows()
    assert [row.item for row in rows] == [SOAP]
    with monkeypatch.context() as before:
        release_before(before)
        with pytest.raises(RegistryError, match=r"revision 0003, this release knows up to 0002: use the release"):
            opened(database_url)


def test_the_next_item_of_an_adopted_registry_has_the_next_place(database_url: str, open_registry: Open) -> None:
    first_release(database_url)
    with open_registry(database_url).transaction() as transaction:
        assert transaction.put(Item("lamp", title="lamp"), None).seq == 3


def test_without_leave_to_migrate_it_names_the_command_and_changes_nothing(database_url: str) -> None:
    with pytest.raises(RegistryError, match=r"registry is empty, .*KINDRED_MIGRATE is false: `python -m service.mig"):
        opened(database_url, migrate=False)
    first_release(database_url)
    with pytest.raises(RegistryError, match=r"made before revisions were counted.*`python -m service migrate`"):
        opened(database_url, migrate=False)
    assert opened(database_url) == State("0001", False)


@pytest.mark.parametrize("migrate", [False, True])
def test_another_schema_version_is_refused(database_url: str, migrate: bool) -> None:
    first_release(database_url, "7")
    with pytest.raises(RegistryError, match="schema version 7, this service reads version 1"):
        opened(database_url, migrate)


@pytest.mark.parametrize("migrate", [False, True])
def test_an_unknown_revision_is_refused(database_url: str, migrate: bool) -> None:
    opened(database_url)
    execute(database_url, f"UPDATE {migrations.VERSION_TABLE} SET version_num = '0999'")
    with pytest.raises(RegistryError, match=r"revision 0999, this release knows up to 0003: use the release"):
        opened(database_url, migrate)


def test_a_table_of_the_name_that_somebody_else_made_is_refused(database_url: str) -> None:
    execute(database_url, "CREATE TABLE kindred_items (name VARCHAR(10))")
    with pytest.raises(RegistryError, match="schema version None"):
        opened(database_url)


@pytest.mark.parametrize("old", [False, True])
def test_services_that_start_at_once_do_not_race(database_url: str, old: bool) -> None:
    if old:
        first_release(database_url)
    starts = 8
    together = Barrier(starts)

    def start(_: int) -> State:
        together.wait(30)
        return opened(database_url)

    with ThreadPoolExecutor(starts) as threads:
        states = list(threads.map(start, range(starts)))
    fresh = State("0001", False) if old else State(None, True)
    assert sorted(map(str, states)) == sorted(map(str, [fresh] + [State(migrations.HEAD, True)] * (starts - 1)))


def test_a_migration_that_comes_between_two_looks_is_seen_whole(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.database()

    class Slow:
        """An inspector that another service overtakes after it has looked for the first of two tables."""

        def __init__(self, connection: Connection) -> None:
            self._inspector = inspect(connection)

        def has_table(self, name: str) -> bool:
            found = self._inspector.has_table(name)
            if name == "kindred_items":
                monkeypatch.undo()
                assert opened(url) == State(None, True)
            return found

    monkeypatch.setattr(schema, "inspect", Slow)
    assert opened(url) == State(migrations.HEAD, True)


def test_a_migration_that_fails_leaves_the_schema_as_it_was(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = migrations.upgrade

    def fail_at_the_end(*arguments: object) -> None:
        upgrade(*arguments)  # type: ignore[arg-type]
        raise ZeroDivisionError

    monkeypatch.setattr(migrations, "upgrade", fail_at_the_end)
    with pytest.raises(ZeroDivisionError):
        opened(database_url)
    engine = create_engine(database_url)
    assert inspect(engine).get_table_names() == []
    engine.dispose()


def test_a_start_on_the_newest_schema_does_without_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    opened(url)
    code = (
        "import sys; from service.registry.registry import Registry; "
        f"Registry({url!r}).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def command(url: str, **more: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("KINDRED_")}
    return subprocess.run(
        [sys.executable, "-m", "service", "migrate"],
        cwd=REPOSITORY,
        env=own | {"KINDRED_DATABASE_URL": url, "KINDRED_MIGRATE": "false"} | more,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_migrates_and_says_what_it_did(database_url: str) -> None:
    first_release(database_url)
    shown = database_url if database_url.startswith("sqlite") else "***@127.0.0.1"
    for was in ("not stamped", migrations.HEAD):
        done = command(database_url)
        assert (done.returncode, done.stderr) == (0, "")
        assert shown in done.stdout
        assert f"revision {migrations.HEAD} (was: {was})" in done.stdout
    assert opened(database_url, migrate=False) == State(migrations.HEAD, True)


def test_the_command_fails_in_words(tmp_path: Path) -> None:
    done = command("mysql://somebody:hidden@127.0.0.1/x")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: KINDRED_DATABASE_URL cannot be used: 'mysql' is none of postgresql,")
    refused = command(f"sqlite:///{tmp_path}/registry.db", KINDRED_DATABASE_TIMEOUT="-1")
    assert refused.returncode == 2
    assert "KINDRED_DATABASE_TIMEOUT" in refused.stderr


def test_a_migration_waits_for_its_turn_no_longer_than_the_timeout(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/registry.db"
    blocker, late = Database(url, 5.0), Database(url, 0.05)
    with blocker.writing(migrating=True), pytest.raises(RegistryUnavailable):
        prepare(late, migrate=True)
    prepare(late, migrate=True)
    blocker.close()
    late.close()


def test_a_migration_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "kindred.registry")
    opened(f"sqlite:///{tmp_path}/registry.db")
    (record,) = [record for record in caplog.records if record.name == "kindred.registry"]
    assert (record.message, vars(record)["before"], vars(record)["revision"]) == (
        "registry migrated",
        "empty",
        migrations.HEAD,
    )
