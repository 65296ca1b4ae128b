"""Too many at once: refused in the service's words, by the server or by the app; probes never; normal afterwards."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from service.contract.answers import RecommendResponse
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.engine.writer import Writer
from service.explore.explorer import Explorer
from tests.support.service import Client, make_settings, refused, serving


class Held:
    """Keeps whatever calls it until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.begun = threading.Semaphore(0)

    def wait(self) -> None:
        self.begun.release()
        assert self.go.wait(30)


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


def post(port: int, path: str, body: Any) -> int:
    """The status of an answer, on a connection of its own."""
    client = Client(port)
    try:
        return client.post(path, body).status
    finally:
        client.close()


def metric(client: Client, line: str) -> float:
    lines = client.get("/metrics").body.decode().splitlines()
    return next(float(found.rpartition(" ")[2]) for found in lines if found.startswith(line))


@pytest.mark.parametrize("origins", [(), ("https://shop.example",)], ids=["by the server", "by the app"])
def test_recommendations_beyond_the_queue_are_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held, origins: tuple[str, ...]
) -> None:
    original = Engine.recommend

    def slow(self: Engine, request: RecommendRequest) -> RecommendResponse:
        held.wait()
        return original(self, request)

    monkeypatch.setattr(Engine, "recommend", slow)  # what takes long is computed in a thread
    body = {"history": ["item-1"], "diversity": 0.5}
    settings = make_settings(root, tmp_path, queue_max=2, cors_origins=origins)
    with serving(settings) as client, ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(post, client.port, "/recommend", body) for _ in range(2)]
        for _ in jobs:
            assert held.begun.acquire(timeout=30)
        for number in range(3):  # on one connection: it stays usable
            reply = client("POST", "/recommend", body, {"X-Request-ID": f"mine-{number}", "Origin": "".join(origins)})
            problem = refused(reply, 503, "overloaded")
            assert reply.headers["retry-after"] == "1"
            assert reply.headers["x-request-id"] == problem["request_id"] == f"mine-{number}"
            assert reply.headers.get("access-control-allow-origin") == (origins[0] if origins else None)
        assert client.get("/livez").status == client.get("/readyz").status == 200
        assert client.get("/items/item-1").status == 200  # another queue
        assert metric(client, 'kindred_queue_requests{queue="recommend"}') == 2
        assert metric(client, 'kindred_queue_refusals_total{queue="recommend"}') == 3
        held.go.set()
        assert [job.result() for job in jobs] == [200, 200]
        assert client.post("/recommend", body).status == 200
        assert metric(client, 'kindred_queue_requests{queue="recommend"}') == 0


def test_writes_have_a_queue_of_their_own(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    original = Writer.write

    def slow(self: Writer, *arguments: Any) -> Any:
        held.wait()
        return original(self, *arguments)

    monkeypatch.setattr(Writer, "write", slow)
    with serving(make_settings(root, tmp_path, write_queue_max=1)) as client, ThreadPoolExecutor(1) as pool:
        job = pool.submit(post, client.port, "/items", {"item_id": "new-1", "title": "red lamp"})
        assert held.begun.acquire(timeout=30)
        refused(client.post("/items", {"item_id": "new-2", "title": "red lamp"}), 503, "overloaded")
        refused(client.delete("/items/item-1"), 503, "overloaded")
        assert len(client.recommend("item-1")["items"]) == 10
        held.go.set()
        assert job.result() == 201
        assert client.post("/items", {"item_id": "new-2", "title": "red lamp"}).status == 201


def test_looking_around_waits_in_a_queue_that_recommendations_do_not_share(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, held: Held
) -> None:
    original = Explorer.preview

    def slow(self: Explorer, moment: Any, item: Any) -> Any:
        held.wait()
        return original(self, moment, item)

    monkeypatch.setattr(Explorer, "preview", slow)
    body = {"item_id": "new-1", "title": "red lamp"}
    with serving(make_settings(root, tmp_path, queue_max=1)) as client, ThreadPoolExecutor(1) as pool:
        job = pool.submit(post, client.port, "/items/preview", body)
        assert held.begun.acquire(timeout=30)
        for path in ("/search?q=a", "/examples", "/codes", "/map", "/items", "/items/item-1/similar"):
            refused(client.get(path), 503, "overloaded")
        refused(client.post("/items/preview", body), 503, "overloaded")
        assert len(client.recommend("item-1")["items"]) == 10
        assert client.post("/items", body).status == 201
        held.go.set()
        assert job.result() == 200
        assert client.get("/codes").status == 200


def test_a_refusal_before_the_door_leaves_the_queue(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, queue_max=1)) as client:
        for body in (b"{", b'{"history": 1}', b'{"history": []}'):
            assert client.post("/recommend", body).status != 503
        assert client.get("/recommend").status == 405
        assert client.recommend("item-1")["items"]


def test_many_at_once_are_answered_together_as_each_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = Engine.recommend_batch

    def counted(self: Engine, requests: Sequence[RecommendRequest], *rest: Any) -> list[RecommendResponse]:
        sizes.append(len(requests))
        return original(self, requests, *rest)

    monkeypatch.setattr(Engine, "recommend_batch", counted)

    async def ask(port: int, count: int) -> list[bytes]:
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
        for number, (_, writer) in enumerate(streams):
            body = b'{"history": ["item-%d"], "k": 3}' % number
            writer.write(
                b"POST /recommend HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
        answers = [await reader.read() for reader, _ in streams]
        for _, writer in streams:
            writer.close()
        return answers

    with serving(make_settings(root, tmp_path)) as client:
        alone = [client.recommend(f"item-{number}", k=3) for number in range(40)]
        answers = asyncio.run(ask(client.port, 40))
        assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)
        assert sum(sizes) == 80
        assert max(sizes) <= 16
        for one, answer in zip(alone, answers, strict=True):
            together = json.loads(answer.partition(b"\r\n\r\n")[2])
            assert [item["item_id"] for item in together["items"]] == [item["item_id"] for item in one["items"]]
        for stage in ("wait", "query", "search", "write"):
            assert metric(client, f'kindred_recommendation_stage_seconds_count{{stage="{stage}"}}') > 0
        assert metric(client, "kindred_recommendations_together_sum") == 80
