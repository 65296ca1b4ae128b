"""The header Idempotency-Key: a request is carried out once, and its retries get the answer of the first time."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from service.errors import RegistryUnavailable
from service.registry.idempotency import IdempotencyKey, StoredAnswer
from service.registry.registry import Registry
from service.security import keys
from tests.support.postgres import Server
from tests.support.service import Client, Reply, make_artifact, make_settings, refused, serving

SOAP = {"item_id": "soap", "title": "red soap"}
FIRST = IdempotencyKey("", "k", "one")
ANSWER = StoredAnswer(201, b"{}")


class _Undone(Exception):
    """Ends a transaction without a commit."""


@pytest.fixture
def client(root: Path, tmp_path: Path, database_url: str) -> Iterator[Client]:
    with serving(make_settings(root, tmp_path, database_url=database_url)) as client:
        yield client


@pytest.fixture(scope="module")
def shared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(make_settings(root, tmp_path_factory.mktemp("shared"))) as client:
        yield client


def send(client: Client, key: str, method: str, path: str, body: Any = None) -> Reply:
    return client(method, path, body, {"Idempotency-Key": f'"{key}"'})


def is_replayed(reply: Reply) -> bool:
    return reply.headers.get("idempotency-replayed") == "true"


def execute(url: str, statement: str, **values: Any) -> Any:
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        result = connection.execute(text(statement), values)
        rows = result.fetchall() if result.returns_rows else []
    engine.dispose()
    return rows


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/items", SOAP, 201),
        ("POST", "/items/batch", {"items": [SOAP, {"item_id": "lamp"}, {"item_id": "item-1", "title": "other"}]}, 200),
        ("POST", "/items/batch", {"items": [{"item_id": "lamp"}]}, 200),
        ("PUT", "/items/soap", {"title": "red soap"}, 201),
        ("PUT", "/items/item-1", {"title": "red soap"}, 200),
        ("DELETE", "/items/item-1", None, 204),
    ],
)
def test_a_retry_gets_the_answer_of_the_first_time_and_writes_nothing(
    client: Client, method: str, path: str, body: Any, status: int
) -> None:
    first = send(client, "k", method, path, body)
    assert first.status == status, first.body
    assert not is_replayed(first)
    # What the retry would undo, were it carried out.
    for item_id in ("soap", "item-1"):
        assert client.put(f"/items/{item_id}", {"title": "changed since"}).status < 300
    before = client.get("/items/export?source=registered").body
    again = send(client, "k", method, path, body)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers.get("content-type") == first.headers.get("content-type")
    assert is_replayed(again)
    assert client.get("/items/export?source=registered").body == before
    assert b'kindred_item_writes_total{outcome="replayed"} 1.0' in client.get("/metrics").body


def test_a_retry_finds_its_answer_after_a_restart_with_another_artifact(root: Path, tmp_path: Path) -> None:
    make_artifact(tmp_path / "other", seed=1)
    with serving(make_settings(root, tmp_path)) as client:
        first = send(client, "k", "POST", "/items", SOAP)
        codes = client.get("/items/soap").json()["semantic_id"]
    with serving(make_settings(tmp_path / "other", tmp_path)) as client:
        assert client.get("/items/soap").json()["semantic_id"] != codes
        again = send(client, "k", "POST", "/items", SOAP)
    assert is_replayed(again)
    assert (again.status, again.body) == (first.status, first.body)


def test_what_is_kept_is_what_is_served(client: Client) -> None:
    """The answer is made before the commit, of what will be there after it."""
    bodies: list[dict[str, Any]] = [
        {"item_id": "a", "title": "red soap"},
        {"item_id": "b", "title": "red soap"},  # the same codes
        {"item_id": "a", "title": "red soap"},  # unchanged
        {"item_id": "item-2", "title": "red soap"},  # a conflict
    ]
    batch = send(client, "batch", "POST", "/items/batch", {"items": bodies}).json()["results"]
    assert [entry["status"] for entry in batch] == [201, 201, 200, 409]
    assert batch[0]["item"]["shares_semantic_id"] >= 1
    for entry in batch[:2]:
        assert served_part(entry["item"]) == client.get(f"/items/{entry['item']['item_id']}").json()
    client.delete("/items/b")
    steps = [("a", "blue lamp 7"), ("item-2", "red soap"), ("b", "red soap"), ("b", "red soap")]
    outcomes = []
    for number, (item_id, title) in enumerate(steps):
        kept = send(client, f"put {number}", "PUT", f"/items/{item_id}", {"title": title}).json()
        outcomes.append(kept["outcome"])
        assert served_part(kept) == client.get(f"/items/{item_id}").json()
        # The rest, as the engine says it of the same text without a key.
        assert client.put(f"/items/{item_id}", {"title": title}).json() == kept | {"outcome": "unchanged"}
    assert outcomes == ["replaced", "replaced", "created", "unchanged"]
    untouched = json.loads(client.get("/items/export").body.splitlines()[5])
    kept = send(client, "untouched", "POST", "/items", untouched).json()
    assert served_part(kept) == client.get(f"/items/{untouched['item_id']}").json()
    assert (kept["outcome"], kept["revision"]) == ("unchanged", 0)


def served_part(answer: dict[str, Any]) -> dict[str, Any]:
    more = {"outcome", "quantization_error", "quantization_error_percentile", "unusual"}
    return {name: value for name, value in answer.items() if name not in more}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/items", {"item_id": "soap", "title": "blue soap"}),
        ("POST", "/items", {"title": "red soap", "item_id": "soap"}),
        ("POST", "/items/batch", {"items": [SOAP]}),
        ("PUT", "/items/soap", {"title": "red soap"}),
        ("DELETE", "/items/soap", None),
    ],
)
def test_another_request_with_the_key_is_refused(client: Client, method: str, path: str, body: Any) -> None:
    assert send(client, "k", "POST", "/items", SOAP).status == 201
    refused(send(client, "k", method, path, body), 422, "idempotency-key-reused", "Idempotency-Key")
    assert client.get("/items/soap").json()["revision"] == 1


def test_a_refusal_is_not_kept(client: Client) -> None:
    assert client.post("/items", SOAP).status == 201
    other = {"item_id": "soap", "title": "blue soap"}
    refused(send(client, "k", "POST", "/items", other), 409, "item-conflict", "item_id")
    refused(send(client, "k", "DELETE", "/items/none"), 404, "item-not-found", "item_id")
    assert send(client, "k", "DELETE", "/items/soap").status == 204
    assert send(client, "l", "POST", "/items", other).status == 201


BAD = ("", "bare", '"', '""', '"open', '"a"b', '"a";p=1', '"a\\b"', '"tab\t"', '"é"', f'"{"x" * 256}"', "'a'", "?1")


@pytest.mark.parametrize("header", BAD)
def test_a_key_that_is_none_is_refused(shared: Client, header: str) -> None:
    for method, path, body in (("POST", "/items", SOAP), ("DELETE", "/items/item-1", None)):
        reply = shared(method, path, body, {"Idempotency-Key": header.encode().decode("latin-1")})
        refused(reply, 400, "invalid-idempotency-key", "Idempotency-Key")
    assert shared.get("/items/soap").status == 404
    assert shared.get("/items/item-1").status == 200


def test_two_keys_are_refused_and_the_longest_is_not(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path)) as client:
        connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
        connection.putrequest("DELETE", "/items/item-1")
        for key in ('"a"', '"a"'):
            connection.putheader("Idempotency-Key", key)
        connection.endheaders()
        assert connection.getresponse().status == 400
        connection.close()
        longest = "\\\\" * 255
        assert send(client, longest, "POST", "/items", SOAP).status == 201
        assert is_replayed(send(client, longest, "POST", "/items", SOAP))


def test_callers_do_not_see_each_others_answers(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    one, two = (keys.create(file, name, "write") for name in ("one", "two"))
    with serving(make_settings(root, tmp_path, keys=file)) as client:
        client.key = one
        assert send(client, "k", "POST", "/items", SOAP).status == 201
        client.key = two
        reply = send(client, "k", "POST", "/items", SOAP)
        assert (reply.status, is_replayed(reply)) == (200, False)
        assert send(client, "k", "POST", "/items", {"item_id": "lamp", "title": "lamp"}).status == 422
        client.key = one
        reply = send(client, "k", "POST", "/items", SOAP)
        assert (reply.status, is_replayed(reply)) == (201, True)


def test_keys_expire_and_are_removed_in_small_steps(client: Client, database_url: str) -> None:
    assert send(client, "k", "POST", "/items", SOAP).status == 201
    count = "SELECT count(*) FROM kindred_idempotency_keys"
    for hours, replayed in ((23.9, True), (24.1, False)):
        then = (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")
        execute(database_url, "UPDATE kindred_idempotency_keys SET created_at = :then", then=then)
        reply = send(client, "k", "POST", "/items", SOAP)
        assert (reply.status, is_replayed(reply)) == ((201, True) if replayed else (200, False))
    assert is_replayed(send(client, "k", "POST", "/items", SOAP))
    for number in range(40):
        execute(
            database_url,
            "INSERT INTO kindred_idempotency_keys VALUES ('', :key, '', 200, :body, :then)",
            key=f"old {number}", body=b"", then=f"2020-01-01T00:00:{number:02}.000+00:00",
        )  # fmt: skip
    left = []
    for number in range(4):
        assert send(client, f"new {number}", "PUT", "/items/soap", {"title": "soap"}).status == 200
        left.append(execute(database_url, count)[0][0])
    assert left == [41 + 1 - 16, 41 + 2 - 32, 1 + 3, 1 + 4]  # "k" is not old


def test_a_request_without_the_header_has_nothing_to_do_with_it(client: Client, database_url: str) -> None:
    execute(database_url, "DROP TABLE kindred_idempotency_keys")
    assert client.post("/items", SOAP).status == 201
    assert client.post("/items/batch", {"items": [SOAP]}).status == 200
    assert client.put("/items/soap", {"title": "soap"}).status == 200
    assert client.delete("/items/soap").status == 204
    assert send(client, "k", "POST", "/items", SOAP).status >= 500  # so the table was gone


@pytest.mark.parametrize("first_ends", ["committed", "rolled back"])
def test_a_retry_waits_for_a_first_request_that_is_under_way(
    postgres: Server, open_registry: Callable[..., Registry], first_ends: str
) -> None:
    one, two = (open_registry(url, timeout=30) for url in [postgres.database()] * 2)
    answers: list[StoredAnswer | None] = []
    with ThreadPoolExecutor(1) as threads:

        def retry() -> None:
            with two.transaction() as transaction:
                answers.append(transaction.claim(FIRST, 24))

        with suppress(_Undone), one.transaction() as transaction:
            assert transaction.claim(FIRST, 24) is None
            job = threads.submit(retry)
            wait_for_a_lock(postgres)
            assert answers == []
            transaction.store(FIRST, ANSWER)
            if first_ends == "rolled back":
                raise _Undone
        job.result(30)
    assert answers == [ANSWER if first_ends == "committed" else None]


def wait_for_a_lock(postgres: Server) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    done = threading.Event()
    for _ in range(3000):
        if postgres.execute(waiting) == [(1,)]:
            return
        done.wait(0.01)
    pytest.fail("nobody waits")


def test_a_retry_that_waits_too_long_may_come_again(postgres: Server, open_registry: Callable[..., Registry]) -> None:
    url = postgres.database()
    one, two = open_registry(url), open_registry(url, timeout=0.2)
    with one.transaction() as transaction:
        transaction.claim(FIRST, 24)
        with pytest.raises(RegistryUnavailable, match="nothing was written"):
            two.write(lambda other: other.claim(FIRST, 24))
        transaction.store(FIRST, ANSWER)
    assert two.write(lambda other: other.claim(FIRST, 24)) == ANSWER


def test_two_that_take_over_an_expired_key_at_once_are_one(
    postgres: Server, open_registry: Callable[..., Registry]
) -> None:
    url = postgres.database()
    one, two = open_registry(url), open_registry(url)
    with one.transaction() as transaction:
        transaction.claim(FIRST, 24)
        transaction.store(FIRST, StoredAnswer(200, b"old"))
    execute(url, "UPDATE kindred_idempotency_keys SET created_at = '2020-01-01T00:00:00.000+00:00'")
    with ThreadPoolExecutor(1) as threads:
        with one.transaction() as transaction:
            assert transaction.claim(IdempotencyKey("", "k", "two"), 24) is None
            job = threads.submit(two.write, lambda other: other.claim(IdempotencyKey("", "k", "two"), 24))
            wait_for_a_lock(postgres)
            transaction.store(IdempotencyKey("", "k", "two"), ANSWER)
        assert job.result(30) == ANSWER
