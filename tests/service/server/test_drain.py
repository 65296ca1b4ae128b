"""Stopping: whoever has begun to ask is answered, and is told that the connection ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn

from benchmarks.raw_http import Answer, Connection, TurnedAway, Unanswered
from service.api.app import create_app
from service.server.server import Server, configuration
from service.settings import Settings
from tests.support.service import Client, make_settings, refused


@contextmanager
def stoppable(settings: Settings, kind: type[uvicorn.Server] = Server) -> Iterator[tuple[uvicorn.Server, int]]:
    """A ready server in a thread, and its port. Signals go to `handle_exit` by hand."""
    server = kind(configuration(create_app(settings), settings))
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        client = Client(port).until_ready()
        client.close()
        yield server, port
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()
    assert not thread.is_alive()


def send(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=30)
    connection.sendall(data)
    return connection


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    with connection:
        received = b""
        while data := connection.recv(1 << 16):
            received += data
        return received


def until_draining(port: int) -> None:
    client = Client(port)
    end = time.monotonic() + 20
    while client.get("/readyz").status == 200:
        assert time.monotonic() < end
        time.sleep(0.02)
    client.close()


RECOMMEND = json.dumps({"history": ["item-1"]}).encode()
HEAD = (
    f"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(RECOMMEND)}\r\n\r\n"
)
REQUEST = HEAD.encode() + RECOMMEND


def test_while_it_drains_it_is_not_ready_and_answers_all_the_same(root: Path, tmp_path: Path) -> None:
    with stoppable(make_settings(root, tmp_path, drain=60)) as (server, port):
        idle, fresh, client = Client(port), Client(port), Client(port)
        assert idle.get("/readyz").status == 200
        assert "connection" not in idle.get("/livez").headers
        server.handle_exit(signal.SIGTERM, None)
        until_draining(port)
        assert "stopping" in refused(fresh.get("/readyz"), 503, "not-ready")["detail"]
        assert "kindred_ready 0.0" in client.get("/metrics").body.decode()
        for asking in (idle, Client(port)):
            reply = asking.post("/recommend", {"history": ["item-1"]})
            assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert client.post("/items", {"item_id": "late", "title": "soap"}).status == 201
        assert client.get("/livez").status == 200
        server.force_exit = True


def test_what_has_begun_to_arrive_is_answered(root: Path, tmp_path: Path) -> None:
    with stoppable(make_settings(root, tmp_path)) as (server, port):
        half_head = send(port, REQUEST[:30])
        half_body = send(port, REQUEST[:-5])
        second = send(port, REQUEST)  # an idle connection, on which half a request follows
        time.sleep(0.2)
        assert second.recv(1 << 16).startswith(b"HTTP/1.1 200")
        second.sendall(REQUEST[:30])
        time.sleep(0.2)
        server.handle_exit(signal.SIGINT, None)
        end = time.monotonic() + 20
        while True:  # until nobody listens
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
            except OSError:
                break
            assert time.monotonic() < end
        for connection, rest in ((half_head, REQUEST[30:]), (half_body, REQUEST[-5:]), (second, REQUEST[30:])):
            connection.sendall(rest)
            answer = all_of(connection)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert b"connection: close" in answer


def test_two_requests_sent_at_once_are_both_answered(root: Path, tmp_path: Path) -> None:
    with stoppable(make_settings(root, tmp_path, drain=60)) as (server, port):
        server.handle_exit(signal.SIGTERM, None)
        until_draining(port)
        answers = all_of(send(port, REQUEST + REQUEST))
        assert answers.count(b"HTTP/1.1 200") == 2
        assert answers.count(b"connection: close") == 1
        server.force_exit = True


def test_whoever_says_nothing_is_not_waited_for(root: Path, tmp_path: Path) -> None:
    with stoppable(make_settings(root, tmp_path, shutdown_grace=60)) as (server, port):
        silent = send(port, b"")
        idle = send(port, REQUEST)
        assert idle.recv(1 << 16).startswith(b"HTTP/1.1 200")
        server.handle_exit(signal.SIGINT, None)
        assert all_of(silent) == all_of(idle) == b""


@pytest.mark.parametrize(
    ("answer", "failed"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n{}", True),  # cut short
        (b"", True),
    ],
)
def test_a_request_without_its_whole_answer_counts_as_failed(answer: bytes, failed: bool) -> None:
    async def ask() -> Answer:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            found = await Connection(port).ask("GET", "/")
        with pytest.raises(TurnedAway):
            await Connection(port).ask("GET", "/")
        return found

    if failed:
        with pytest.raises(Unanswered):
            asyncio.run(ask())
    else:
        assert asyncio.run(ask()) == Answer(200, True, b"{}")
