"""The service in a process that can be killed every few tenths of a second: forked from one that has imported all.

What is killed is the whole service (uvicorn, the app, the engine, a registry in a file or on a server) in a process of
its own; only the imports, seconds of each start, are done once.
"""

from __future__ import annotations

import io
import logging
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal, TypeAlias, TypeVar

from sqlalchemy import delete

from service.api.app import create_app
from service.catalogue.publishing import Publisher
from service.registry.idempotency import IdempotencyKey, StoredAnswer
from service.registry.registry import Registry, RegistryRow, Transaction
from service.registry.tables import idempotency_table
from service.server.server import Server, configuration
from service.settings import Settings
from tests.support.service import Client

Mutant: TypeAlias = Literal[
    "",
    "acknowledges before the commit",
    "commits item by item",
    "answers late",  # which is no fault
    "keeps no answers",
    "keeps answers after the commit",
]
T = TypeVar("T")

# Where the write is that has the registry's lock, as the process wrote it down last.
WAITING, OPEN, COMMITTING, COMMITTED = range(4)
PHASES = ("before BEGIN", "between statements", "in the commit", "between commit and answer")

_LATE = 10.0  # seconds: a kill comes in between

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


class Process:
    """A service that is starting; `ready` waits for it."""

    def __init__(self, settings: Settings, mutant: Mutant = "") -> None:
        self._phase = _forks.RawValue("i", WAITING)
        told, tell = _forks.Pipe(duplex=False)
        self._process = _forks.Process(target=_serve, args=(settings, mutant, self._phase, tell), daemon=True)
        self._process.start()
        tell.close()
        self.port: int = told.recv()
        told.close()

    @property
    def phase(self) -> int:
        """One of `PHASES`; after the end, where it ended."""
        return int(self._phase.value)

    def ready(self) -> Process:
        client = Client(self.port)
        client.until_ready()
        client.close()
        return self

    def kill(self) -> float:
        """SIGKILL; the moment before it, on the monotonic clock. Raises AssertionError where it was gone already."""
        moment = time.monotonic()
        self._process.kill()
        self._process.join(30)
        assert self._process.exitcode == -signal.SIGKILL
        return moment

    def end(self) -> None:
        if self._process.is_alive():
            self._process.kill()
            self._process.join(30)


@contextmanager
def process(settings: Settings, mutant: Mutant = "") -> Iterator[Process]:
    """A service that is ready; gone at the end."""
    started = Process(settings, mutant)
    try:
        yield started.ready()
    finally:
        started.end()


def _serve(settings: Settings, mutant: Mutant, phase: Any, tell: Any) -> None:
    logging.getLogger().addHandler(logging.NullHandler())  # a campaign's refusals would drown its progress
    _mutate(mutant)
    _observe(phase)
    server = Server(configuration(create_app(settings), settings))
    with socket.create_server(("127.0.0.1", 0)) as listener, redirect_stdout(io.StringIO()):
        tell.send(listener.getsockname()[1])
        server.run([listener])


def _observe(phase: Any) -> None:
    """Write down where a write is, in memory that outlives the process."""
    write = Registry.write

    def observed(registry: Registry, work: Callable[[Transaction], T]) -> T:
        def watched(transaction: Transaction) -> T:
            phase.value = OPEN
            result = work(transaction)
            phase.value = COMMITTING
            return result

        phase.value = WAITING
        result = write(registry, watched)
        phase.value = COMMITTED
        return result

    _open(Registry).write = observed


def _mutate(mutant: Mutant) -> None:
    """Break this process in a way that a campaign has to find."""
    if mutant == "acknowledges before the commit":
        _open(Registry).write = _acknowledge_early
    elif mutant == "commits item by item":
        put = Transaction.put

        def put_and_commit(transaction: Transaction, *arguments: Any) -> RegistryRow:
            row = put(transaction, *arguments)
            transaction._connection.exec_driver_sql("COMMIT")
            transaction._connection.exec_driver_sql("BEGIN IMMEDIATE")
            return row

        _open(Transaction).put = put_and_commit
    elif mutant == "answers late":
        publish = Publisher.publish

        def publish_late(publisher: Publisher, *arguments: Any) -> int:
            time.sleep(_LATE)
            return publish(publisher, *arguments)

        _open(Publisher).publish = publish_late
    elif mutant == "keeps no answers":
        _open(Transaction).claim = lambda *_: None
        _open(Transaction).store = lambda *_: None
    elif mutant == "keeps answers after the commit":
        _keep_answers_late()


def _open(of: Any) -> Any:
    """For mypy: what is replaced here is replaced on purpose."""
    return of


def _keep_answers_late() -> None:
    store, write = Transaction.store, Registry.write
    late: list[tuple[IdempotencyKey, StoredAnswer]] = []

    def forget(transaction: Transaction, key: IdempotencyKey, answer: StoredAnswer) -> None:
        transaction._connection.execute(delete(idempotency_table).where(idempotency_table.c.key == key.key))
        late.append((key, answer))

    def write_and_store(registry: Registry, work: Callable[[Transaction], T]) -> T:
        result = write(registry, work)
        while late:
            time.sleep(_LATE)
            key, answer = late.pop()
            with registry.transaction() as transaction:
                transaction.claim(key, 24)
                store(transaction, key, answer)
        return result

    _open(Transaction).store = forget
    _open(Registry).write = write_and_store


_earlier: list[threading.Thread] = []


def _acknowledge_early(registry: Registry, work: Callable[[Transaction], T]) -> T:
    """What `work` returns, while its commit is still under way."""
    while _earlier:
        _earlier.pop().join()
    answer: Future[T] = Future()

    def run() -> None:
        with registry.transaction() as transaction:
            answer.set_result(work(transaction))
            time.sleep(0.01)  # as long as a commit takes where disks are slow

    _earlier.append(threading.Thread(target=run))
    _earlier[0].start()
    return answer.result(30)
