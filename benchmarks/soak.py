"""Hours of mixed load at a modest rate: do memory, threads and file descriptors stay flat?

    python -m benchmarks.soak --artifacts <root> [--seconds 3600] [--rate 20] [--csv <file>]      (make soak)

The load recommends, asks for similar items, registers, replaces and deletes a fixed set of items, reads the metrics,
and leaves requests and answers half way. The verdict is the slope of each measure over the second half of the run
(least squares) times the length of that half: its growth, without the noise of single samples.

First the benchmark replaces items until the service has compacted the catalogue five times (`--settle`). Rows of
replaced items stay until they are a third of all rows, and memory is highest after the fourth compaction. A slow disk
makes this long; TMPDIR=/dev/shm puts the registry into memory.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.raw_http import Answer, Connection, TurnedAway, Unanswered
from benchmarks.service_process import running_service
from model.artifact import Artifact

_CALLERS = 4
_POOL = 400  # items to register, replace and delete; ids come again, because each deleted one leaves a tombstone
# How much a measure may grow in the second half of a run: a share of its median, but at least the second number.
TOLERANCES = {"rss_mib": (0.02, 4.0), "threads": (0.0, 0.5), "descriptors": (0.0, 1.0)}


class Sample(NamedTuple):
    """One sample of a process. seconds: since the first one."""

    seconds: float
    rss_mib: float
    threads: int
    descriptors: int


class Verdict(NamedTuple):
    measure: str
    median: float  # of the second half
    growth: float  # in the second half, by its slope
    allowed: float
    first: float  # at the beginning of the run
    last: float  # at its end

    @property
    def flat(self) -> bool:
        return self.growth <= self.allowed


def sample(pid: int, seconds: float) -> Sample:
    """Sample a process (Linux). Raises FileNotFoundError if it has ended."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    rss = int(fields["VmRSS"].split()[0]) / 1024
    return Sample(seconds, rss, int(fields["Threads"]), len(os.listdir(f"/proc/{pid}/fd")))


