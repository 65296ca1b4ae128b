"""The Python client against a real server, both kinds of it; and what it says when something goes wrong."""

from __future__ import annotations

import http.client
import pickle
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import keys
from service.client import (
    AsyncClient,
    Client,
    Conflict,
    Forbidden,
    Invalid,
    ItemRegistered,
    KindredError,
    NewItem,
    NoAnswer,
    NotFound,
    RateLimited,
    RecommendResponse,
    Retry,
    TimedOut,
    Timeouts,
    Unauthorized,
    Unavailable,
    UnexpectedAnswer,
)
from service.client.calls import item_path
from service.version import package_version
from tests.client_support import KINDS, Script, connected, problem
from tests.service_support import make_artifact, make_settings, serving

KEY = "kdr-very-secret"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder)) as raw:
        yield raw.url


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Client]:
    with connected(request.param, url) as client:
        yield client


def test_recommend(client: Client) -> None:
    answer = client.recommend(["item-1", "nope"], k=3, explain=True, diversity=0.3, filter={"brand": ["Alba", "Dune"]})
    assert (len(answer.items), answer.model_version, answer.unknown_history) == (3, "v1", ["nope"])
    for item in answer.items:
        assert item.reasons
        assert item.reasons.semantic + item.reasons.id == item.score
        assert item.attributes["brand"] in ("Alba", "Dune")
    assert client.recommend(()).strategy == "popularity"


def test_a_batch_holds_the_error_of_an_entry_beside_the_others(client: Client) -> None:
    good, bad, empty = client.recommend_batch(
        [{"history": ["item-1"], "k": 2}, {"history": [], "k": 10**6}, {"history": []}], request_id="r-1"
    )
    assert isinstance(good, RecommendResponse)
    assert good.items == client.recommend(["item-1"], k=2).items
    assert isinstance(empty, RecommendResponse)
    assert isinstance(bad, Invalid)
    assert (bad.type, bad.status, bad.field, bad.request_id) == ("/problems/limit-exceeded", 422, "k", "r-1")
    with pytest.raises(Invalid, match="requests"):
        client.recommend_batch([])


def test_the_life_of_an_item(client: Client) -> None:
    created = client.add_item("life", title="Red soap", brand="Alba", attributes={"n": 1, "tags": ["a"]})
    assert (created.outcome, created.cold, created.source) == ("created", True, "registered")
    same = client.add_item("life", title="Red soap", brand="Alba", attributes={"tags": ["a"], "n": 1})
    assert same.outcome == "unchanged"
    with pytest.raises(Conflict) as raised:
        client.add_item("life", title="Blue soap", request_id="r-2")
    error = raised.value
    assert (error.type, error.status, error.field) == ("/problems/item-conflict", 409, "item_id")
    assert str(error) == f"{error.detail} [409, /problems/item-conflict, request r-2]"
    assert client.replace_item("life", title="Blue soap").outcome == "replaced"
    assert client.get_item("life").attributes == {"title": "Blue soap"}
    assert "life" in [item.item_id for item in client.recommend(["item-1"], k=500).items]
    assert len(client.similar("life", k=4, by="hybrid").items) == 4
    client.delete_item("life")
    for gone in (client.get_item, client.similar, client.delete_item):
        with pytest.raises(NotFound, match="no item 'life' is known"):
            gone("life")


def test_items_in_a_batch_succeed_and_fail_by_themselves(client: Client) -> None:
    items: list[NewItem] = [
        {"item_id": "b-1", "title": "lamp"},
        {"item_id": "item-1", "title": "x"},
        {"item_id": "b-2"},
    ]
    written, taken, empty = client.add_items(items)
    assert isinstance(written, ItemRegistered)
    assert isinstance(taken, Conflict)
    assert isinstance(empty, Invalid)
    assert empty.field == "text"
    client.delete_item("b-1")


def test_listing_and_export_walk_over_everything(client: Client) -> None:
    item: NewItem = {
        "item_id": "ü\u2028x",
        "title": "lamp",
        "text": "own\u2028text",
        "attributes": {"n": 1, "t": ["a"]},
    }
    client.add_item(**item)
    expected = [f"item-{n}" for n in range(240)] + ["ü\u2028x"]
    assert [found.item_id for found in client.list_items(page_size=37)] == expected
    assert [line["item_id"] for line in client.export()] == expected
    assert [found.source for found in client.list_items(source="registered")] == ["registered"]
    (line,) = client.export(source="registered")
    (again,) = client.add_items([line])
    assert isinstance(again, ItemRegistered)
    assert again.outcome == "unchanged"
    assert client.add_item(**line).outcome == "unchanged"
    client.delete_item("ü\u2028x")
    assert list(client.list_items(source="registered")) == []
    with pytest.raises(Invalid, match="limit"):
        list(client.list_items(page_size=10**6))


@pytest.mark.parametrize(
    "item_id",
    ["export", "batch", "a/similar", "similar", "/", "a//b", ".", "..", "a/../b", "...", "%2F", "a b", "ü/€?#"],
)
def test_ids_that_look_like_paths(client: Client, item_id: str) -> None:
    assert client.add_item(item_id, title="odd").item_id == item_id
    assert client.get_item(item_id).item_id == item_id
    assert client.similar(item_id).item_id == item_id
    assert client.replace_item(item_id, title="odd").outcome == "unchanged"
    client.delete_item(item_id)
    with pytest.raises(NotFound) as raised:
        client.get_item(item_id)
    assert (raised.value.type, raised.value.status) == ("/problems/item-not-found", 404)


def test_probes_and_version(client: Client) -> None:
    assert client.livez().status == "alive"
    assert client.readyz().model_version == "v1"
    assert client.version().items == 240


def test_what_no_type_checker_saw_is_refused_by_the_service(client: Client) -> None:
    call: Any = client.recommend
    with pytest.raises(Invalid) as raised:
        call("item-1")
    assert raised.value.field == "history"
    with pytest.raises(Invalid, match="kk"):
        call(["item-1"], kk=3)
    with pytest.raises(ValueError, match="JSON"):
        call(["item-1"], diversity=float("nan"))


def test_a_service_that_is_not_ready_says_so(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path / "nothing", tmp_path), ready=False) as raw, Client(raw.url) as client:
        assert client.livez().status == "alive"
        assert client.version().items is None
        with pytest.raises(Unavailable) as raised:
            client.readyz()
        assert (raised.value.type, raised.value.status) == ("/problems/not-ready", 503)


def test_keys_open_what_they_are_for(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    key = keys.create(tmp_path / "keys.json", "a reader", "read")
    settings = make_settings(tmp_path / "artifacts", tmp_path, keys=tmp_path / "keys.json")
    with serving(settings) as raw, Client(raw.url, key=key) as reader, Client(raw.url) as stranger:
        assert reader.recommend(["item-1"], k=2).strategy == "model"
        with pytest.raises(Forbidden) as raised:
            reader.add_item("a", title="b")
        assert (raised.value.type, raised.value.status) == ("/problems/forbidden", 403)
        assert stranger.readyz().status == "ready"
        with pytest.raises(Unauthorized) as refused:
            stranger.recommend(["item-1"])
        assert (refused.value.type, refused.value.status) == ("/problems/unauthorized", 401)


def test_a_rate_limit_asks_for_a_pause(tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts")
    slept: list[float] = []
    with (
        serving(make_settings(tmp_path / "artifacts", tmp_path, rate_limit=0.5, rate_burst=1)) as raw,
        Client(raw.url, retry=Retry(attempts=2), sleep=slept.append) as client,
    ):
        client.version()
        with pytest.raises(RateLimited) as raised:
            client.version()
    assert raised.value.type == "/problems/rate-limited"
    assert len(slept) == 1
    assert 1 <= slept[0] <= 2.1


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


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "kindred", "ftp://kindred.test", "http://", ""])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match="must look like http"):
            kind(url)


def test_an_address_that_holds_a_password_is_refused_unseen() -> None:
    with pytest.raises(ValueError, match="must hold no user or password") as raised:
        Client("http://user:hidden@kindred.test")
    assert "hidden" not in str(raised.value)


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


# --- a network in trouble --------------------------------------------------------------------------


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


def test_paths() -> None:
    assert item_path("a/b c") == "/items/a/b%20c"
    assert item_path("../.") == "/items/%2E%2E/%2E"
