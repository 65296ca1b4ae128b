"""Each status has its exception, and an answer that is not the service's has one too."""

from __future__ import annotations

import pickle

import httpx
import pytest

from service.client import (
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
from tests.support.clients import Script, problem


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