def judge(samples: Sequence[Sample]) -> list[Verdict]:
    """Return a verdict for each measure of `TOLERANCES`. Raises ValueError for fewer than eight samples."""
    if len(samples) < 8:
        raise ValueError(f"{len(samples)} samples are too few for a slope; run longer, or sample more often")
    half = samples[len(samples) // 2 :]
    seconds = np.array([one.seconds for one in half])
    verdicts = []
    for measure, (share, least) in TOLERANCES.items():
        values = np.array([float(getattr(one, measure)) for one in half])
        slope = float(np.polyfit(seconds - seconds[0], values, 1)[0])
        median = float(np.median(values))
        growth = slope * float(seconds[-1] - seconds[0])
        first, last = float(getattr(samples[0], measure)), float(values[-1])
        verdicts.append(Verdict(measure, median, growth, max(share * median, least), first, last))
    return verdicts


class Load:
    """Mixed requests at a fixed rate over a few connections; `done` counts them by kind and status."""

    def __init__(self, port: int, item_ids: Sequence[str], rate: float, seed: int = 0) -> None:
        self._port = port
        self._item_ids = item_ids
        self._rate = rate
        self._random = random.Random(seed)
        self._connections = [Connection(port) for _ in range(_CALLERS)]
        self._turn = 0
        self.done: Counter[str] = Counter()
        self.odd: list[str] = []  # answers that a healthy service never gives

    async def settle(self, replacements: int) -> None:
        """Replace items of the pool so many times, as fast as the service can."""
        turns = iter(range(replacements))  # shared by all connections

        async def work(connection: Connection) -> None:
            for _ in turns:
                self._note("put", await connection.ask(*self._request("put")))

        await asyncio.gather(*(work(connection) for connection in self._connections))
        self.done.clear()

    async def run(self, seconds: float) -> None:
        """Open loop: send each request at its time, whether or not earlier ones have their answers."""
        began = time.monotonic()
        pending: set[asyncio.Task[None]] = set()
        free: asyncio.Queue[Connection] = asyncio.Queue()
        for connection in self._connections:
            free.put_nowait(connection)
        count = 0
        while (now := time.monotonic() - began) < seconds:
            if count / self._rate > now:
                await asyncio.sleep(count / self._rate - now)
            count += 1
            connection = await free.get()
            task = asyncio.create_task(self._one(connection, free))
            pending.add(task)
            task.add_done_callback(pending.discard)
        await asyncio.gather(*pending)
        for connection in self._connections:
            connection.close()

    async def _one(self, connection: Connection, free: asyncio.Queue[Connection]) -> None:
        try:
            kind = self._random.choices(tuple(_KINDS), tuple(_KINDS.values()))[0]
            if kind == "half a request":
                await connection.send_part(b"POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5000\r\n\r\n{")
                self.done[kind] += 1
            elif kind == "no waiting":
                await connection.send_part(b"GET /items/export HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
                self.done[kind] += 1
            else:
                self._note(kind, await connection.ask(*self._request(kind)))
        except (Unanswered, TurnedAway) as error:
            self.odd.append(f"{kind}: {type(error).__name__} {error}")
        finally:
            free.put_nowait(connection)

    def _note(self, kind: str, answer: Answer) -> None:
        self.done[f"{kind} {answer.status}"] += 1
        if answer.status not in _EXPECTED:
            self.odd.append(f"{kind}: {answer.status} {answer.body[:300].decode(errors='replace')}")

    def _request(self, kind: str) -> tuple[str, str, Any]:
        history = self._random.sample(self._item_ids, min(10, len(self._item_ids)))
        self._turn += 1
        item_id = f"soak-{self._random.randrange(_POOL)}"
        content = {
            "title": f"a thing of turn {self._turn}",
            "brand": "Soak",
            "categories": ["Soak", str(self._turn % 9)],
        }
        match kind:
            case "recommend":
                return "POST", "/recommend", {"history": history, "k": 10}
            case "batch":
                return "POST", "/recommend/batch", {"requests": [{"history": history, "k": 10}] * 8}
            case "similar":
                return "GET", f"/items/{history[0]}/similar?k=10", None
            case "put":
                return "PUT", f"/items/{item_id}", content
            case "post":
                return "POST", "/items", {"item_id": item_id, **content}
            case "delete":
                return "DELETE", f"/items/{item_id}", None
            case _:
                return "GET", "/metrics", None


_KINDS = {
    "recommend": 60,
    "batch": 5,
    "similar": 10,
    "put": 8,
    "post": 4,
    "delete": 6,
    "metrics": 3,
    "half a request": 2,
    "no waiting": 2,
}
_EXPECTED = {200, 201, 204, 404, 409}  # answers of a healthy service to this load


async def soak(pid: int, load: Load, seconds: float, every: float, note: Path | None = None) -> list[Sample]:
    """Load the service and sample it every `every` seconds. note: a CSV file that gets each sample at once."""
    samples: list[Sample] = []
    began = time.monotonic()
    working = asyncio.create_task(load.run(seconds))
    while not working.done():
        samples.append(sample(pid, round(time.monotonic() - began, 2)))
        if note is not None:
            with note.open("a", newline="", encoding="utf-8") as file:
                csv.writer(file).writerow(samples[-1])
        await asyncio.wait({working}, timeout=every)
    await working
    return samples


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the verdicts, then one line of JSON. Returns 1 if a measure grew or an answer was unexpected."""
    options = _parse(arguments)
    item_ids = Artifact.load(options.artifacts).items.item_ids
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(options.artifacts, Path(folder), KINDRED_LOG_LEVEL="warning") as running,
    ):
        load = Load(running.port, item_ids, options.rate)
        every = options.every or max(options.seconds / 400, 0.25)
        settle = max(2500, len(item_ids) * 5 // 2) if options.settle is None else options.settle

        async def all_of_it() -> list[Sample]:
            await load.settle(settle)
            return await soak(running.process.pid, load, options.seconds, every, options.csv)

        samples = asyncio.run(all_of_it())
    verdicts = judge(samples)
    for kind, count in sorted(load.done.items()):
        print(f"{count:>8}  {kind}")
    for verdict in verdicts:
        print(
            f"{verdict.measure:>12}: {verdict.first:.1f} at first, {verdict.median:.1f} in the second half, "
            f"where it grew by {verdict.growth:+.2f} (at most {verdict.allowed:.2f}): "
            f"{'flat' if verdict.flat else 'GROWS'}"
        )
    for odd in load.odd[:20]:
        print(f"unexpected: {odd}")
    figures = {
        "seconds": options.seconds,
        "rate": options.rate,
        "requests": sum(load.done.values()),
        "samples": len(samples),
        "unexpected": len(load.odd),
        "flat": all(verdict.flat for verdict in verdicts),
        "verdicts": [verdict._asdict() for verdict in verdicts],
    }
    print(json.dumps(figures))
    return int(bool(load.odd) or not figures["flat"])


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--settle", type=int, help="items to replace before the first sample (2.5 times the catalogue)")
    parser.add_argument("--every", type=float, help="seconds between two samples (a 400th of the run)")
    parser.add_argument("--csv", type=Path, help="write each sample to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
