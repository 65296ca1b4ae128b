"""Bad input: each kind gets its problem, none gets a 5xx, and the service answers on."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from service import responses
from tests.service_support import Client, Reply, make_artifact, make_settings, serving

BODY_MAX = 200_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    settings = make_settings(
        folder / "artifacts",
        folder,
        body_max=BODY_MAX,
        history_max=50,
        batch_max=4,
        text_max=1000,
        categories_max=3,
        attributes_max=4,
        attributes_size_max=300,
        filter_max=5,
        k_max=100,
    )
    with serving(settings) as client:
        yield client
        assert client.recommend("item-1")["strategy"] == "model"


def refused(reply: Reply, status: int, kind: str, field: str | None = None) -> Any:
    """The problem of a reply, once it is the one expected and safe to show."""
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    problem = json.loads(reply.body)
    responses.ProblemDetails.model_validate(problem)
    assert problem["type"] == f"/problems/{kind}", problem
    assert problem.get("field") == field, problem
    assert len(reply.body) < 2000
    assert "Traceback" not in problem["detail"]
    return problem


LONG_ID = "x" * 10_000


@pytest.mark.parametrize(
    ("options", "kind", "field"),
    [
        ({"k": 0}, "invalid-request", "k"),
        ({"k": -1}, "invalid-request", "k"),
        ({"k": 101}, "limit-exceeded", "k"),
        ({"k": 10**6}, "limit-exceeded", "k"),
        ({"k": 10**400 - 1}, "limit-exceeded", "k"),
        ({"k": 1.5}, "invalid-request", "k"),
        ({"k": "10"}, "invalid-request", "k"),
        ({"k": True}, "invalid-request", "k"),
        ({"k": None}, "invalid-request", "k"),
        ({"history": "item-1"}, "invalid-request", "history"),
        ({"history": [1]}, "invalid-request", "history.0"),
        ({"history": [["item-1"]]}, "invalid-request", "history.0"),
        ({"history": None}, "invalid-request", "history"),
        ({"history": ["item-1"] * 51}, "limit-exceeded", "history"),
        ({"history": ["item-1", LONG_ID]}, "invalid-item", "history.1"),
        ({"history": ["a\u0000b"]}, "invalid-item", "history.0"),
        ({"history": ["a\nb"]}, "invalid-item", "history.0"),
        ({"history": ["\ud800"]}, "invalid-item", "history.0"),
        ({"history": [""]}, "invalid-item", "history.0"),
        ({"exclude": ["item-1", " x"]}, "invalid-item", "exclude.1"),
        ({"exclude": ["item-1"] * 51}, "limit-exceeded", "exclude"),
        ({"exclude_seen": 1}, "invalid-request", "exclude_seen"),
        ({"diversity": 1.1}, "invalid-request", "diversity"),
        ({"diversity": -0.1}, "invalid-request", "diversity"),
        ({"filter": {"brand": []}}, "invalid-request", "filter.brand"),
        ({"filter": {"brand": "Alba"}}, "invalid-request", "filter.brand"),
        ({"filter": {"brand": [None]}}, "invalid-request", "filter.brand.0"),
        ({"filter": {"brand": [["Alba"]]}}, "invalid-request", "filter.brand.0"),
        ({"filter": {"brand": list(range(6))}}, "limit-exceeded", "filter"),
        ({"colour": 1}, "invalid-request", "colour"),
        ({LONG_ID: 1}, "invalid-request", "x" * 120 + "…"),
    ],
)
def test_recommend_refuses(client: Client, options: dict[str, Any], kind: str, field: str) -> None:
    problem = refused(client.post("/recommend", {"history": ["item-1"]} | options), 422, kind, field)
    assert problem["detail"].startswith(field[:80])


def test_odd_but_valid_requests_are_answered(client: Client) -> None:
    assert client.recommend("nope", "öde/pfade", "x" * 256)["strategy"] == "popularity"
    assert client.recommend("item-1", filter={"\ud800": ["\ud800"]})["items"] == []
    assert client.recommend("item-1", filter={"stock": [10**300, -1, 1.0]})["items"]
    assert client.recommend("item-1", k=100, exclude=["item-2"] * 50)["strategy"] == "model"


def test_a_missing_history_is_named(client: Client) -> None:
    refused(client.post("/recommend", {}), 422, "invalid-request", "history")


@pytest.mark.parametrize(
    ("item", "kind", "field"),
    [
        ({"item_id": LONG_ID}, "invalid-item", "item_id"),
        ({"item_id": ""}, "invalid-item", "item_id"),
        ({"item_id": "a\u0007b"}, "invalid-item", "item_id"),
        ({"item_id": "a\u0085b"}, "invalid-item", "item_id"),
        ({"item_id": "\udfff"}, "invalid-item", "item_id"),
        ({"item_id": " a"}, "invalid-item", "item_id"),
        ({"item_id": 7}, "invalid-request", "item_id"),
        ({"item_id": None}, "invalid-request", "item_id"),
        ({"title": None}, "invalid-item", "text"),
        ({"title": ""}, "invalid-item", "text"),
        ({"title": " \u0000\n\t "}, "invalid-item", "text"),
        ({"title": 5}, "invalid-request", "title"),
        ({"title": "x" * 1001}, "limit-exceeded", "text"),
        ({"text": "x" * 100_000}, "limit-exceeded", "text"),
        ({"title": "x" * 600, "categories": ["y" * 401]}, "limit-exceeded", "text"),
        ({"categories": ["a", "b", "c", "d"]}, "limit-exceeded", "categories"),
        ({"categories": "a"}, "invalid-request", "categories"),
        ({"categories": [1]}, "invalid-request", "categories.0"),
        ({"price": -1}, "invalid-request", "price"),
        ({"price": "1"}, "invalid-request", "price"),
        ({"price": 10**399}, "invalid-request", "price"),
        ({"attributes": {"n": 10**399}}, "invalid-item", "attributes.n"),
        ({"attributes": {"n": 2**63}}, "invalid-item", "attributes.n"),
        ({"attributes": {"n": None}}, "invalid-request", "attributes.n"),
        ({"attributes": {"n": {"deep": 1}}}, "invalid-request", "attributes.n"),
        ({"attributes": {"n": [1]}}, "invalid-request", "attributes.n"),
        ({"attributes": {"": 1}}, "invalid-item", "attributes"),
        ({"attributes": {"\u0000": 1}}, "invalid-item", "attributes"),
        ({"attributes": [1]}, "invalid-request", "attributes"),
        ({"attributes": {f"n{n}": n for n in range(5)}}, "limit-exceeded", "attributes"),
        ({"attributes": {"n": "x" * 400}}, "limit-exceeded", "attributes"),
        ({"attributes": {"x" * 400: 1}}, "limit-exceeded", "attributes"),
        ({"id": "a"}, "invalid-request", "id"),
    ],
)
def test_items_that_cannot_be_accepted(client: Client, item: dict[str, Any], kind: str, field: str) -> None:
    whole = {"item_id": "bad", "title": "lamp"} | item
    refused(client.post("/items", whole), 422, kind, field)
    batch = client.post("/items/batch", {"items": [whole]}).json()["results"][0]
    assert (batch["status"], batch["problem"]["field"]) == (422, field)
    if "item_id" not in item:
        content = {key: value for key, value in whole.items() if key != "item_id"}
        refused(client.put("/items/bad", content), 422, kind, field)
    assert client.get("/items/bad").status == 404


def test_texts_are_repaired(client: Client) -> None:
    item = {"item_id": "repaired", "title": "a\ud800b\u0000 c\r\n", "attributes": {"x\u0001": "\udc00"}}
    created = client.post("/items", item)
    assert created.status == 201
    assert created.json()["attributes"] == {"title": "a\ufffdb c", "x": "\ufffd"}
    assert client.post("/items", item).status == 200
    assert client.delete("/items/repaired").status == 204


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"null",
        b"[]",
        b'"x"',
        b'{"history": [NaN]}',
        b'{"history": [], "diversity": Infinity}',
        b'{"history": [], "diversity": 1e999}',
        b'{"history": [], "history": []}',
        b'{"history": [], "k": ' + b"9" * 5000 + b"}",
        b'{"history": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"filter": ' + b'{"a":' * 20_000 + b"1" + b"}" * 20_000 + b"}",
        b'{"history": ["\xff"]}',
        b"\x00" * 100,
        "{}".encode("utf-16"),
    ],
)
def test_bodies_that_are_no_request(client: Client, body: bytes) -> None:
    for path in ("/recommend", "/recommend/batch", "/items", "/items/batch"):
        reply = client.post(path, body)
        assert reply.status in (400, 422), reply.body
        problem = json.loads(reply.body)
        assert problem["type"] in ("/problems/invalid-json", "/problems/invalid-request")
        assert len(reply.body) < 1000


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/xml", "", "multipart/form-data; boundary=x", "a\xe4"]
)
def test_other_content_types_are_refused(client: Client, media_type: str) -> None:
    reply = client("POST", "/recommend", b'{"history": []}', {"Content-Type": media_type})
    refused(reply, 415, "unsupported-media-type")
    accepted = client("POST", "/recommend", b'{"history": []}', {"Content-Type": "Application/JSON; charset=utf-8"})
    assert accepted.status == 200


@pytest.mark.parametrize("count", [0, 5])
def test_batches_have_a_size(client: Client, count: int) -> None:
    kind = "limit-exceeded" if count else "invalid-request"
    refused(client.post("/recommend/batch", {"requests": [{"history": []}] * count}), 422, kind, "requests")
    refused(client.post("/items/batch", {"items": [{"item_id": "a", "title": "b"}] * count}), 422, kind, "items")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=-1", "cursor"),
        ("cursor=" + "9" * 33, "cursor"),
        ("cursor=" + "9" * 30, "cursor"),
        ("cursor=%D9%A1", "cursor"),
        ("source=nowhere", "source"),
    ],
)
def test_bad_pages_are_refused(client: Client, query: str, field: str) -> None:
    reply = client.get(f"/items?{query}")
    assert reply.status == 422
    assert reply.json()["field"] == field


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nope", 404, "not-found"),
        ("GET", "/items/nope", 404, "item-not-found"),
        ("GET", "/items/", 404, "item-not-found"),
        ("GET", "/items/" + LONG_ID, 404, "item-not-found"),
        ("GET", "/items/%00%0A", 404, "item-not-found"),
        ("GET", "/items/%ED%A0%80", 404, "item-not-found"),
        ("GET", "/items/%ff%fe", 404, "item-not-found"),
        ("GET", "/items/nope/similar", 404, "item-not-found"),
        ("DELETE", "/items/nope", 404, "item-not-found"),
        ("DELETE", "/items/" + LONG_ID, 404, "item-not-found"),
        ("DELETE", "/recommend", 405, "method-not-allowed"),
        ("GET", "/recommend", 405, "method-not-allowed"),
        ("PATCH", "/items", 405, "method-not-allowed"),
        ("PATCH", "/items/a", 405, "method-not-allowed"),
        ("BREW", "/items", 400, ""),
    ],
)
def test_paths_and_methods_that_are_not_there(client: Client, method: str, path: str, status: int, kind: str) -> None:
    if method == "BREW":
        # No method of HTTP's: the server itself refuses it, before the app.
        with socket.create_connection(("127.0.0.1", client.port)) as raw:
            raw.sendall(b"BREW /items HTTP/1.1\r\nHost: x\r\n\r\n")
            assert raw.recv(1000).startswith(b"HTTP/1.1 400 ")
        return
    reply = client(method, path)
    assert reply.status == status, reply.body
    assert reply.json()["type"] == f"/problems/{kind}"
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize("k", ["0", "101", "x", "1e3", "9" * 400])
def test_similar_refuses_bad_counts(client: Client, k: str) -> None:
    reply = client.get(f"/items/item-1/similar?k={k}")
    assert (reply.status, reply.json()["field"]) == (422, "k")
    assert client.get("/items/item-1/similar?by=feeling").json()["field"] == "by"


def test_put_refuses_an_id_it_cannot_keep(client: Client) -> None:
    for path in ("/items/" + LONG_ID, "/items/%00", "/items/", "/items/%20"):
        refused(client.put(path, {"title": "x"}), 422, "invalid-item", "item_id")
    refused(client.put("/items/a", {"title": "x", "item_id": "a"}), 422, "invalid-request", "item_id")


def test_a_body_that_is_declared_too_large_is_refused_unread(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    connection.putrequest("POST", "/items")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(100 * 2**20))
    connection.endheaders()
    answer = connection.getresponse()
    problem = refused(Reply(answer.status, dict(lower(answer)), answer.read()), 413, "body-too-large")
    assert str(BODY_MAX) in problem["detail"]
    connection.close()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_of_100_mb_is_refused_in_bounded_memory(client: Client, chunked: bool) -> None:
    # Client and server are one process here, and the client holds one block of 64 KiB.
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    block = b" " * 65_536
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=60)
    headers = {"Content-Type": "application/json"}
    if not chunked:
        headers["Content-Length"] = str(1600 * len(block))
    connection.request("POST", "/recommend", (block for _ in range(1600)), headers, encode_chunked=chunked)
    answer = connection.getresponse()
    refused(Reply(answer.status, dict(lower(answer)), answer.read()), 413, "body-too-large")
    # The connection is still good: what came after the refusal was thrown away.
    connection.request("GET", "/livez")
    assert connection.getresponse().read() == b'{"status":"alive"}'
    connection.close()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, f"{grown} KiB"


def lower(answer: http.client.HTTPResponse) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in answer.getheaders()]


def test_a_body_at_the_limit_is_read(client: Client) -> None:
    body = b'{"history": ["item-1"]}'
    assert client.post("/recommend", body + b" " * (BODY_MAX - len(body))).status == 200
    assert client.post("/recommend", body + b" " * (BODY_MAX - len(body) + 1)).status == 413


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 200_000,
        b"GET /" + b"x" * 200_000,
        b"GET /livez HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(20_000)),
        b"nonsense\r\n\r\n",
    ],
)
def test_endless_heads_are_refused(client: Client, head: bytes) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as raw:
        answer = b""
        try:
            raw.sendall(head)
            answer = raw.recv(1000)
        except ConnectionError:
            answer = b"HTTP/1.1 400 "  # closed before we had sent it all, which is a refusal too
        assert answer.startswith(b"HTTP/1.1 400 ")
