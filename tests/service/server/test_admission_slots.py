"""A slot in a queue is for work: a client that sends slowly, reads slowly or hangs up holds none."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from service.api import recommend_routes
from service.api.limits import check_recommend
from service.engine.engine import Engine
from service.lifecycle import runtime
from service.metrics import Metrics
from service.server.admission import Admission, Queues
from tests.service.server.test_admission import Held, metric, post
from tests.support.service import make_settings, refused, serving, until

ITEM = {"item_id": "new-1", "title": "red lamp"}
BODIES = {
    "/recommend": {"history": ["item-1"]},
    "/recommend/batch": {"requests": [{"history": ["item-1"]}]},
    "/items": ITEM,
    "/items/preview": ITEM,
}
ORIGINS = pytest.mark.parametrize("origins", [(), ("https://shop.example",)], ids=["by the server", "by the app"])


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


class Slow:
    """A request of which the head and half of the body have been sent."""

    def __init__(self, port: int, path: str) -> None:
        body = json.dumps(BODIES[path]).encode()
        self._rest = body[len(body) // 2 :]
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.sendall(
            b"POST %b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body[: len(body) // 2])
        )

    def finish(self) -> bytes:
        """The answer to the whole request."""
        self._socket.sendall(self._rest)
        with self._socket, self._socket.makefile("rb") as file:
            return file.read()

    def hang_up(self) -> None:
        self._socket.close()


@ORIGINS
@pytest.mark.parametrize("path", BODIES)
def test_a_body_that_is_still_to_come_holds_no_slot(
    root: Path, tmp_path: Path, path: str, origins: tuple[str, ...]
) -> None:
    settings = make_settings(root, tmp_path, queue_max=2, write_queue_max=2, cors_origins=origins)
    with serving(settings) as client:
        slow = [Slow(client.port, path) for _ in range(10)]
        for _ in range(10):
            assert client.post(path, BODIES[path]).status in (200, 201)
        for one in slow:
            assert one.finish()[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 201")
        for queue in ("recommend", "long", "write"):
            assert metric(client, f'kindred_queue_requests{{queue="{queue}"}}') == 0


@ORIGINS
def test_a_body_that_comes_to_a_full_queue_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held, origins: tuple[str, ...]
) -> None:
    original = Engine.recommend

    def waiting(self: Engine, request: Any) -> Any:
        held.wait()
        return original(self, request)

    monkeypatch.setattr(Engine, "recommend", waiting)
    with serving(make_settings(root, tmp_path, queue_max=1, cors_origins=origins)) as client:
        with ThreadPoolExecutor(1) as pool:
            slow = Slow(client.port, "/recommend")
            job = pool.submit(post, client.port, "/recommend", {"history": ["item-1"], "diversity": 0.5})
            assert held.begun.acquire(timeout=30)
            head, _, body = slow.finish().partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503")
            assert b"\r\nretry-after: 1" in head
            assert json.loads(body)["type"] == "/problems/overloaded"
            held.go.set()
            assert job.result() == 200
        assert client.recommend("item-1")["items"]


@pytest.mark.parametrize("path", BODIES)
def test_who_hangs_up_in_the_middle_of_a_body_is_no_fault(
    root: Path, tmp_path: Path, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(make_settings(root, tmp_path)) as client:
        Slow(client.port, path).hang_up()
        line = f'kindred_requests_total{{method="POST",route="{path}",status="0"}}'
        until(lambda: line in client.get("/metrics").body.decode())
        answered = client.get("/metrics").body.decode()
        assert f'route="{path}",status="500"' not in answered
        assert f'route="{path}",status="400"' not in answered
    assert not [record for record in caplog.records if record.name == "kindred.errors"]


def test_a_slot_is_left_with_an_answer_that_is_made_and_held_by_one_that_streams(root: Path, tmp_path: Path) -> None:
    queues = Queues(make_settings(root, tmp_path), Metrics())
    inside: list[int] = []

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        length = [] if scope["path"] == "/items/export" else [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        queue = queues.of(scope)
        assert queue is not None
        inside.append(queue.inside)
        await send({"type": "http.response.body", "body": b"{}"})

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def taken(message: Message) -> None:
        pass

    for path in ("/items/export", "/items/item-1"):
        scope: Scope = {"type": "http", "method": "GET", "path": path}
        asyncio.run(_run(Admission(answer, queues), scope, nothing, taken))
        queue = queues.of(scope)
        assert queue is not None
        assert queue.inside == 0
    assert inside == [1, 0]


async def _run(app: Admission, scope: Scope, receive: Receive, send: Send) -> None:
    await app(scope, receive, send)


def test_exports_have_slots_of_their_own(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.server.admission._EXPORTS", 1)
    go = threading.Event()

    def slowly(self: Engine, source: str = "all") -> Iterator[Any]:
        yield self.artifact.items.items[0]
        assert go.wait(30)

    monkeypatch.setattr(Engine, "export", slowly)
    with serving(make_settings(root, tmp_path, queue_max=1)) as client:
        try:
            with socket.create_connection(("127.0.0.1", client.port), timeout=30) as reader:
                reader.sendall(b"GET /items/export HTTP/1.1\r\nHost: x\r\n\r\n")
                until(lambda: metric(client, 'kindred_queue_requests{queue="export"}') == 1)
                refused(client.get("/items/export"), 503, "overloaded")
                assert client.get("/items/item-1").status == 200
        finally:
            go.set()


def test_a_filtered_recommendation_does_not_wait_for_batches(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    original = recommend_routes._answer_all

    def waiting(*arguments: Any) -> Any:
        held.wait()
        return original(*arguments)

    monkeypatch.setattr(recommend_routes, "_answer_all", waiting)
    with serving(make_settings(root, tmp_path)) as client, ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(post, client.port, "/recommend/batch", BODIES["/recommend/batch"]) for _ in range(4)]
        assert held.begun.acquire(timeout=30)
        assert client.recommend("item-1", diversity=0.5)["items"]
        held.go.set()
        assert [job.result() for job in jobs] == [200] * 4


def test_the_entries_of_a_batch_are_checked_outside_the_event_loop(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, str] = {}
    original = check_recommend

    def noted(request: Any, settings: Any) -> None:
        threads["batch" if len(request.history) == 2 else "one"] = threading.current_thread().name
        original(request, settings)

    monkeypatch.setattr(recommend_routes, "check_recommend", noted)
    with serving(make_settings(root, tmp_path)) as client:
        client.recommend("item-1")
        assert client.post("/recommend/batch", {"requests": [{"history": ["item-1", "item-2"]}]}).status == 200
    assert threads["batch"] != threads["one"]


def test_reserved_places_count_as_the_work_they_are(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_ON_LOOP", 250)  # one recommendation of the 240 items, and no more
    threads: list[str] = []
    original = Engine.recommend_batch

    def noted(self: Engine, *arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return original(self, *arguments)

    monkeypatch.setattr(Engine, "recommend_batch", noted)
    with serving(make_settings(root, tmp_path)) as client:
        client.recommend("item-1")
        client.recommend("item-1", cold_share=0.5)
        client.recommend("item-1")
    assert threads[0] == threads[2] != threads[1]


def test_attributes_are_measured_before_they_are_cleaned(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, attributes_size_max=1000)) as client:
        for value in (" " * 2000 + "red", ["red", *[" "] * 2000]):
            reply = client.post("/items", ITEM | {"attributes": {"colour": value}})
            refused(reply, 422, "limit-exceeded", "attributes")
        reply = client.post("/items", ITEM | {"attributes": {"colour": "red", "colour ": "blue"}})
        refused(reply, 422, "invalid-item", "attributes.colour")


def test_a_slow_client_is_a_client(root: Path, tmp_path: Path) -> None:
    """Head and body in pieces, more than one request on the connection."""
    with serving(make_settings(root, tmp_path)) as client:
        body = b'{"history": ["item-1"], "k": 3}'
        head = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
        request = head % len(body) + body
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for at in range(0, len(request), 7):
                stream.sendall(request[at : at + 7])
            stream.sendall(request + request[:20])
            stream.sendall(request[20:])
            received = b""
            while received.count(b"HTTP/1.1 200") < 3 or not received.endswith(b"}"):
                piece = stream.recv(65536)
                assert piece, received
                received += piece
