"""How soon replicas see each other's writes, and whether they miss any, with slow transactions in between.

    python -m benchmarks.replication --artifacts <root> [--items 100000] [--json <file>]

Services run as processes of their own on one PostgreSQL database, which the benchmark makes and removes (on the server
of `--database-url`, or on a private one). The benchmark registers items in batches at all of them in turns. Beside that
run slow transactions: each writes an item first and commits it some seconds later, when the services have committed and
read hundreds of later ones. Probes measure the delay: the benchmark registers, replaces or deletes an item at one
service and asks the others until they show it; the clock starts at the acknowledgement. At the end it asks each service
for all its items.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import numpy as np

from benchmarks.api import Api
from benchmarks.postgres_database import postgres_database
from benchmarks.service_process import running_service
from model.items import Item
from service.registry.registry import Registry

LIMIT = 2.0  # seconds, for the 99th percentile
_PATIENCE = 120.0  # seconds after which a probe counts as missed
_WORDS = ("red", "blue", "small", "large", "soft", "bright", "classic", "travel", "soap", "lamp", "kettle", "guitar")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, then one line of JSON. Returns 1 if a row is missed or p99 is above `LIMIT`."""
    options = _parse(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(postgres_database(options.database_url))
        ports = [stack.enter_context(_service(options.artifacts, folder, url)) for _ in range(options.services)]
        run = _Run(options, url, ports)
        began = time.perf_counter()
        run.go()
        loaded = time.perf_counter() - began
        missed = run.missed()
    milliseconds = np.array(run.seconds) * 1000
    figures: dict[str, float | int] = {
        "items": run.registered,
        "slow_transactions": run.slow,
        "services": len(ports),
        "seconds": round(loaded, 1),
        "missed": missed,
        "probes": len(milliseconds),
        **{f"visible_p{percent}_ms": round(float(np.percentile(milliseconds, percent)), 1) for percent in (50, 90, 99)},
        "visible_max_ms": round(float(milliseconds.max()), 1),
        "cores": os.cpu_count() or 0,
    }
    for name, value in figures.items():
        print(f"{name:>18}  {value}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(missed > 0 or figures["visible_p99_ms"] > LIMIT * 1000)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--batch", type=int, default=100, help="items in a request")
    parser.add_argument("--rate", type=float, default=100.0, help="items registered a second; 0: as many as possible")
    parser.add_argument("--services", type=int, default=3)
    parser.add_argument("--slow", type=float, default=4.0, help="most seconds of a slow transaction")
    parser.add_argument("--probe-pause", type=float, default=0.2, help="seconds between two probes")
    parser.add_argument("--database-url", help="a PostgreSQL server whose user may make databases")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


class _Run:
    """Writers, slow transactions and probes at once. It remembers their writes for the comparison."""

    def __init__(self, options: argparse.Namespace, url: str, ports: Sequence[int]) -> None:
        self.seconds: list[float] = []  # until another service showed the write; one for each probe and service
        self.registered = self.slow = 0
        self._options = options
        self._registry = Registry(url, timeout=60)
        self._ports = ports
        self._expected: dict[str, int | None] = {}  # item id → revision, None once deleted
        self._done = threading.Event()

    def go(self) -> None:
        with ThreadPoolExecutor(5) as threads:
            beside = [threads.submit(self._commit_slowly, number) for number in range(3)]
            beside.append(threads.submit(self._probe))
            try:
                self._register()
            finally:
                self._done.set()
            for job in beside:
                job.result()

    def missed(self) -> int:
        """Return the number of rows that a service does not serve as written, 10 seconds after the last write."""
        time.sleep(10)
        active = {item_id: revision for item_id, revision in self._expected.items() if revision is not None}
        gone = self._expected.keys() - active.keys()
        wrong = 0
        for port in self._ports:
            there: dict[str, int] = {}
            cursor = ""
            with closing(_Api(port)) as client:
                while True:
                    page = client("GET", f"/items?source=registered&limit=1000{cursor}")
                    there.update((item["item_id"], item["revision"]) for item in page["items"])
                    if "next_cursor" not in page:
                        break
                    cursor = f"&cursor={page['next_cursor']}"
            wrong += sum(there.get(item_id) != revision for item_id, revision in active.items())
            wrong += sum(item_id in there for item_id in gone)
        self._registry.close()
        return wrong

    def _register(self) -> None:
        with _clients(self._ports) as clients:
            began = time.perf_counter()
            for start in range(0, self._options.items, self._options.batch):
                count = min(self._options.batch, self._options.items - start)
                items = [_item(f"item {start + number}", start + number) for number in range(count)]
                client = clients[start // self._options.batch % len(clients)]
                answer = client("POST", "/items/batch", {"items": [item.to_dict() for item in items]})
                refused = [result for result in answer["results"] if result["status"] != 201]
                if refused:
                    raise RuntimeError(f"{len(refused)} items were refused: {refused[0]}")
                self._expected.update((item.item_id, 1) for item in items)
                self.registered += count
                if self._options.rate:
                    time.sleep(max(0.0, began + self.registered / self._options.rate - time.perf_counter()))

    def _commit_slowly(self, number: int) -> None:
        rng = random.Random(number)
        for turn in itertools.count():
            if self._done.is_set():
                return
            item = _item(f"slow {number} {turn}", rng.randrange(10**6))
            with self._registry.transaction() as transaction:
                transaction.put(item, None)
                time.sleep(rng.uniform(0.1, 1.0) * self._options.slow)
            self._expected[item.item_id] = 1
            self.slow += 1

    def _probe(self) -> None:
        with _clients(self._ports) as clients:
            turn = 0
            while not self._done.is_set():
                path = f"/items/probe-{turn}"
                for revision, change in enumerate(("register", "replace", "delete"), 1):
                    writer = (turn + revision) % len(clients)
                    if change == "delete":
                        clients[writer]("DELETE", path)
                    else:
                        clients[writer]("PUT", path, {"title": f"probe {turn} {change}"})
                    written = time.perf_counter()
                    pending = [client for index, client in enumerate(clients) if index != writer]
                    while pending:
                        for client in list(pending):
                            if client.revision(path) == (0 if change == "delete" else revision):
                                self.seconds.append(time.perf_counter() - written)
                                pending.remove(client)
                        if time.perf_counter() - written > _PATIENCE:
                            raise RuntimeError(f"a service does not show the {change} of {path}")
                        time.sleep(0.002)
                self._expected[f"probe-{turn}"] = None
                turn += 1
                self._done.wait(self._options.probe_pause)


class _Api(Api):
    def revision(self, path: str) -> int:
        """Return the revision of the item at `path`, 0 if there is none."""
        status, content = self.ask("GET", path)
        if status == 404:
            return 0
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {content.decode()}")
        return int(json.loads(content)["revision"])


@contextmanager
def _clients(ports: Sequence[int]) -> Iterator[list[_Api]]:
    """Open a connection to each service."""
    with ExitStack() as stack:
        yield [stack.enter_context(closing(_Api(port))) for port in ports]


def _item(item_id: str, number: int) -> Item:
    words = random.Random(number).choices(_WORDS, k=5)
    return Item(item_id, title=f"{' '.join(words)} {number}", brand="Alba", categories=("Home", words[-1]))


@contextmanager
def _service(artifacts: Path, folder: Path, url: str) -> Iterator[int]:
    """Start a service on the database and yield its port once it is ready."""
    settings = {"KINDRED_DATABASE_URL": url, "KINDRED_DATABASE_TIMEOUT": "30"}
    with running_service(artifacts, folder, **settings) as running:
        yield running.port


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends the services and the server
    sys.exit(main())
