"""A client for the benchmarks of throughput and overload that takes little of the machine it shares with the server.

It uses asyncio with a protocol of its own, which finds the end of an answer and does no more: some 40 µs a request.
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

CONNECTIONS_MAX = 1024  # of an open loop: half of what the service accepts; beyond that it gives no answer
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Answer(NamedTuple):
    status: int
    head: bytes
    body: bytes


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection with one request at a time."""

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
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transport works alike but has another class

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
        """Send a request and return a future of its answer, which may raise ConnectionError."""
        if self._transport is None or self._waiting is not None:
            raise RuntimeError("open the connection first, and send one request at a time")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()  # `close` would wait for unsent bytes to go out, past the end of the loop


def post(path: str, body: bytes) -> bytes:
    """Return the bytes of a request with a JSON body."""
    fields = f"Host: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n".encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


@dataclass
class Tally:
    """The answers: seconds of each by status (0: the connection broke), and those that failed the check.

    late: seconds by which each request of an open loop was sent too late. elapsed: seconds of the load.
    """

    seconds: dict[int, list[float]] = field(default_factory=dict)
    odd: list[Answer] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, status: int) -> int:
        return len(self.seconds.get(status, ()))

    def rate(self, status: int = 200) -> float:
        """Return the answers of a status per second."""
        return self.count(status) / self.elapsed if self.elapsed else 0.0

    def milliseconds(self, percent: float, status: int = 200) -> float:
        """Return a percentile of the times of a status, NaN if there are none."""
        found = self.seconds.get(status)
        return float(np.percentile(found, percent)) * 1000 if found else float("nan")

    def join(self, other: Tally) -> None:
        for status, seconds in other.seconds.items():
            self.seconds.setdefault(status, []).extend(seconds)
        self.odd += other.odd
        self.elapsed += other.elapsed


async def closed(port: int, requests: Iterator[bytes], connections: int, seconds: float) -> Tally:
    """Closed loop: each connection asks again as soon as it has its answer."""
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
    """Open loop: send `rate` requests a second at random moments (Poisson), whatever comes back.

    It opens as many connections as that takes, `CONNECTIONS_MAX` at most. Times count from the sending of a request.
    `late` is how much later than due it was sent: this client lacked CPU time, or all connections waited for a server
    that stands still. The tally keeps answers for which `check` is false.
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
        # The server has closed connections that idled for too long.
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
        await asyncio.sleep(max(0.0, due - time.perf_counter()))  # also lets the loop read answers when this is behind
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
    """Ask for `path` every `interval` seconds on a connection of its own, until the event."""
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
    """Return the CPU seconds of a process so far, without those of other processes."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def stolen_seconds() -> float:
    """Return the CPU seconds that the host has withheld from this virtual machine since it started."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = file.readline().split()
    return int(fields[8]) / os.sysconf("SC_CLK_TCK")


def cycled(requests: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from requests
