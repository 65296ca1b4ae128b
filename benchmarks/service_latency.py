"""Latency of the service: from start to ready, of `/recommend` over one keep-alive connection, and of new items.

    python -m benchmarks.service_latency --artifacts <root> [--requests 2000] [--items 500] [--json <file>]

The service runs as a process of its own; client and server share the machine. In turns with it, the same requests go to
a bare FastAPI endpoint (`benchmarks/bare_endpoint.py`). New items have the content of catalogue items and ids of their
own; when the service answers, each is on disk and can be recommended. The registry lies in TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from benchmarks.bare_endpoint import bare_endpoint
from benchmarks.histories import histories
from benchmarks.service_process import running_service

LIMITS = {"ready_seconds": 10.0, "p50_ms": 3.0}
_TURN = 25  # requests to the service, then as many to the bare endpoint, so that busy moments of the machine hit both


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, then one line of JSON. Returns 1 if a limit of `LIMITS` is missed."""
    options = _parse(arguments)
    chosen = histories(options.artifacts, options.requests + options.warmup, options.history)
    bodies = [json.dumps({"history": history, "k": options.k}).encode() for history in chosen]
    began = time.perf_counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(running_service(options.artifacts, folder))
        ready = time.perf_counter() - began
        service = stack.enter_context(closing(_Client(running.port)))
        endpoint = stack.enter_context(bare_endpoint(service.ask("POST", "/recommend", bodies[0])[1], folder))
        bare = stack.enter_context(closing(_Client(endpoint.port)))
        seconds: dict[str, list[float]] = {"": [], "bare_": []}
        for start in range(0, len(bodies), _TURN):
            for name, client in (("", service), ("bare_", bare)):
                seconds[name] += [_timed(client, "/recommend", body) for body in bodies[start : start + _TURN]]
        seconds["register_"] = [_timed(service, "/items", body) for body in _items(service, options.items)]
    figures: dict[str, float | int | str] = {
        "requests": options.requests,
        "history": options.history,
        "k": options.k,
        "ready_seconds": round(ready, 2),
    }
    for name, every in seconds.items():
        skipped = options.items // 10 if name == "register_" else options.warmup
        milliseconds = np.array(every[skipped:]) * 1000
        for percent in (50, 90, 99):
            figures[f"{name}p{percent}_ms"] = round(float(np.percentile(milliseconds, percent)), 3)
        figures[f"{name}mean_ms"] = round(float(milliseconds.mean()), 3)
    figures |= {"cores": os.cpu_count() or 0, "python": platform.python_version()}
    for name, value in figures.items():
        limit = f"   (at most {LIMITS[name]})" if name in LIMITS else ""
        print(f"{name:>16}  {value}{limit}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(any(float(figures[name]) > limit for name, limit in LIMITS.items()))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--warmup", type=int, default=100, help="requests before the counted ones")
    parser.add_argument("--history", type=int, default=10, help="items in a history")
    parser.add_argument("--k", type=int, default=10, help="items to recommend")
    parser.add_argument("--items", type=int, default=500, help="new items; the first tenth does not count")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


class _Client:
    """The part of HTTP/1.1 that this needs, on one connection.

    The measured time includes the client's own, and `http.client` takes more than a tenth of a millisecond a request.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Send a request; return status and body of the answer."""
        fields = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, content = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length is None:
            raise RuntimeError(f"the answer has no Content-Length: {head!r}")
        while len(content) < int(length[1]):
            content += self._receive()
        return int(head.split(maxsplit=2)[1]), content

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        if not (data := self._socket.recv(1 << 16)):
            raise RuntimeError("the server closed the connection")
        return data


def _items(client: _Client, count: int) -> list[bytes]:
    """Return bodies of new items."""
    bodies: list[bytes] = []
    cursor = ""
    while len(bodies) < count:
        _, answer = client.ask("GET", f"/items?limit=1000&content=true{cursor}")
        page = json.loads(answer)
        contents = [item["content"] | {"item_id": f"new {item['item_id']}"} for item in page["items"]]
        bodies += [json.dumps(content).encode() for content in contents if len(content) > 1]
        if not page.get("next_cursor"):
            break
        cursor = f"&cursor={page['next_cursor']}"
    return bodies[:count]


def _timed(client: _Client, path: str, body: bytes) -> float:
    began = time.perf_counter()
    status, answer = client.ask("POST", path, body)
    seconds = time.perf_counter() - began
    if status not in (200, 201):
        raise RuntimeError(f"status {status}: {answer.decode()}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
