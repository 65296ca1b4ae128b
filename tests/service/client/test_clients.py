"""The Python client against a real server, both kinds of it, and over a network in trouble."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.client import (
    Client,
    Conflict,
    Forbidden,
    Invalid,
    ItemRegistered,
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
)
from service.client.calls import item_path
from service.security import keys
from tests.support.clients import KINDS, connected
from tests.support.service import make_artifact, make_settings, serving

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
    assert answer.unknown_filter == []
    assert client.recommend((), filter={"brnad": ["Alba"]}).unknown_filter == ["brnad"]


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


def test_paths() -> None:
    assert item_path("a/b c") == "/items/a/b%20c"
    assert item_path("../.") == "/items/%2E%2E/%2E"
