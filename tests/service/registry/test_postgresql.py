"""The service on PostgreSQL: many writers of one id, a server that dies, freezes, fills up or is not there yet."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from model.artifact import Artifact
from model.items import Item
from service import logs
from service.contract.answers import ItemRegistered
from service.engine.engine import Engine
from service.engine.writer import Results
from service.errors import ItemConflict
from service.registry.registry import Registry
from service.security.redaction import redact
from tests.support.postgres import PASSWORD, Server, running_server
from tests.support.service import Client, Reply, make_settings, refused, serving, until

WRITERS = 16


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return Artifact.load(root)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def own_postgres(mortal: Server) -> Server:
    """A server that a test may kill; it runs."""
    mortal.start()
    return mortal


def all_rows(url: str) -> dict[str, Item | None]:
    """What is in the database, seen by somebody new; every id once."""
    registry = Registry(url)
    rows = [row for batch in registry.rows() for row in batch]
    registry.close()
    assert len({row.item_id for row in rows}) == len(rows)
    return {row.item_id: row.item for row in rows}


def test_without_a_server_the_tests_are_skipped_and_in_ci_they_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.postgres.find_binaries", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no PostgreSQL server is installed"), running_server():
        pass
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no PostgreSQL server is installed"), running_server():
        pass


# --- many writers ---


@pytest.fixture
def engines(database_url: str, root: Path, artifact: Artifact, tmp_path: Path) -> Iterator[list[Engine]]:
    """As many services on one database as there are writers, so that nothing but the database keeps them apart."""
    settings = make_settings(root, tmp_path, database_url=database_url, database_timeout=30)
    with ExitStack() as stack:
        started = []
        for _ in range(WRITERS):
            started.append(Engine.start(settings, artifact))
            stack.callback(started[-1].close)
        yield started


def at_once(engines: Sequence[Engine], items: Callable[[int], list[Item]]) -> list[Results]:
    """What each engine answers when all register their items at the same moment."""
    together = threading.Barrier(len(engines))

    def register(number: int) -> Results:
        together.wait(30)
        return engines[number].writer.write(items(number)).results

    with ThreadPoolExecutor(len(engines)) as threads:
        return list(threads.map(register, range(len(engines))))


def outcome(result: ItemRegistered | ItemConflict) -> str:
    return "conflict" if isinstance(result, ItemConflict) else result.outcome


def test_the_same_item_registered_by_all_at_once_is_one_row(engines: list[Engine], database_url: str) -> None:
    for attempt in range(5):
        item = Item(f"soap-{attempt}", title="red soap")
        results = [result for (result,) in at_once(engines, lambda _, item=item: [item])]  # type: ignore[misc]
        assert Counter(map(outcome, results)) == {"created": 1, "unchanged": WRITERS - 1}
        # Each answered for its own process: there the item is served.
        assert [engine.get(item.item_id).attributes["title"] for engine in engines] == ["red soap"] * WRITERS
    assert len(all_rows(database_url)) == 5


def test_an_id_registered_with_other_content_by_all_at_once_has_one_winner(
    engines: list[Engine], database_url: str
) -> None:
    for attempt in range(5):
        name = f"soap-{attempt}"
        results = [result for (result,) in at_once(engines, lambda n, name=name: [Item(name, title=f"soap {n}")])]  # type: ignore[misc]
        assert Counter(map(outcome, results)) == {"created": 1, "conflict": WRITERS - 1}
        (winner,) = [number for number, result in enumerate(results) if isinstance(result, ItemRegistered)]
        assert all_rows(database_url)[name] == Item(name, title=f"soap {winner}")


def test_batches_that_meet_in_every_order_end_as_one_row_an_item(engines: list[Engine], database_url: str) -> None:
    items = [Item(f"soap-{number}", title=f"soap {number}") for number in range(10)]
    results = at_once(engines[:4], lambda number: items[::-1] if number % 2 else items)
    outcomes = Counter(outcome(result) for batch in results for result in batch)
    assert outcomes == {"created": 10, "unchanged": 30}
    assert all_rows(database_url) == {item.item_id: item for item in items}


# --- a server that is away ---


@contextmanager
def service(server: Server, url: str, root: Path, folder: Path, ready: bool = True) -> Iterator[Client]:
    with serving(make_settings(root, folder, database_url=url, database_timeout=1), ready) as client:
        yield client


def write(client: Client, number: int) -> Reply:
    return client.post("/items", {"item_id": f"new-{number}", "title": f"soap {number}"})


def test_what_was_acknowledged_survives_a_kill_and_the_service_goes_on(
    own_postgres: Server, root: Path, tmp_path: Path
) -> None:
    url = own_postgres.database()
    acknowledged: list[int] = []
    in_doubt: list[int] = []
    answers: Counter[tuple[str, int]] = Counter()
    stop = threading.Event()

    with service(own_postgres, url, root, tmp_path) as client:

        def keep_writing() -> None:
            mine = Client(client.port)
            for number in range(1_000_000):
                if stop.is_set():
                    break
                reply = write(mine, number)
                answers["write", reply.status] += 1
                if reply.status == 201:
                    acknowledged.append(number)
                else:
                    refused(reply, 503, "registry-unavailable")
                    assert reply.headers["retry-after"] == "1"
                    in_doubt.append(number)
                    time.sleep(0.01)
            mine.close()

        def keep_reading() -> None:
            mine = Client(client.port)
            while not stop.is_set():
                answers["read", mine.post("/recommend", {"history": ["item-1"]}).status] += 1
                time.sleep(0.005)
            mine.close()

        def until_more(status: int, more: int) -> None:
            before = answers["write", status]
            until(lambda: answers["write", status] >= before + more or any(job.done() for job in running))

        with ThreadPoolExecutor(2) as threads:
            running = [threads.submit(keep_writing), threads.submit(keep_reading)]
            try:
                for _ in range(3):
                    until_more(201, 20)
                    own_postgres.kill()
                    until_more(503, 5)
                    own_postgres.start()
                until_more(201, 20)
            finally:
                stop.set()
            for job in running:
                job.result(30)
        assert {status for kind, status in answers if kind == "read"} == {200}
        assert client.get("/readyz").status == 200
        there = all_rows(url)
        assert [number for number in acknowledged if f"new-{number}" not in there] == []
        # A write whose commit was under way when the server died may be there too; each can be sent again.
        for number in in_doubt:
            assert write(client, number).status == (200 if f"new-{number}" in there else 201)
            assert client.get(f"/items/new-{number}").json()["revision"] == 1
    last = acknowledged[-1]
    with service(own_postgres, url, root, tmp_path) as client:
        for number in (0, last // 2, last):
            assert client.get(f"/items/new-{number}").json()["revision"] == 1


def test_a_server_that_freezes_holds_no_write_for_ever(own_postgres: Server, root: Path, tmp_path: Path) -> None:
    with service(own_postgres, own_postgres.database(), root, tmp_path) as client:
        assert write(client, 1).status == 201
        own_postgres.freeze()
        try:
            began = time.monotonic()
            with ThreadPoolExecutor(4) as threads:

                def one(number: int) -> Reply:
                    mine = Client(client.port)
                    reply = write(mine, number)
                    mine.close()
                    return reply

                waiting = [threads.submit(one, number) for number in range(2, 6)]
                while not all(job.done() for job in waiting):
                    assert client.recommend("item-1", "new-1")["strategy"] == "model"
                    time.sleep(0.05)
            for job in waiting:
                refused(job.result(), 503, "registry-unavailable")
            assert time.monotonic() - began < 20
        finally:
            own_postgres.thaw()
        until(lambda: write(client, 2).status in (200, 201))
        assert client.get("/items/new-2").status == 200


def test_a_start_without_its_database_waits_for_it(own_postgres: Server, root: Path, tmp_path: Path) -> None:
    url = own_postgres.database()
    own_postgres.stop()
    with service(own_postgres, url, root, tmp_path, ready=False) as client:
        until(lambda: "waiting for the registry" in client.get("/readyz").json()["detail"])
        refused(client.get("/readyz"), 503, "not-ready")
        assert client.get("/livez").status == 200
        refused(client.post("/recommend", {"history": []}), 503, "not-ready")
        own_postgres.start()
        assert write(client.until_ready(), 1).status == 201
        assert client.get("/version").json()["started_seconds"] > 0


def test_a_start_that_waits_ends_when_it_is_told_to(postgres: Server, root: Path, tmp_path: Path) -> None:
    url = "postgresql://somebody:hidden@127.0.0.1:1/x"
    with service(postgres, url, root, tmp_path, ready=False) as client:
        until(lambda: "waiting for the registry" in client.get("/readyz").json()["detail"])
        began = time.monotonic()
    assert time.monotonic() - began < 5


def test_a_database_that_is_locked_at_the_start_is_waited_for(root: Path, tmp_path: Path) -> None:
    settings = make_settings(root, tmp_path, database_timeout=0.05)
    registry = Registry(settings.database_url)
    with registry.transaction() as transaction:
        transaction._connection.exec_driver_sql("PRAGMA locking_mode=EXCLUSIVE")
        transaction.put(Item("soap", title="soap"), None)
        with serving(settings, ready=False) as client:
            time.sleep(0.5)
            assert client.get("/livez").status == 200
    registry.close()


def test_a_wrong_password_is_told_and_not_tried_for_ever(
    postgres: Server, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = postgres.url("postgres", "hidden-and-wrong").render_as_string(hide_password=False)
    bodies = []

    def given_up() -> bool:
        bodies.append(client.get("/readyz").body)
        return b'"detail":"the registry\'s database refuses the connection' in bodies[-1]

    with service(postgres, wrong, root, tmp_path, ready=False) as client:
        until(given_up)
        attempts = postgres_refusals(caplog)
        time.sleep(1)
        assert postgres_refusals(caplog) == attempts
    assert b"password authentication failed" in bodies[-1]
    told = "".join(logs.JsonFormatter(redact).format(record) for record in caplog.records) + b"".join(bodies).decode()
    assert "not serving" in told
    assert "hidden-and-wrong" not in told


def postgres_refusals(caplog: pytest.LogCaptureFixture) -> int:
    return sum("waiting for the registry" in record.message for record in caplog.records)


def test_the_password_is_in_no_log_and_no_answer_while_the_server_is_away(
    own_postgres: Server, root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with service(own_postgres, own_postgres.database(), root, tmp_path) as client:
        assert write(client, 1).status == 201
        own_postgres.kill()
        replies = [write(client, 2), write(client, 3), client.get("/readyz"), client.get("/metrics")]
    told = "".join(logs.JsonFormatter(redact).format(record) for record in caplog.records)
    assert "does not take a write" in told
    told += "".join(reply.body.decode() for reply in replies)
    for secret in (PASSWORD, own_postgres.url("x").render_as_string(hide_password=False).split("@")[0].split(":")[-1]):
        assert secret not in told
        assert json.dumps(secret) not in told


def test_a_full_disk_gives_507_and_serves_on(postgres: Server, root: Path, tmp_path: Path) -> None:
    url = postgres.database()
    name = url.rpartition("/")[2]
    with service(postgres, url, root, tmp_path) as client:
        assert write(client, 1).status == 201
        # What PostgreSQL says of a full disk, said by a trigger.
        postgres.execute(
            "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$",
            name,
        )
        postgres.execute(
            "CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON kindred_items EXECUTE FUNCTION full_disk()", name
        )
        for reply in (write(client, 2), client.put("/items/new-1", {"title": "lamp"}), client.delete("/items/new-1")):
            refused(reply, 507, "registry-full")
        assert client.recommend("new-1")["strategy"] == "model"
        assert client.get("/items/new-2").status == 404
        postgres.execute("DROP TRIGGER full_disk ON kindred_items", name)
        assert write(client, 2).status == 201
        assert client.delete("/items/new-1").status == 204
