"""SIGTERM under load, again and again: does every sent request get its answer, and how long does a stop take?

    python -m benchmarks.sigterm --artifacts <root> [--times 100] [--callers 16] [--drain 2]      (make sigterm)

Each round starts the service, puts it under mixed load over keep-alive connections, and stops it at a random moment.
Callers go on as if they had not noticed, and open new connections, until nothing listens. A request fails if any byte
of it was sent and it has no complete 2xx answer. An acknowledged item that is not in the registry afterwards is a
failure too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.raw_http import Answer, Connection, TurnedAway, Unanswered
from benchmarks.service_process import Running, running_service
from model.artifact import Artifact

LIMIT = 30.0  # seconds from SIGTERM to the end of the process
_PROBE = 0.05  # seconds between two requests for /readyz


class Round:
    """One stop: the callers and the outcome of their requests."""

    def __init__(self, running: Running, item_ids: Sequence[str], seed: str) -> None:
        self._running = running
        self._item_ids = item_ids
        self._random = random.Random(seed)
        self._seed = seed
        self.answered = 0
        self.failures: list[str] = []
        self.in_flight = 0
        self.in_flight_at_stop = 0
        self.acknowledged: list[str] = []
        self.said_stopping = False
        self.exit_seconds = 0.0

    async def run(self, callers: int, load_seconds: float) -> None:
        """Load the service, send SIGTERM meanwhile, and wait until the process and every caller have ended."""
        tasks = [asyncio.create_task(self._call(number)) for number in range(callers)]
        prober = asyncio.create_task(self._probe())
        await asyncio.sleep(load_seconds * self._random.uniform(0.5, 1.0))
        self.in_flight_at_stop = self.in_flight
        began = time.perf_counter()
        self._running.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self._running.process.wait, 2 * LIMIT)
        self.exit_seconds = time.perf_counter() - began
        await asyncio.gather(*tasks, prober)
        if not self.said_stopping:
            self.failures.append("/readyz never said that the service stops")
        if self._running.process.returncode not in (0, -signal.SIGTERM):
            self.failures.append(f"exit code {self._running.process.returncode}")

    async def _call(self, number: int) -> None:
        """Be one caller, with no, a short or a long pause between requests. Every fourth caller sends slowly."""
        rng = random.Random(f"{self._seed}:{number}")
        connection = Connection(self._running.port)
        pause = (0.0, 0.02, 0.5)[number % 3]
        count = 0
        while True:
            count += 1
            method, path, body = self._request(rng, f"r{self._seed}-{number}-{count}")
            self.in_flight += 1
            try:
                answer = await connection.ask(method, path, body, pause=0.1 if number % 4 == 3 else 0.0)
            except TurnedAway:
                return
            except Unanswered as error:
                self.failures.append(str(error))
                continue
            finally:
                self.in_flight -= 1
            self._note(method, path, body, answer)
            await asyncio.sleep(pause * rng.random())

    def _note(self, method: str, path: str, body: Any, answer: Answer) -> None:
        self.answered += 1
        if not 200 <= answer.status < 300:
            self.failures.append(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
        elif path == "/items":
            self.acknowledged.append(body["item_id"])

    def _request(self, rng: random.Random, new: str) -> tuple[str, str, Any]:
        history = rng.sample(self._item_ids, min(10, len(self._item_ids)))
        what = rng.random()
        if what < 0.7:
            return "POST", "/recommend", {"history": history, "k": 10}
        if what < 0.8:
            return "POST", "/recommend/batch", {"requests": [{"history": history, "k": 20}] * 16}
        if what < 0.9:
            return "POST", "/items", {"item_id": new, "title": f"a new thing, number {new}", "brand": "Campaign"}
        if what < 0.95:
            return "GET", f"/items/{self._item_ids[0]}/similar?k=5", None
        return "GET", "/items/export?source=registered", None

    async def _probe(self) -> None:
        """Ask as a proxy does whether the service is ready, each time on a new connection."""
        while True:
            connection = Connection(self._running.port)
            try:
                answer = await connection.ask("GET", "/readyz")
            except TurnedAway:
                return
            except Unanswered as error:
                self.failures.append(str(error))
                continue
            finally:
                connection.close()
            if answer.status == 503 and b"stopping" in answer.body:
                self.said_stopping = True
            elif answer.status != 200 or self.said_stopping:
                self.failures.append(f"/readyz: {answer.status} {answer.body[:200]!r}")
            await asyncio.sleep(_PROBE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each round, then one line of JSON. Returns 1 if a request failed or a stop took too long."""
    options = _parse(arguments)
    item_ids = Artifact.load(options.artifacts).items.item_ids
    rounds: list[Round] = []
    for number in range(options.times):
        with tempfile.TemporaryDirectory() as folder:
            settings = {"KINDRED_DRAIN": str(options.drain)}
            with running_service(options.artifacts, Path(folder), **settings) as running:
                one = Round(running, item_ids, f"{options.seed}.{number}")
                asyncio.run(one.run(options.callers, options.load))
            lost = _missing(Path(folder) / "registry.db", one.acknowledged)
            one.failures += [f"acknowledged and not in the registry: {item_id}" for item_id in lost]
        rounds.append(one)
        print(
            f"{number + 1:>4}  {one.answered:>6} answered, {one.in_flight_at_stop:>3} in flight at SIGTERM, "
            f"{len(one.failures)} failed, ended after {one.exit_seconds:.2f} s",
            flush=True,
        )
        for failure in one.failures[:5]:
            print(f"      {failure}", flush=True)
    figures = {
        "stops": len(rounds),
        "answered": sum(one.answered for one in rounds),
        "in_flight_at_sigterm": sum(one.in_flight_at_stop for one in rounds),
        "acknowledged_items": sum(len(one.acknowledged) for one in rounds),
        "failed": sum(len(one.failures) for one in rounds),
        "exit_seconds_max": round(max(one.exit_seconds for one in rounds), 2),
        "drain_seconds": options.drain,
        "callers": options.callers,
        "cores": os.cpu_count() or 0,
    }
    print(json.dumps(figures))
    return int(bool(figures["failed"]) or float(figures["exit_seconds_max"] or 0) >= LIMIT)


def _missing(registry: Path, item_ids: Sequence[str]) -> list[str]:
    connection = sqlite3.connect(registry)
    try:
        found = {row[0] for row in connection.execute("SELECT item_id FROM kindred_items WHERE status = 'active'")}
    finally:
        connection.close()
    return [item_id for item_id in item_ids if item_id not in found]


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--times", type=int, default=100, help="how often the service is stopped")
    parser.add_argument("--callers", type=int, default=16, help="keep-alive connections")
    parser.add_argument("--load", type=float, default=1.0, help="most seconds of load before SIGTERM")
    parser.add_argument("--drain", type=float, default=2.0, help="KINDRED_DRAIN")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
