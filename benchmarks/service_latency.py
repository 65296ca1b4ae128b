"""Latency of the service on an artifact: start to ready, then `/recommend` over one keep-alive connection.

    python benchmarks/service_latency.py --artifacts <root> [--requests 2000] [--json <file>]

The service runs as a process of its own, client and server share the machine. Beside it, in turns, the same requests
go to a bare FastAPI endpoint, which validates them likewise and always gives the answer to the first: what FastAPI,
uvicorn and the machine take, whatever is recommended.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import uvicorn
from fastapi import FastAPI, Response

from model.artifact import Artifact
from service.schemas import RecommendRequest

REPOSITORY = Path(__file__).resolve().parent.parent
LIMITS = {"ready_seconds": 10.0, "p50_ms": 3.0}
_TURN = 25  # requests to the service, then as many to the bare endpoint: the machine's moods meet both


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table and, at its end, one line of JSON. Exit code 1: a limit of `LIMITS` is missed."""
    options = _parse(arguments)
    chosen = histories(options.artifacts, options.requests + options.warmup, options.history)
    bodies = [json.dumps({"history": history, "k": options.k}).encode() for history in chosen]
    with (
        tempfile.TemporaryDirectory() as folder,
        service_process(options.artifacts, Path(folder)) as (service, ready),
        bare_endpoint(service.ask("POST", "/recommend", bodies[0])[1], Path(folder)) as bare,
    ):
        seconds: dict[str, list[float]] = {"": [], "bare_": []}
        for start in range(0, len(bodies), _TURN):
            for name, client in (("", service), ("bare_", bare)):
                seconds[name] += [_timed(client, body) for body in bodies[start : start + _TURN]]
    figures: dict[str, float | int | str] = {
        "requests": options.requests,
        "history": options.history,
        "k": options.k,
        "ready_seconds": round(ready, 2),
    }
    for name, every in seconds.items():
        milliseconds = np.array(every[options.warmup :]) * 1000
        for percent in (50, 90, 99):
            figures[f"{name}p{percent}_ms"] = round(float(np.percentile(milliseconds, percent)), 3)
        figures[f"{name}mean_ms"] = round(float(milliseconds.mean()), 3)
    figures |= {"cores": os.cpu_count() or 0, "python": platform.python_version()}
    for name, value in figures.items():
        limit = f"   (at most {LIMITS[name]})" if name in LIMITS else ""
        print(f"{name:>14}  {value}{limit}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(any(float(figures[name]) > limit for name, limit in LIMITS.items()))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--warmup", type=int, default=100, help="requests before those that count")
    parser.add_argument("--history", type=int, default=10, help="items of a history")
    parser.add_argument("--k", type=int, default=10, help="items recommended")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def histories(artifacts: Path, count: int, length: int) -> list[list[str]]:
    """Seeded histories of distinct items, by their popularity."""
    table = Artifact.load(artifacts).items
    rng = np.random.default_rng(0)
    weight = table.popularity + 1.0
    chosen = (rng.choice(len(table), length, replace=False, p=weight / weight.sum()) for _ in range(count))
    return [[table.item_ids[index] for index in indices] for indices in chosen]


class _Client:
    """As much of HTTP/1.1 as this needs, on one connection. What a client spends on a request is measured as the
    server's, and `http.client` spends more than a tenth of a millisecond.
    """

    def __init__(self, port: int, pid: int) -> None:
        """pid: of the process that listens there."""
        self.port = port
        self.pid = pid
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer."""
        fields = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self._socket.sendall(f"{method} {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self._receive()
        head, _, content = answer.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length is None:
            raise RuntimeError(f"an answer without its length: {head!r}")
        while len(content) < int(length[1]):
            content += self._receive()
        return int(head.split(maxsplit=2)[1]), content

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        if not (data := self._socket.recv(1 << 16)):
            raise RuntimeError("the server closed the connection")
        return data


@contextmanager
def service_process(artifacts: Path, folder: Path) -> Iterator[tuple[_Client, float]]:
    """The service as a process, once ready: (connection, seconds from its start until it was ready)."""
    command = ["-m", "service", "--port", "0", "--artifacts", str(artifacts.resolve())]
    began = time.perf_counter()
    with _process(command, folder, KINDRED_DATABASE_URL=f"sqlite:///{folder}/registry.db") as client:
        while (answer := client.ask("GET", "/readyz"))[0] != 200:
            if time.perf_counter() - began > 120:
                raise RuntimeError(f"the service is not ready: {answer[1].decode()}")
            time.sleep(0.02)
        yield client, time.perf_counter() - began


@contextmanager
def bare_endpoint(answer: bytes, folder: Path) -> Iterator[_Client]:
    """The bare endpoint as a process, always answering `answer`."""
    (folder / "answer").write_bytes(answer)
    program = f"from benchmarks.service_latency import serve_bare; serve_bare({str(folder / 'answer')!r})"
    with _process(["-c", program], folder) as client:
        yield client


def serve_bare(path: str) -> None:
    """Serve one endpoint on a free port, with uvicorn as the service has it and FastAPI as it comes."""
    content = Path(path).read_bytes()
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(body: RecommendRequest) -> Response:
        return Response(content, media_type="application/json")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listener])


@contextmanager
def _process(arguments: Sequence[str], folder: Path, **environment: str) -> Iterator[_Client]:
    """A Python process that prints the address where it listens, and a connection to it."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            words = [word.rstrip(";") for word in line.split() if word.startswith("http://")]
            if not words:
                raise RuntimeError(f"the server did not start:\n{(folder / 'log').read_text()}")
            client = _Client(urlsplit(words[0]).port or 0, process.pid)
            yield client
            client.close()
        finally:
            process.terminate()
            process.wait(30)
            if process.stdout:
                process.stdout.close()


def _timed(client: _Client, body: bytes) -> float:
    began = time.perf_counter()
    status, answer = client.ask("POST", "/recommend", body)
    seconds = time.perf_counter() - began
    if status != 200:
        raise RuntimeError(f"status {status}: {answer.decode()}")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
