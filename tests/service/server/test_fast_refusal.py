"""Refusals without parsing: for whole plain requests alone, and such as the parsed ones in all that a caller sees."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.contract.answers import RecommendResponse
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.server.fast_refusal import is_plain
from tests.support.service import Client, make_artifact, make_settings, serving
from tests.support.wire import connect, read_replies

BODY = b'{"history": []}'


def request(*fields: bytes, line: bytes = b"POST /recommend HTTP/1.1", body: bytes = BODY, length: int = -1) -> bytes:
    declared = b"Content-Length: %d" % (len(body) if length < 0 else length)
    return b"\r\n".join([line, b"Host: a", b"Content-Type: application/json", declared, *fields, b"", body])


PLAIN = request()


@pytest.mark.parametrize(
    ("data", "plain"),
    [
        (PLAIN, True),
        (request(b"Authorization: Bearer x"), True),
        (request(line=b"POST /recommend HTTP/1.1\r\ncontent-LENGTH:15", body=BODY), False),  # twice
        (PLAIN.replace(b"Content-Length: 15", b"content-length:\t15 "), True),
        (b"", False),
        (PLAIN[:-1], False),
        (PLAIN + b" ", False),
        (PLAIN + PLAIN, False),
        (request(body=b""), True),
        (request(length=16), False),
        (request(length=10**9), False),
        (PLAIN.replace(b"Content-Length: 15", b"Content-Length: -15"), False),
        (PLAIN.replace(b"Content-Length: 15", b"X: 15"), False),
        (PLAIN.partition(b"\r\n\r\n")[0], False),
        (request(line=b"POST /recommend HTTP/1.0"), False),
        (request(line=b"POST /recommend/batch HTTP/1.1"), False),
        (request(line=b"POST /recommend?a HTTP/1.1"), False),
        (request(line=b"GET /recommend HTTP/1.1"), False),
        (request(b"X-Request-Id: mine"), True),
        (request(b"Connection: keep-alive"), True),
        (request(b"connection:\tKeep-Alive "), True),
        (request(b"Connection: keep-alive, close"), False),
        (request(b"Connection:close"), False),
        (request(b"Connection: close"), False),
        (request(b"connection : close"), False),
        (request(b"Transfer-Encoding: chunked"), False),
        (request(b"EXPECT: 100-continue"), False),
        (request(b"Upgrade: websocket"), False),
    ],
)
def test_what_is_plain(data: bytes, plain: bool) -> None:
    assert is_plain(data) == plain


@pytest.fixture
def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A service whose one place is taken until the end."""
    make_artifact(tmp_path / "artifacts")
    begun, go = threading.Event(), threading.Event()
    original = Engine.recommend

    def slow(self: Engine, asked: RecommendRequest) -> RecommendResponse:
        begun.set()
        assert go.wait(60)
        return original(self, asked)

    monkeypatch.setattr(Engine, "recommend", slow)
    with serving(make_settings(tmp_path / "artifacts", tmp_path, queue_max=1)) as client, connect(client.port) as taken:
        taken.sendall(request(body=b'{"history": ["item-1"], "diversity": 0.5}'))
        assert begun.wait(30)
        yield client
        go.set()
        assert [reply.status for reply in read_replies(taken, 1)] == [200]


def test_plain_and_parsed_refusals_are_alike(full: Client) -> None:
    with connect(full.port) as wire:
        seen = []
        # Two that come together are parsed.
        for data in (PLAIN, request(b"X-Request-ID: mine"), PLAIN, PLAIN + PLAIN):
            wire.sendall(data)
            seen += read_replies(wire, 1 + (data == PLAIN + PLAIN))
        assert [reply.status for reply in seen] == [503] * 5
        ids = [reply.headers["x-request-id"] for reply in seen]
        assert ids[1] == "mine"
        assert len(set(ids)) == 5
        differing = {"x-request-id": "", "content-length": "", "date": ""}
        for reply, name in zip(seen, ids, strict=True):
            body = json.loads(reply.body)
            assert body.pop("request_id") == name
            assert body == {k: v for k, v in json.loads(seen[1].body).items() if k != "request_id"}
            assert {**reply.headers, **differing} == {**seen[1].headers, **differing}
        assert 'kindred_queue_refusals_total{queue="recommend"} 5.0' in full.get("/metrics").body.decode()
        wire.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")  # the connection goes on
        assert [reply.status for reply in read_replies(wire, 1)] == [200]


def test_a_request_in_pieces_is_refused_as_well(full: Client) -> None:
    with connect(full.port) as wire:
        for data in (PLAIN[:40], PLAIN[40:-3], PLAIN[-3:]):
            wire.sendall(data)
        wire.sendall(PLAIN)
        assert [reply.status for reply in read_replies(wire, 2)] == [503, 503]


def test_a_request_id_that_does_harm_is_replaced(full: Client) -> None:
    with connect(full.port) as wire:
        for given in (b"a b", b'"', b"x" * 200, b""):
            wire.sendall(request(b"X-Request-ID: " + given))
            (reply,) = read_replies(wire, 1)
            assert reply.status == 503
            assert len(reply.headers["x-request-id"]) == 32


def test_what_looks_plain_and_is_no_http_leaves_the_queue(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, queue_max=1)) as client:
        for _ in range(3):
            with connect(client.port) as wire:
                wire.sendall(request(b"no header"))
                assert [reply.status for reply in read_replies(wire)] == [400]
        assert client.recommend("item-1")["items"]
        assert 'kindred_queue_requests{queue="recommend"} 0.0' in client.get("/metrics").body.decode()
