"""What the Python client sends, and what it makes of each answer; over a transport that plays the service."""

from __future__ import annotations

import pickle
from typing import Any

import httpx
import pytest

from service.client import (
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    KindredError,
    NotFound,
    RateLimited,
    Retry,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from service.version import package_version
from tests.support.clients import KINDS, Script, connected, problem

KEY = "kdr-very-secret"


# --- requests --------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ü", "secret\x00"])
def test_a_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ValueError, match="the key must be visible ASCII") as raised:
        Client(key=key)
    assert key == "" or key not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "kindred", "ftp://kindred.test", "http://", "", "http://kindred.test:port", "http://[::1"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="must look like http"):
            kind(url)


def test_an_address_that_holds_a_password_is_refused_unseen() -> None:
    with pytest.raises(ValueError, match="must hold no user or password") as raised:
        Client("http://user:hidden@kindred.test")
    assert "hidden" not in str(raised.value)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        Client("http://user:hidden/word@kindred.test")
    assert "hidden" not in str(raised.value)
    assert raised.value.__suppress_context__  # httpx quotes it


def test_a_request_id_that_no_header_can_hold_is_refused() -> None:
    with Client(transport=Script()) as client, pytest.raises(ValueError, match="request_id"):
        client.version(request_id="a\nb")


# --- answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Invalid),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (413, Invalid),
        (415, Invalid),
        (422, Invalid),
        (429, RateLimited),
        (500, KindredError),
        (503, Unavailable),
        (507, KindredError),
    ],
)
def test_each_status_has_its_class(status: int, kind: type[KindredError]) -> None:
    once = Retry(attempts=1)
    script = Script(problem(status, "made-up", "because", x_request_id="theirs"), httpx.Response(status))
    with Client(transport=script, retry=once) as client:
        with pytest.raises(KindredError) as raised:
            client.version()
        error = raised.value
        assert type(error) is kind
        assert (error.type, error.status, error.detail) == ("/problems/made-up", status, "because")
        assert error.request_id == "theirs"
        copy = pickle.loads(pickle.dumps(error))  # noqa: S301
        assert (type(copy), vars(copy), str(copy)) == (kind, vars(error), str(error))
        with pytest.raises(KindredError, match="no problem document \\(no content type, 0 bytes\\)") as raised:
            client.version()
        assert (type(raised.value), raised.value.type, raised.value.status) == (kind, None, status)
        assert raised.value.request_id == script.requests[1].headers["x-request-id"]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (
            httpx.Response(502, html="<h1>Bad Gateway</h1>"),
            Unavailable,
            "502 Bad Gateway, and no problem document",
        ),
        (httpx.Response(599), KindredError, "599 unknown status"),
        (httpx.Response(302, headers={"location": "https://login.test/"}), KindredError, "302 Found, and no problem"),
        (httpx.Response(404, json={"detail": "Not Found"}), NotFound, "(application/json, 22 bytes)"),
        (httpx.Response(422, headers={"content-type": "application/problem+json"}, text="{"), Invalid, "a broken"),
        (
            httpx.Response(200, html="<p>Log in</p>"),
            UnexpectedAnswer,
            "no VersionResponse: body: Invalid JSON",
        ),
        (httpx.Response(200, json={}), UnexpectedAnswer, "no VersionResponse: service: Field required"),
    ],
)
def test_an_answer_that_is_not_the_services(answer: httpx.Response, kind: type[KindredError], message: str) -> None:
    with Client(transport=Script(answer), retry=Retry(attempts=1)) as client, pytest.raises(KindredError) as raised:
        client.version()
    assert type(raised.value) is kind
    assert message in str(raised.value)


def test_batches_and_exports_that_are_not_the_services() -> None:
    script = Script(
        httpx.Response(200, json={"results": [{"status": 200}]}),
        httpx.Response(200, text='{"item_id": "a"}\n{"title": "no id"}\n'),
        httpx.Response(200, text='{"item_id": "a"}\n{"item_id"'),
    )
    with Client(transport=script) as client:
        with pytest.raises(UnexpectedAnswer, match="neither result nor problem"):
            client.add_items([])
        for _ in range(2):
            lines = client.export()
            assert next(lines) == {"item_id": "a"}
            with pytest.raises(UnexpectedAnswer, match="a line that is no item"):
                next(lines)


def test_members_of_a_newer_service_are_ignored() -> None:
    item = {"item_id": "a", "score": 1, "cold": False, "attributes": {}, "new": {"er": 1}}
    body = {"items": [item], "model_version": "v", "strategy": "model", "unknown_history": [], "newer": 1}
    newer = httpx.Response(
        422,
        headers={"content-type": "application/problem+json"},
        json={"type": "/problems/x", "title": "x", "status": 422, "detail": "why", "newer": 1},
    )
    with Client(transport=Script(httpx.Response(200, json=body), newer)) as client:
        assert client.recommend([]).items[0].score == 1
        with pytest.raises(Invalid, match="why"):
            client.recommend([])
