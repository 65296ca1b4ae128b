"""Writers that know what they were told, and what is wrong with a registry that does not fit it."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from model.items import Item
from service.registry.registry import Registry, RegistryRow
from tests.support.service import WORDS, Client, Reply, item_path, refused

_BATCH = 8  # most items of a batch
_SETTLED = "nothing was written"  # what a refusal says that leaves no doubt


class State(NamedTuple):
    """What an id stands for. `item` is None for one that is deleted, or (revision 0) was never there."""

    item: Item | None
    revision: int


ABSENT = State(None, 0)
Change = Mapping[str, State]


class Request(NamedTuple):
    method: str
    path: str
    body: bytes | None
    change: Change  # what it makes of the items it names


class Writer:
    """One connection that creates, replaces and deletes items of its own, singly and in batches.

    `known` is what was acknowledged; `doubt` are changes of which no answer came, each to be found whole or not at
    all. An item in doubt is left alone until `settle`. disk_may_fail: a 500 is no fault of the service's; SQLite takes
    a disk that cannot be read for a damaged file.
    """

    def __init__(self, name: str, seed: int, disk_may_fail: bool = False) -> None:
        self.name = name
        self._disk_may_fail = disk_may_fail
        self.known: dict[str, State] = {}
        self.doubt: list[Change] = []
        self.answers: Counter[int] = Counter()
        self.sent_at: float | None = None  # of a request that has no answer
        self.found: list[Change] = []  # that were in doubt and had been written
        self._random = random.Random(seed)
        self._made = 0

    @property
    def acknowledged(self) -> int:
        return sum(count for status, count in self.answers.items() if status < 300)

    def write(self, port: int, stop: threading.Event) -> None:
        """Send one request after another, until the service is gone or `stop` is set."""
        self.sent_at = None
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            while not stop.is_set():
                request = self._draw()
                try:
                    connection.request(request.method, request.path, request.body, {"Content-Type": "application/json"})
                    self.sent_at = time.monotonic()
                    answer = connection.getresponse()
                    reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
                except (OSError, http.client.HTTPException):
                    self.doubt.append(request.change)
                    return
                self.sent_at = None
                self._note(request, reply)
        finally:
            connection.close()

    def _draw(self) -> Request:
        doubted = {item_id for change in self.doubt for item_id in change}
        there = [key for key, state in self.known.items() if state.item is not None and key not in doubted]
        dice = self._random.random()
        if dice < 0.3 or not there:
            return self._post([self._item()])
        if dice < 0.6:
            return self._post([self._item() for _ in range(self._random.randint(2, _BATCH))])
        item_id = self._random.choice(there)
        revision = self.known[item_id].revision + 1
        if dice < 0.75:
            return Request("DELETE", item_path(item_id), None, {item_id: State(None, revision)})
        item = self._item(item_id)
        body = json.dumps(_content(item)).encode()
        return Request("PUT", item_path(item_id), body, {item_id: State(item, revision)})

    def _post(self, items: Sequence[Item]) -> Request:
        change = {item.item_id: State(item, 1) for item in items}
        bodies = [item.to_dict() for item in items]
        if len(items) == 1:
            return Request("POST", "/items", json.dumps(bodies[0]).encode(), change)
        return Request("POST", "/items/batch", json.dumps({"items": bodies}).encode(), change)

    def _item(self, item_id: str | None = None) -> Item:
        """A new one, or new content for an id; of up to two pages, so that a transaction touches many."""
        if item_id is None:
            self._made += 1
            item_id = f"{self.name}-{self._made}"
        words = self._random.choices(WORDS, k=self._random.randint(1, 1000))
        return Item(item_id, title=f"soap {self._random.random()}", description=" ".join(words))

    def _note(self, request: Request, reply: Reply) -> None:
        self.answers[reply.status] += 1
        if reply.status == 503:
            problem = refused(reply, 503, "registry-unavailable")
            assert int(reply.headers["retry-after"]) > 0
            if _SETTLED not in problem["detail"]:
                self.doubt.append(request.change)
            time.sleep(0.01)
            return
        if reply.status == 500 and self._disk_may_fail:
            self.doubt.append(request.change)
            time.sleep(0.01)
            return
        if reply.status == 507:
            assert _SETTLED in refused(reply, 507, "registry-full")["detail"]
            time.sleep(0.01)
            return
        assert reply.status < 300, (request, reply)
        if request.path == "/items/batch":
            revisions = [entry["item"]["revision"] for entry in reply.json()["results"]]
        else:
            revisions = [reply.json()["revision"]] if reply.body else [request.change[_only(request)].revision]
        assert revisions == [state.revision for state in request.change.values()], (request, reply)
        self.known.update(request.change)

    def send_again(self, client: Client) -> None:
        """What was written without an answer: the answer is the one that got lost, and nothing is written twice. A
        service that has heard meanwhile that an item is gone says so.
        """
        for item_id, state in ((item_id, state) for change in self.found for item_id, state in change.items()):
            if state.item is None:
                reply = client.delete(item_path(item_id))
                assert reply.status in (204, 404), reply
            else:
                reply = client.put(item_path(item_id), _content(state.item))
                assert (reply.status, reply.json()["revision"]) == (200, state.revision), reply
        self.found.clear()

    def settle(self, rows: Mapping[str, State]) -> list[str]:
        """What is wrong with the rows of this writer; then nothing is in doubt any more."""
        doubted = {item_id for change in self.doubt for item_id in change}
        faults = [
            self._lost(item_id, rows)
            for item_id, state in self.known.items()
            if item_id not in doubted and rows.get(item_id, ABSENT) != state
        ]
        for change in self.doubt:
            found = {item_id: rows.get(item_id, ABSENT) for item_id in change}
            before = {item_id: self.known.get(item_id, ABSENT) for item_id in change}
            # What is neither as it was acknowledged nor as it was last asked for: the acknowledged write is gone,
            # whatever became of the one in doubt.
            lost = [item_id for item_id, state in found.items() if state not in (before[item_id], change[item_id])]
            if lost:
                faults += [self._lost(item_id, rows) for item_id in lost]
            elif found == change:
                self.known.update(change)
                self.found.append(change)
            elif found != before:
                faults.append(f"half: {', '.join(f'{key} is {_shown(state)}' for key, state in found.items())}")
        self.doubt.clear()
        return faults

    def _lost(self, item_id: str, rows: Mapping[str, State]) -> str:
        known, row = self.known.get(item_id, ABSENT), rows.get(item_id, ABSENT)
        return f"lost: {item_id} was acknowledged as {_shown(known)} and is {_shown(row)}"


def _only(request: Request) -> str:
    (item_id,) = request.change
    return item_id


def _content(item: Item) -> dict[str, object]:
    return {name: value for name, value in item.to_dict().items() if name != "item_id"}


def _shown(state: State) -> str:
    return f"revision {state.revision} ({'gone' if state.item is None else state.item.title})"


def states(url: str) -> dict[str, State]:
    """What the registry holds, seen by somebody who opens it as the service does; every id once, every hash right."""
    registry = Registry(url, timeout=30)
    try:
        rows: list[RegistryRow] = [row for batch in registry.rows() for row in batch]
    finally:
        registry.close()
    assert len({row.item_id for row in rows}) == len(rows)
    for row in rows:
        assert row.content_hash == (None if row.item is None else row.item.content_hash()), row
    return {row.item_id: State(row.item, row.revision) for row in rows}


def settle(writers: Sequence[Writer], rows: Mapping[str, State]) -> list[str]:
    """What is wrong with the registry, by what its writers know."""
    faults = [fault for writer in writers for fault in writer.settle(rows)]
    known = {item_id for writer in writers for item_id in writer.known}
    return faults + [f"{item_id} was never written" for item_id in rows if item_id not in known]


def check_served(port: int, writers: Sequence[Writer]) -> None:
    """The service on `port` serves what its writers know, and nothing else that was registered."""
    client = Client(port)
    lines = client.get("/items/export?source=registered").body.splitlines()
    client.close()
    served = {item.item_id: item for item in (Item.from_dict(json.loads(line)) for line in lines)}
    known = {key: state.item for writer in writers for key, state in writer.known.items() if state.item is not None}
    assert served == known


@contextmanager
def writing(writers: Sequence[Writer], port: int) -> Iterator[Callable[[], bool]]:
    """The writers at work, each in a thread of its own, until the block ends; yields whether one of them has ended."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(writers)) as threads:
        jobs = [threads.submit(writer.write, port, stop) for writer in writers]
        try:
            yield lambda: any(job.done() for job in jobs)
        finally:
            stop.set()
        for job in jobs:
            job.result(90)
