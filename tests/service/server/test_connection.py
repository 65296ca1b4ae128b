"""Limits of connections, over real sockets: slow, silent, stuck and too many ones are ended, the memory that large
bodies take is bounded, and probes are answered all the while.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.server.connection import PIPELINE_MAX, RESERVE
from tests.support.service import Client, Reply, make_settings, refused, serving
from tests.support.wire import connect, exchange, read_replies

TIMEOUT = 0.6
POST = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def client(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    settings = make_settings(
        root, tmp_path_factory.mktemp("service"), read_timeout=TIMEOUT, keep_alive=1, body_max=200_000
    )
    with serving(settings) as client:
        yield client


def drip(port: int, begin: bytes, drop: bytes) -> list[Reply]:
    """Send `begin`, then a drop ten times a second until the server ends it; what it answered."""
    with connect(port) as raw:
        raw.sendall(begin)
        ended = threading.Event()

        def send() -> None:
            while not ended.wait(0.1):
                try:
                    raw.sendall(drop)
                except OSError:
                    return

        thread = threading.Thread(target=send)
        thread.start()
        try:
            return read_replies(raw)
        finally:
            ended.set()
            thread.join()


@pytest.mark.parametrize(
    ("begin", "drop"),
    [
        (b"GET /", b"a"),
        (b"", b"\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n", b"x: y\r\n"),
        (b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /li", b"v"),
        (POST + b"Content-Length: 100000\r\n\r\n", b" "),
        (CHUNKED, b"1\r\n \r\n"),
        (CHUNKED + b"5\r\n", b""),
        (CHUNKED + b"5;x=", b"y"),
        (CHUNKED + b"0\r\n", b"x: y\r\n"),
    ],
)
def test_a_request_that_comes_by_drops_gets_408(client: Client, begin: bytes, drop: bytes) -> None:
    replies = drip(client.port, begin, drop)
    assert [reply.status for reply in replies[:-1]] == [200] * (len(replies) - 1)
    refused(replies[-1], 408, "request-timeout")
    assert replies[-1].headers["connection"] == "close"


def test_a_connection_that_asks_nothing_is_closed_without_a_word(client: Client) -> None:
    with connect(client.port) as raw:
        assert read_replies(raw) == []


def test_an_idle_connection_is_closed(client: Client) -> None:
    with connect(client.port) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [reply.status for reply in read_replies(raw)] == [200]  # and the end, after keep_alive seconds


def test_what_comes_after_a_refusal_is_not_read_for_ever(client: Client) -> None:
    begin = POST + b"Content-Length: 100000000\r\n\r\n"
    replies = drip(client.port, begin, b"x" * 1000)
    assert [reply.status for reply in replies] == [413]


def test_a_body_that_gets_on_may_take_longer_than_the_timeout(client: Client) -> None:
    body = b'{"history": ["item-1"]}'.ljust(100_000)
    with connect(client.port) as raw:
        raw.sendall(POST + b"Content-Length: %d\r\n\r\n" % len(body))
        began = time.monotonic()
        for start in range(0, len(body), 10_000):
            raw.sendall(body[start : start + 10_000])
            time.sleep(TIMEOUT / 5)
        assert time.monotonic() - began > TIMEOUT
        assert [reply.status for reply in read_replies(raw, 1)] == [200]


def keep_sending(raw: socket.socket, data: bytes) -> None:
    while True:
        raw.sendall(data)
        time.sleep(0.01)


def test_an_answer_that_nobody_takes_is_given_up(client: Client) -> None:
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(30)
        raw.connect(("127.0.0.1", client.port))
        # Far more than the buffers on the way hold; the server stops reading when they are full.
        request = b"GET /items/export HTTP/1.1\r\nHost: x\r\n\r\n"
        with pytest.raises(ConnectionError):  # an abort, not an orderly end
            keep_sending(raw, request)


def test_pipelined_requests_are_answered_in_order_and_only_so_many_wait(client: Client) -> None:
    one = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with connect(client.port) as raw:
        raw.sendall(one * PIPELINE_MAX)
        assert [reply.status for reply in read_replies(raw, PIPELINE_MAX)] == [200] * PIPELINE_MAX
    replies = exchange(client.port, one * 1000)
    assert [reply.status for reply in replies] == [400]
    refused(replies[-1], 400, "bad-http")


def test_trailers_are_no_headers_and_have_an_end(client: Client) -> None:
    body = b'{"history": ["item-1"]}'
    chunk = b"%x\r\n%s\r\n0\r\n" % (len(body), body)
    without_type = b"POST /recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    replies = exchange(client.port, CHUNKED + chunk + b"X-Request-ID: trailer\r\n\r\n", 1)
    assert replies[0].status == 200
    assert replies[0].headers["x-request-id"] != "trailer"
    assert exchange(client.port, without_type + chunk + b"Content-Type: application/json\r\n\r\n", 1)[0].status == 415
    flood = exchange(client.port, CHUNKED + b"0\r\n" + b"x: y\r\n" * 200_000)
    assert [reply.status for reply in flood] in ([431], [])  # [] where the answer is lost with what we still sent


def test_beyond_the_most_connections_only_probes_are_answered(root: Path, tmp_path: Path) -> None:
    ask = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    with serving(make_settings(root, tmp_path, connections_max=4, queue_max=1)) as client:
        held = [client, *(Client(client.port) for _ in range(3))]
        assert [each.get("/version").status for each in held] == [200] * 4
        for path in (b"/livez", b"/readyz"):
            replies = exchange(client.port, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path)
            assert [reply.status for reply in replies] == [200]  # and closed
        for _ in range(3):
            replies = exchange(client.port, ask)
            refused(replies[0], 503, "too-many-connections")
            assert replies[0].headers["retry-after"] == "1"
            assert len(replies) == 1
        assert client.recommend("item-1")["strategy"] == "model"  # they have taken no place in the queue
        spare = [connect(client.port) for _ in range(RESERVE)]
        with connect(client.port) as beyond:
            assert read_replies(beyond) == []  # closed at once
        assert client.get("/version").status == 200  # those that have a place keep it
        for raw in spare:
            raw.close()
        held.pop().close()
        end = time.monotonic() + 30
        while exchange(client.port, b"GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")[0].status != 200:
            assert time.monotonic() < end
        for each in held:
            each.close()


def test_large_bodies_share_a_bound(root: Path, tmp_path: Path) -> None:
    settings = make_settings(root, tmp_path, body_max=400_000, bodies_max=500_000, read_timeout=5)
    part = b"%x\r\n" % 300_000 + b" " * 300_000 + b"\r\n"
    with serving(settings) as client, connect(client.port) as first, connect(client.port) as second:
        first.sendall(CHUNKED + part)
        second.sendall(CHUNKED)
        time.sleep(0.5)
        assert client.recommend("item-1")["strategy"] == "model"  # a small one is none of them
        second.sendall(part + b"%x\r\n" % 80_000 + b" " * 80_000 + b"\r\n")
        refused(read_replies(second, 1)[0], 503, "too-many-bodies")
        first.sendall(b"17\r\n" + b'{"history": ["item-1"]}' + b"\r\n0\r\n\r\n")
        assert read_replies(first, 1)[0].status == 200
        assert client.post("/recommend", b'{"history": []}'.ljust(400_000)).status == 200


def test_a_large_body_to_what_reads_none_is_no_error(client: Client) -> None:
    block = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    head = b"GET /items/export HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    replies = exchange(client.port, head + block * 20 + b"0\r\n\r\n", 1)
    assert replies[0].status in (200, 413)  # which of them, depends on what came first
    for line in replies[0].body.splitlines():
        json.loads(line)
    with connect(client.port) as raw:  # the answer is under way when the body comes
        raw.sendall(head)
        time.sleep(0.1)
        raw.sendall(block * 20 + b"0\r\n\r\n")
        reply = read_replies(raw, 1)[0]
        assert (reply.status, len(reply.body.splitlines())) == (200, 240)


def test_there_are_no_more_connections_than_files() -> None:
    cases = [  # soft and hard limit of open files; connections at most, and the soft limit afterwards
        (256, 4096, 2048, 2208),
        (256, 1024, 864, 1024),
        (4096, 8192, 2048, 4096),
        (100, 150, 1, 150),
    ]
    # A hard limit cannot be raised again, so each case has a process, forked from one that has imported the service.
    script = (
        "import os, resource\n"
        "from service.server.server import configuration\n"
        "from service.settings import Settings\n"
        f"for soft, hard in {[case[:2] for case in cases]}:\n"
        "    if os.fork() == 0:\n"
        "        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))\n"
        "        configured = configuration(None, Settings(connections_max=2048))\n"
        "        print(configured.connections_max, *resource.getrlimit(resource.RLIMIT_NOFILE), flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.wait()[1] == 0\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert found == [(most, open_files, hard) for _, hard, most, open_files in cases]
    assert done.stderr.count("fewer connections") == sum(most < 2048 for _, _, most, _ in cases)
