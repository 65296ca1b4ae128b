"""Bad input below JSON: bodies, sizes, media types, paths, methods and heads. None gets a 5xx."""

from __future__ import annotations

import http.client
import json
import resource
import socket
from collections.abc import Iterator

import pytest

from tests.support.service import Client, Reply, make_artifact, make_settings, refused, serving

BODY_MAX = 200_000
LONG_ID = "x" * 10_000


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder, body_max=BODY_MAX)) as client:
        yield client
        assert client.recommend("item-1")["strategy"] == "model"


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


@pytest.mark.parametrize(
    ("method", "path", "status", "kind"),
    [
        ("GET", "/nope", 404, "not-found"),
        ("GET", "/items/nope", 404, "item-not-found"),
        ("GET", "/items/", 404, "item-not-found"),
        ("GET", "/items/" + LONG_ID, 404, "item-not-found"),
        ("GET", "/items/%00%0A", 404, "item-not-found"),
        ("GET", "/items/%ED%A0%80", 422, "invalid-item"),
        ("GET", "/items/%ff%fe", 422, "invalid-item"),
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
