"""Latency of the service on an artifact: start to ready, then `/recommend` over one keep-alive connection.

    python benchmarks/service_latency.py --artifacts <root> [--requests 2000] [--json <file>]

The service runs as a process of its own, client and server share the machine. The client is `http.client` of
the standard library on one connection, the leanest there is: on the same cores, what a client spends on a
request would be measured as the service's.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from model.artifact import Artifact

REPOSITORY = Path(__file__).resolve().parent.parent
LIMITS = {"ready_seconds": 10.0, "p50_ms": 3.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table and, at its end, one line of JSON. Exit code 1: a limit of `LIMITS` is missed."""
    options = _parse(arguments)
    histories = _histories(options.artifacts, options.requests + options.warmup, options.history)
    bodies = [json.dumps({"history": history, "k": options.k}).encode() for history in histories]
    with tempfile.TemporaryDirectory() as folder, _service(options.artifacts, Path(folder)) as (client, ready):
        seconds = [_timed(client, body) for body in bodies][options.warmup :]
    milliseconds = np.array(seconds) * 1000
    figures: dict[str, float | int | str] = {
        "requests": len(seconds),
        "history": options.history,
        "k": options.k,
        "ready_seconds": round(ready, 2),
        "p50_ms": round(float(np.percentile(milliseconds, 50)), 3),
        "p90_ms": round(float(np.percentile(milliseconds, 90)), 3),
        "p99_ms": round(float(np.percentile(milliseconds, 99)), 3),
        "mean_ms": round(float(milliseconds.mean()), 3),
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
    }
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


def _histories(artifacts: Path, count: int, length: int) -> list[list[str]]:
    """Seeded histories of distinct items, by their popularity."""
    table = Artifact.load(artifacts).items
    rng = np.random.default_rng(0)
    weight = table.popularity + 1.0
    chosen = (rng.choice(len(table), length, replace=False, p=weight / weight.sum()) for _ in range(count))
    return [[table.item_ids[index] for index in indices] for indices in chosen]


@contextmanager
def _service(artifacts: Path, folder: Path) -> Iterator[tuple[http.client.HTTPConnection, float]]:
    """The service as a process, once ready: (connection, seconds from its start until it was ready)."""
    command = [sys.executable, "-m", "service", "--port", "0", "--artifacts", str(artifacts.resolve())]
    environment = os.environ | {"KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db"}
    began = time.perf_counter()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            words = [word.rstrip(";") for word in line.split() if word.startswith("http://")]
            if not words:
                raise RuntimeError(f"the service did not start:\n{(folder / 'log').read_text()}")
            client = http.client.HTTPConnection("127.0.0.1", urlsplit(words[0]).port, timeout=60)
            while (answer := _ask(client, "GET", "/readyz"))[0] != 200:
                if time.perf_counter() - began > 120:
                    raise RuntimeError(f"the service is not ready: {answer[1].decode()}")
                time.sleep(0.02)
            yield client, time.perf_counter() - began
            client.close()
        finally:
            process.terminate()
            process.wait(30)
            if process.stdout:
                process.stdout.close()


def _timed(client: http.client.HTTPConnection, body: bytes) -> float:
    began = time.perf_counter()
    status, answer = _ask(client, "POST", "/recommend", body)
    seconds = time.perf_counter() - began
    if status != 200:
        raise RuntimeError(f"status {status}: {answer.decode()}")
    return seconds


def _ask(client: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    client.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    answer = client.getresponse()
    return answer.status, answer.read()


if __name__ == "__main__":
    sys.exit(main())
