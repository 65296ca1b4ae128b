"""What a client sends, and what becomes of a call if the network loses it."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from service.client import (
    Client,
    Invalid,
    ItemRegistered,
    KindredError,
    NoAnswer,
    NotFound,
    Retry,
    TimedOut,
    Timeouts,
)
from service.version import package_version
from tests.support.clients import KINDS, Script, connected

KEY = "kdr-very-secret"


def ok() -> httpx.Response:
    return httpx.Response(200, json={"service": "1"})


@pytest.mark.parametrize("kind", KINDS)
def test_headers(kind: Any) -> None:
    script = Script(ok(), ok(), ok())
    with connected(kind, "http://kindred.test/prefix/", transport=script, key=KEY) as client:
        client.version()
        client.version()
        client.version(request_id="mine")
    first, second, third = script.requests
    assert str(first.url) == "http://kindred.test/prefix/version"
    assert first.headers["user-agent"] == f"kindred-client/{package_version()}"
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert first.headers["x-request-id"] != second.headers["x-request-id"]
    assert third.headers["x-request-id"] == "mine"
    script = Script(ok())
    with connected(kind, transport=script) as client:
        client.version()
    assert "authorization" not in script.requests[0].headers


def test_the_key_is_shown_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    echo = httpx.Response(400, html=f"<pre>Authorization: Bearer {KEY}</pre>", headers={"x-request-id": "r"})
    page = httpx.Response(200, html=f"<pre>Authorization: Bearer {KEY}</pre>")
    shown = []
    with Client("http://kindred.test", key=KEY, transport=Script(echo, page, httpx.ReadTimeout("x"))) as client:
        for _ in range(3):
            with pytest.raises(KindredError) as raised:
                client.version()
            error = raised.value
            shown += [str(error), repr(error), repr(vars(error)), str(raised.getrepr()), repr(error.__cause__)]
        shown += [repr(client), str(client), caplog.text]
    assert KEY not in "".join(shown)
    assert repr(Client("http://kindred.test")) == "Client(URL('http://kindred.test'))"


def test_a_request_id_that_no_header_can_hold_is_refused() -> None:
    with Client(transport=Script()) as client, pytest.raises(ValueError, match="request_id"):
        client.version(request_id="a\nb")


class Losing(BaseHTTPRequestHandler):
    """Passes requests on to the service, and loses the first answer after the service has acted."""

    service: tuple[str, int]
    lost: list[int]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        upstream = http.client.HTTPConnection(*self.service, timeout=30)
        passed = ("content-type", "idempotency-key")
        headers = {name: value for name in passed if (value := self.headers.get(name)) is not None}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        if not self.lost:
            self.lost.append(answer.status)
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        self.send_response(answer.status)
        for name in ("content-type", "content-length"):
            if value := answer.headers.get(name):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_DELETE = do_PUT = do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Nothing on standard error."""


@contextmanager
def losing(url: str) -> Iterator[tuple[str, list[int]]]:
    """The address of a proxy that loses one answer, and its status."""
    target = httpx.URL(url)
    seen: list[int] = []
    handler = type("Handler", (Losing,), {"service": (target.host, target.port), "lost": seen})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", seen
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("kind", KINDS)
def test_a_lost_answer_does_no_harm(kind: Any, url: str) -> None:
    with losing(url) as (proxy, lost), connected(kind, proxy) as client:
        assert client.add_item("lost", title="lamp").outcome == "created"
        assert lost == [201]
    with losing(url) as (proxy, lost), connected(kind, proxy) as client:
        (entry,) = client.add_items([{"item_id": f"lost too, {kind}", "title": "lamp"}])
        assert isinstance(entry, ItemRegistered)
        assert entry.outcome == "created"
        assert lost == [200]
    with losing(url) as (proxy, lost), connected(kind, proxy) as client:
        client.delete_item("lost")
        assert lost == [204]
        with pytest.raises(NotFound):
            client.delete_item("lost")
        client.delete_item(f"lost too, {kind}")


def test_a_call_of_the_same_key_repeats_the_first(client: Client) -> None:
    key = 'order "7" \\ ' + "x" * 200
    first = client.add_item("keyed", title="lamp", idempotency_key=key)
    assert client.replace_item("keyed", title="red lamp", idempotency_key="other").outcome == "replaced"
    assert client.add_item("keyed", title="lamp", idempotency_key=key) == first
    assert client.replace_item("keyed", title="red lamp", idempotency_key="other").outcome == "replaced"
    with pytest.raises(Invalid, match="another request"):
        client.add_item("keyed", title="soap", idempotency_key=key)
    for _ in range(2):
        client.delete_item("keyed", idempotency_key="gone")
    for bad in ("é", "a\nb", "x" * 256):
        with pytest.raises(ValueError, match="idempotency_key"):
            client.add_item("keyed", title="lamp", idempotency_key=bad)


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_listens(kind: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    retry = Retry(attempts=2, base=0.001)
    with connected(kind, f"http://127.0.0.1:{port}", retry=retry) as client, pytest.raises(NoAnswer) as raised:
        client.version()
    assert isinstance(raised.value.__cause__, httpx.ConnectError)
    assert "(2 attempts)" in str(raised.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("timeouts", [Timeouts(read=0.2), Timeouts(deadline=0.2)])
def test_nobody_answers(kind: Any, timeouts: Timeouts) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        connected(kind, f"http://127.0.0.1:{listener.getsockname()[1]}", timeouts=timeouts) as client,
        pytest.raises(TimedOut, match=r"\(1 attempt\)"),
    ):
        client.version()
