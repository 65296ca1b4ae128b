"""Registrations that meet and repeat: does an id get one row with its first content, and a key one answer?

    python -m benchmarks.registrations --artifacts <root> [--requests 10000] [--json <file>]

Services run as processes of their own on one PostgreSQL database. About eight requests register each id at once, at all
services, most of them with one content, the others with another. A third of the requests have an Idempotency-Key. For
most of these the benchmark cuts the connection after sending; it sends all of them twice more, at other services. It
tries a 503 with Retry-After again. At the end it compares the database, every answer, and what each service serves.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import create_engine, make_url, text

from benchmarks.postgres_database import postgres_database
from benchmarks.service_process import running_service
from model.items import Item

_TOGETHER = 8  # requests for each id
_KEYED = 1 / 3  # share of requests with a key
_CUT = 0.7  # share of those whose first connection is cut
_OTHER = 0.3  # share of requests with another content


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, the first faults and one line of JSON. Returns 1 if there are faults."""
    options = _parse(arguments)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(postgres_database(options.database_url))
        ports = []
        for number in range(options.services):
            (own := folder / str(number)).mkdir()
            settings = {"KINDRED_DATABASE_URL": url, "KINDRED_DATABASE_TIMEOUT": "30"}
            ports.append(stack.enter_context(running_service(options.artifacts, own, **settings)).port)
        campaign = Campaign(ports, url, options.requests, options.connections)
        campaign.go()
        faults = campaign.faults()
    for name, value in campaign.figures.items():
        print(f"{name:>18}  {value}")
    for fault in faults[:20]:
        print(f"fault: {fault}", file=sys.stderr)
    line = json.dumps(campaign.figures | {"faults": len(faults)})
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(bool(faults))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--requests", type=int, default=10_000, help="registrations, each sent at least once")
    parser.add_argument("--connections", type=int, default=24, help="how many registrations run at once")
    parser.add_argument("--services", type=int, default=3)
    parser.add_argument("--database-url", help="a PostgreSQL server whose user may make databases")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


class Answer(NamedTuple):
    status: int
    body: bytes
    replayed: bool
    retry_after: str | None

    @property
    def problem(self) -> str:
        return str(json.loads(self.body)["type"])


@dataclass
class Registration:
    """A registration that a caller wants to be made once. answers: those that were read, without 503."""

    item: Item
    key: str | None
    cut: bool
    services: Sequence[int]  # where it is sent, one after another
    answers: list[Answer] = field(default_factory=list)


