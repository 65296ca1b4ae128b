"""A client that takes little of the machine it shares with the server, for the benchmarks of throughput and overload.

asyncio with a protocol of its own that finds the end of an answer and no more: some 40 µs a request.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, cast

import numpy as np

CONNECTIONS_MAX = 1024  # of an open loop: half of what the service takes in, beyond which there is no answer at all
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection that is kept, with one request on it at a time."""

    def __init__(self) -> None:
        self._data = b""
        self._waiting: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None
        self.closed = False

    @classmethod
    async def open(cls, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but its class

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, separator, body = self._data.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if len(body) >= size and self._waiting is not None:
            waiting, self._waiting, self._data = self._waiting, None, body[size:]
            if not waiting.done():
                waiting.set_result(Answer(int(head[9:12]), head, body[:size]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(exc or ConnectionError("the server closed the connection"))

    def ask(self, request: bytes) -> asyncio.Future[Answer]:
        """Send a request and wait for its answer; raises ConnectionError."""
        if self._transport is None or self._waiting is not None:
            raise RuntimeError("a connection takes one request at a time, once it is open")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def post(path: str, body: bytes) -> bytes:
    """The bytes of a request with a JSON body."""
    fields = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@dataclass
class Tally:
    """What came back: seconds of the answers by their status (0: the connection broke), and the answers at fault."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    odd: list[Answer] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, status: int) -> int:
        return len(self.seconds.get(status, ()))

    def rate(self, status: int = 200) -> float:
        """Answers of a status a second."""
        return self.count(status) / self.elapsed if self.elapsed else 0.0

    def milliseconds(self, percent: float, status: int = 200) -> float:
        """A percentile of the times of a status; NaN where there are none."""
        found = self.seconds.get(status)
        return float(np.percentile(found, percent)) * 1000 if found else float("nan")

    def join(self, other: Tally) -> None:
        for status, seconds in other.seconds.items():
            self.seconds.setdefault(status, []).extend(seconds)
        self.odd += other.odd
        self.elapsed += other.elapsed


async def closed(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Tally:
    """Each connection asks again as soon as it is answered."""
    tally = Tally()
    opened = [await Connection.open(port) for _ in range(connections)]
    began = time.perf_counter()

    async def one(connection: Connection) -> None:
        while (start := time.perf_counter()) - began < seconds:
            answer = await connection.ask(next(requests))
            tally.add(answer.status, time.perf_counter() - start)

    await asyncio.gather(*map(one, opened))
    tally.elapsed = time.perf_counter() - began
    for connection in opened:
        connection.close()
    return tally


async def open_loop(
    port: int, requests: Iterator[bytes], rate: float, seconds: float, check: Callable[[Answer], bool]
) -> Tally:
    """`rate` requests a second at random moments (Poisson), whatever comes back, on as many connections as that takes,
    `CONNECTIONS_MAX` at most.

    Times count from the sending of a request; `late` says by how much it was sent later than it was due, which is this
    client's own want of processor, or all connections waiting for a server that stands still. check: answers for which
    it is false are kept.
    """
    tally = Tally()
    places = asyncio.Semaphore(CONNECTIONS_MAX)
    idle: list[Connection] = []
    running: set[asyncio.Task[None]] = set()
    rng = np.random.default_rng(0)

    async def one(due: float) -> None:
        async with places:
            await connected(due)

    async def connected(due: float) -> None:
        # Those that idled for longer than the server keeps them are closed.
        while idle and idle[-1].closed:
            idle.pop()
        connection = idle.pop() if idle else await Connection.open(port)
        sent = time.perf_counter()
        tally.late.append(sent - due)
        try:
            answer = await connection.ask(next(requests))
        except OSError:
            tally.add(0, time.perf_counter() - sent)
            return
        tally.add(answer.status, time.perf_counter() - sent)
        if not check(answer):
            tally.odd.append(answer)
        idle.append(connection)

    began = due = time.perf_counter()
    while (due := due + float(rng.exponential(1 / rate))) < began + seconds:
        await asyncio.sleep(max(0.0, due - time.perf_counter()))  # answers are read even when this is behind
        task = asyncio.create_task(one(due))
        running.add(task)
        task.add_done_callback(running.discard)
    tally.elapsed = time.perf_counter() - began
    while running:
        await asyncio.wait(running)
    for connection in idle:
        connection.close()
    return tally


async def probing(port: int, path: str, interval: float, until: asyncio.Event) -> Tally:
    """Ask a probe every `interval` seconds on a connection of its own, until the event."""
    tally = Tally()
    connection = await Connection.open(port)
    while not until.is_set():
        start = time.perf_counter()
        answer = await connection.ask(get(path))
        tally.add(answer.status, time.perf_counter() - start)
        await asyncio.sleep(interval)
    connection.close()
    return tally


def processor_seconds(pid: int) -> float:
    """What a process has taken of the processor; what others take of it at the same time does not count."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stolen_seconds() -> float:
    """What the host has kept back of all processors of a virtual machine, for others, since the machine started."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = file.readline().split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def cycled(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests
