"""The database behind the registry: which URLs it takes, how its sessions are set up, what its errors become."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from model.items import Item
from service.errors import (
    RegistryContended,
    RegistryError,
    RegistryFull,
    RegistryRefused,
    RegistryUnavailable,
    ServiceError,
)
from service.registry.database import without_password
from service.registry.registry import Registry
from service.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.postgres import PASSWORD, Server
from tests.support.service import until

Open = Callable[..., Registry]


def setting(registry: Registry, name: str) -> Any:
    with registry._database.writing() as connection:
        return connection.execute(text(f"SHOW {name}")).scalar_one()


def test_a_plain_url_is_served_by_psycopg_3(postgres: Server, open_registry: Open) -> None:
    url = postgres.database()
    assert url.startswith("postgresql://")
    assert open_registry(url)._database.engine.driver == "psycopg"
    assert open_registry(url.replace("postgresql:", "postgresql+psycopg:"))._database.engine.driver == "psycopg"


def test_a_commit_is_on_disk_whatever_the_servers_default(postgres: Server, open_registry: Open) -> None:
    registry = open_registry(postgres.database(), timeout=1.5)
    assert postgres.execute("SHOW synchronous_commit") == [("off",)]
    assert setting(registry, "synchronous_commit") == "on"
    # Nothing that a session is given stays behind with its connection, and all of it comes with the next one.
    registry._database.engine.dispose()
    assert setting(registry, "synchronous_commit") == "on"


def test_more_than_on_disk_stays(postgres: Server, open_registry: Open) -> None:
    url = postgres.own_database()
    postgres.execute(f"ALTER DATABASE {url.rpartition('/')[2]} SET synchronous_commit = remote_apply")
    assert setting(open_registry(url), "synchronous_commit") == "remote_apply"


def test_sessions_are_bounded_and_read_committed(postgres: Server, open_registry: Open) -> None:
    registry = open_registry(postgres.database(), timeout=1.5)
    assert postgres.execute("SHOW default_transaction_isolation") == [("serializable",)]
    assert setting(registry, "transaction_isolation") == "read committed"
    assert setting(registry, "lock_timeout") == "1500ms"
    assert setting(registry, "statement_timeout") == "3s"
    assert setting(registry, "idle_in_transaction_session_timeout") == "3s"
    assert setting(registry, "application_name") == "kindred"


def test_what_the_url_says_of_a_connection_wins(postgres: Server, open_registry: Open) -> None:
    url = f"{postgres.database()}?application_name=shop&connect_timeout=9"
    registry = open_registry(url)
    assert setting(registry, "application_name") == "shop"
    with registry._database.reading() as connection:
        raw: Any = connection.connection.dbapi_connection
        assert raw.info.get_parameters()["connect_timeout"] == "9"


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_another_encoding_is_refused(encoding: str, postgres: Server) -> None:
    url = postgres.own_database(f"ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    with pytest.raises(RegistryError, match=f"encoded in {encoding}; it must be UTF8"):
        Registry(url)


def test_a_server_without_fsync_is_warned_of(postgres: Server, caplog: pytest.LogCaptureFixture) -> None:
    postgres.execute("ALTER SYSTEM SET full_page_writes = off")
    postgres.execute("SELECT pg_reload_conf()")
    try:
        until(lambda: postgres.execute("SHOW full_page_writes") == [("off",)])
        Registry(postgres.database()).close()
    finally:
        postgres.execute("ALTER SYSTEM RESET full_page_writes")
        postgres.execute("SELECT pg_reload_conf()")
    assert [vars(record)["setting"] for record in caplog.records if "lose" in record.message] == [
        "full_page_writes=off"
    ]


def test_a_locked_row_refuses_writes_until_it_is_free(postgres: Server, open_registry: Open) -> None:
    registry = open_registry(postgres.database(), timeout=0.1)
    soap = Item("soap", title="soap")
    registry.write(lambda transaction: transaction.put(soap, None))
    with open_registry(str(url_of(registry))).transaction() as other:
        other.get(["soap"])
        with pytest.raises(RegistryUnavailable, match="does not take writes now: nothing was written"):
            registry.write(lambda transaction: transaction.get(["soap"]))
        assert [[row.item for row in rows] for rows in registry.rows()] == [[soap]]
    assert registry.write(lambda transaction: list(transaction.get(["soap"]))) == ["soap"]


def url_of(registry: Registry) -> str:
    return registry._database.engine.url.render_as_string(hide_password=False)


def failing(state: str) -> Callable[[Any], None]:
    return lambda transaction: transaction._connection.execute(
        text(f"DO $$ BEGIN RAISE EXCEPTION 'made up' USING ERRCODE = '{state}'; END $$")
    )


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("53100", RegistryFull),
        ("40001", RegistryContended),
        ("40P01", RegistryContended),
        ("23505", RegistryContended),
        ("23502", RegistryError),
        ("42501", RegistryError),
        ("42P01", RegistryError),
        ("XX001", RegistryError),
        ("25006", RegistryUnavailable),  # a standby, before it takes over
        ("53300", RegistryUnavailable),
        ("55P03", RegistryUnavailable),
        ("57014", RegistryUnavailable),
        ("57P01", RegistryUnavailable),
    ],
)
def test_what_the_server_says_has_its_name_and_passes(
    postgres: Server, open_registry: Open, state: str, kind: type[ServiceError]
) -> None:
    registry = open_registry(postgres.database())
    with pytest.raises(ServiceError) as caught:
        registry.write(failing(state))
    assert type(caught.value) is kind
    registry.write(lambda transaction: transaction.put(Item("soap", title="soap"), None))
    assert sum(map(len, registry.rows())) == 1


def test_a_contended_write_is_run_again_so_often_and_no_more(postgres: Server, open_registry: Open) -> None:
    registry = open_registry(postgres.database())
    runs = 0

    def contended(transaction: Any, until_run: int) -> str:
        nonlocal runs
        runs += 1
        transaction.put(Item(f"run-{runs}", title="soap"), None)
        if runs < until_run:
            failing("40001")(transaction)
        return "done"

    assert registry.write(lambda transaction: contended(transaction, 3)) == "done"
    assert [[row.item_id for row in rows] for rows in registry.rows()] == [["run-3"]]
    with pytest.raises(RegistryContended, match="nothing was written"):
        registry.write(lambda transaction: contended(transaction, 1000))
    assert runs == 3 + 3
    assert sum(map(len, registry.rows())) == 1


# --- URLs and passwords ---


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:hid@den@host/x",  # an @ that is not escaped: the host is "den@host"
        "postgresql://user:hi/dden@host/x@y",
        "postgresql://user:x@host:hidden@port/x",
        "postgresql://user:x@host:hidden/x",
        "postgresql+psycopg2://user:hidden@host/x",
        "postgres://user:hidden@host/x",
        "mysql://user:hidden@host/x",
        "hidden",
        "postgresql://user:x@127.0.0.1:1/x?password=hidden&nosuchoption=1",
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(RegistryError, match="KINDRED_DATABASE_URL cannot be used") as caught:
        Registry(url)
    assert "hid" not in str(caught.value)
    assert "dden" not in str(caught.value)


def test_a_url_is_shown_without_its_password() -> None:
    assert without_password("postgresql://me:hidden@host:1/x?password=hidden") == "postgresql://me:***@host:1/x"
    assert without_password("sqlite:////srv/registry.db") == "sqlite:////srv/registry.db"
    settings = Settings(database_url="postgresql://me:hidden@host/x")
    assert "hidden" not in f"{settings!r} {settings}"


def test_a_server_that_cannot_be_reached_is_named_without_the_password(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RegistryUnavailable, match=f'does not answer: .*"127.0.0.1", port {port} failed') as caught:
        Registry(f"postgresql://somebody:hidden@127.0.0.1:{port}/x")
    assert "hidden" not in str(caught.value)
    assert "hidden" not in caplog.text


@pytest.mark.parametrize(
    ("database", "password", "reason"),
    [
        ("postgres", "not this one", "password authentication failed"),
        ("no_such_database", PASSWORD, 'database "no_such_database" does not exist'),
    ],
)
def test_a_server_that_refuses_is_told_from_one_that_is_away(
    postgres: Server, database: str, password: str, reason: str
) -> None:
    url = postgres.url(database, password).render_as_string(hide_password=False)
    with pytest.raises(RegistryRefused, match=f"refuses the connection: .*{reason}") as caught:
        Registry(url)
    assert password not in str(caught.value)


def test_a_server_without_a_free_connection_is_waited_for(postgres: Server, open_registry: Open) -> None:
    url = postgres.own_database()
    name = url.rpartition("/")[2]
    postgres.execute("CREATE ROLE plain LOGIN PASSWORD 'plain'")
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT 0")
    postgres.execute("GRANT ALL ON SCHEMA public TO plain", name)
    plain = postgres.url(name).set(username="plain", password="plain").render_as_string(hide_password=False)
    with pytest.raises(RegistryUnavailable, match="too many connections"):
        Registry(plain)
    postgres.execute(f"ALTER DATABASE {name} CONNECTION LIMIT -1")
    open_registry(plain)


def test_a_role_that_may_not_make_tables_is_told_so(postgres: Server) -> None:
    url = postgres.own_database()
    name = url.rpartition("/")[2]
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'")
    postgres.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO PUBLIC", name)
    reader = postgres.url(name).set(username="reader", password="reader").render_as_string(hide_password=False)
    with pytest.raises(RegistryError, match=r"refuses \(42501\): permission denied for schema public"):
        Registry(reader)


def test_a_failing_statement_shows_no_item_in_the_log(postgres: Server, open_registry: Open) -> None:
    registry = open_registry(postgres.database())
    registry.write(lambda transaction: transaction.put(Item("a", text="confidential words"), None))
    with pytest.raises(RegistryContended) as caught:
        registry.write(lambda transaction: transaction.put(Item("a", text="confidential words"), None))
    assert isinstance(caught.value.__cause__, Exception)
    assert "confidential" not in str(caught.value.__cause__)


def test_without_the_driver_the_extra_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from service.registry.database import Database\n"
        "Database('sqlite:///x.db', 1.0).close()\n"
        "Database('postgresql://u:hidden@127.0.0.1/x', 1.0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert "RegistryError: KINDRED_DATABASE_URL cannot be used" in done.stderr
    assert "needs kindred[postgres]" in done.stderr
    assert "hidden" not in done.stderr.rpartition("RegistryError")[2]


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_server_that_says_nothing_is_given_up_after_the_timeout(silent: int) -> None:
    began = time.monotonic()
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        Registry(f"postgresql://somebody:hidden@127.0.0.1:{silent}/x", timeout=1.0)
    assert time.monotonic() - began < 10


def test_a_path_that_cannot_be_opened_is_no_passing_trouble_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "registry.db").mkdir()
    with pytest.raises(RegistryError, match="file cannot be used: unable to open database file"):
        Registry(f"sqlite:///{tmp_path}/registry.db")


def test_a_volume_that_goes_away_later_is(tmp_path: Path, open_registry: Open) -> None:
    registry = open_registry(f"sqlite:///{tmp_path}/sub/registry.db")
    registry._database.engine.dispose()
    (tmp_path / "sub").rename(tmp_path / "gone")
    with pytest.raises(RegistryUnavailable, match="unable to open database file"):
        registry.write(lambda transaction: transaction.get(["soap"]))
    (tmp_path / "gone").rename(tmp_path / "sub")
    assert registry.write(lambda transaction: transaction.get(["soap"])) == {}