class Campaign:
    """Registrations at the services on `ports`, which share the registry at `url`.

    patience: seconds that each service gets until it serves all writes.
    """

    def __init__(
        self,
        ports: Sequence[int],
        url: str,
        requests: int,
        connections: int,
        patience: float = 30.0,
        seed: int = 0,
    ) -> None:
        self.figures: dict[str, float | int] = {}
        self._ports = ports
        self._url = url
        self._connections = connections
        self._patience = patience
        self._registrations = list(_drawn(random.Random(seed), requests, len(ports)))
        self._seen: Counter[str] = Counter()
        self._faults: list[str] = []
        self._lock = threading.Lock()

    def go(self) -> None:
        """Send all registrations in their order, as many at once as there are connections."""
        waiting = iter(self._registrations)
        began = time.perf_counter()

        def work() -> None:
            while True:
                with self._lock:
                    registration = next(waiting, None)
                if registration is None:
                    return
                self._register(registration)

        with ThreadPoolExecutor(self._connections) as threads:
            for job in [threads.submit(work) for _ in range(self._connections)]:
                job.result()
        self.figures = {
            "registrations": len(self._registrations),
            "ids": len({registration.item.item_id for registration in self._registrations}),
            "with_a_key": sum(registration.key is not None for registration in self._registrations),
            "services": len(self._ports),
            **{name: self._seen[name] for name in ("sent", "cut", "refused_503", "created", "unchanged")},
            **{name: self._seen[name] for name in ("conflicts", "replayed")},
            "seconds": round(time.perf_counter() - began, 1),
            "cores": os.cpu_count() or 0,
        }

    def faults(self) -> list[str]:
        """Return the faults in the answers, in the rows, and in what the services serve."""
        by_id: dict[str, list[Registration]] = defaultdict(list)
        for registration in self._registrations:
            by_id[registration.item.item_id].append(registration)
            self._faults += _of_key(registration)
        expected: dict[str, Item] = {}
        for item_id, registrations in by_id.items():
            acknowledged = {one.item.title: one.item for one in registrations if _acknowledged(one)}
            created = [one for one in registrations if _outcome(one) == "created"]
            if len(acknowledged) != 1 or len(created) != 1:
                self._faults.append(f"{item_id}: {len(acknowledged)} contents acknowledged, {len(created)} created")
                continue
            expected[item_id] = created[0].item
        self._hold_rows(expected)
        for port in self._ports:
            self._hold_served(port, expected)
        return self._faults

    def _register(self, registration: Registration) -> None:
        """Send it to its services until each has answered. A cut one does not read its first answer."""
        body = json.dumps(registration.item.to_dict()).encode()
        headers = {"Content-Type": "application/json"}
        if registration.key is not None:
            headers["Idempotency-Key"] = f'"{registration.key}"'
        for place, service in enumerate(registration.services):
            while True:
                connection = http.client.HTTPConnection("127.0.0.1", self._ports[service], timeout=120)
                with closing(connection):
                    connection.request("POST", "/items", body, headers)
                    self._count("sent")
                    if registration.cut and place == 0:
                        self._count("cut")
                        break
                    reply = connection.getresponse()
                    headed = reply.headers
                    replayed = headed.get("Idempotency-Replayed") == "true"
                    answer = Answer(reply.status, reply.read(), replayed, headed.get("Retry-After"))
                if answer.status == 503 and answer.retry_after is not None:
                    self._count("refused_503")
                    time.sleep(float(answer.retry_after))
                    continue
                registration.answers.append(answer)
                self._judge(registration, answer)
                break

    def _judge(self, registration: Registration, answer: Answer) -> None:
        item_id = registration.item.item_id
        if answer.status in (200, 201):
            outcome = json.loads(answer.body)["outcome"]
            self._count("replayed" if answer.replayed else outcome)
            if (answer.status, outcome) not in ((201, "created"), (200, "unchanged")):
                self._fault(f"{item_id}: {answer.status} {outcome}")
        elif answer.status == 409 and answer.problem == "/problems/item-conflict":
            self._count("conflicts")
        else:
            self._fault(f"{item_id}: {answer.status} {answer.body.decode()}")

    def _hold_rows(self, expected: dict[str, Item]) -> None:
        url = make_url(self._url)
        engine = create_engine(url if url.drivername == "sqlite" else url.set(drivername="postgresql+psycopg"))
        with closing(engine.connect()) as connection:
            rows = connection.execute(text("SELECT item_id, content_hash, revision FROM kindred_items")).all()
            keys = set(connection.execute(text("SELECT key FROM kindred_idempotency_keys")).scalars())
        engine.dispose()
        self.figures |= {"rows": len(rows), "keys_kept": len(keys)}
        for item_id, count in Counter(row.item_id for row in rows).items():
            if count != 1:
                self._fault(f"{item_id}: {count} rows")
        there = {row.item_id: (row.content_hash, row.revision) for row in rows}
        for item_id, item in expected.items():
            if there.get(item_id) != (item.content_hash(), 1):
                self._fault(f"{item_id}: its row is {there.get(item_id)}, not revision 1 of the acknowledged content")
        answered = {one.key for one in self._registrations if one.key is not None and _acknowledged(one)}
        if keys != answered:
            self._fault(f"{len(keys ^ answered)} keys are stored without an acknowledged answer or vice versa")

    def _hold_served(self, port: int, expected: dict[str, Item]) -> None:
        end = time.monotonic() + self._patience
        while True:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
                connection.request("GET", "/items/export?source=registered")
                lines = connection.getresponse().read().splitlines()
            items = [Item.from_dict(json.loads(line)) for line in lines]
            wrong = expected.keys() ^ {item.item_id for item in items}
            wrong |= {item.item_id for item in items if expected.get(item.item_id) != item}
            if not wrong or time.monotonic() > end:
                break
            time.sleep(0.2)
        if wrong:
            self._fault(
                f"port {port} serves {len(wrong)} items that differ from the acknowledged ones: {sorted(wrong)[:3]}"
            )

    def _count(self, name: str) -> None:
        with self._lock:
            self._seen[name] += 1

    def _fault(self, fault: str) -> None:
        with self._lock:
            self._faults.append(fault)


def _drawn(rng: random.Random, requests: int, services: int) -> Iterator[Registration]:
    for number in range(requests):
        item_id = f"item {number // _TOGETHER}"
        content = "another" if rng.random() < _OTHER else "one"
        item = Item(item_id, title=f"{content} red lamp {number // _TOGETHER}", brand="Alba")
        places = [rng.randrange(services)]
        if rng.random() >= _KEYED:
            yield Registration(item, None, False, places)
            continue
        while len(places) < 3:
            places.append((places[-1] + rng.randrange(1, max(2, services))) % services)
        yield Registration(item, f"key {number}", rng.random() < _CUT, places)


def _acknowledged(registration: Registration) -> bool:
    return any(answer.status < 300 for answer in registration.answers)


def _outcome(registration: Registration) -> Any:
    """Return the outcome in the first answer, which the others repeat."""
    return json.loads(registration.answers[0].body).get("outcome")


def _of_key(registration: Registration) -> list[str]:
    """Return the faults in the answers to one request that was sent several times."""
    answers = registration.answers
    name = f"{registration.item.item_id}, {registration.key}"
    if not _acknowledged(registration):
        return []  # refused each time; `_judge` has checked that
    if len({(answer.status, answer.body) for answer in answers}) != 1:
        return [f"{name}: answers differ: {[(answer.status, answer.body) for answer in answers]}"]
    first = [answer for answer in answers if not answer.replayed]
    if len(first) > 1 or (first and answers[0] is not first[0]):
        return [f"{name}: carried out {len(first)} times"]
    return []


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # also ends the services and the server
    sys.exit(main())
