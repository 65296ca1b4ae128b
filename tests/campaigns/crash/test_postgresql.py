"""SIGKILL of the service, and of the database server, while several connections write: nothing acknowledged is lost.

KINDRED_KILLS / 5 services and KINDRED_KILLS / 20 servers are killed (`make crash`: 200 and 50).
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.settings import Settings
from tests.campaigns.crash.campaign import CONNECTIONS, Tally, acknowledged, found_written, kill_often
from tests.campaigns.crash.process import Mutant, process
from tests.campaigns.crash.writers import Writer, check_served, settle, states, writing
from tests.support.postgres import Server, running_server
from tests.support.service import Client, make_settings, until

KILLS = int(os.environ.get("KINDRED_KILLS", "20"))
SERVICES, SERVERS = max(4, KILLS // 5), max(2, KILLS // 20)


@pytest.fixture(scope="module")
def mortal() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def registries(mortal: Server, small_root: Path, tmp_path: Path) -> Callable[[int], Settings]:
    mortal.start()
    return lambda _: make_settings(small_root, tmp_path, database_url=mortal.database(), database_timeout=2)


def kill_services(kills: int, server: Server, registries: Callable[[int], Settings], mutant: Mutant = "") -> Tally:
    def wait_for_its_sessions(_: Settings) -> None:
        """A commit that was sent before the kill may still be under way at the server."""
        sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = 'shop'"
        until(lambda: not server.execute(sessions))

    name = f"PostgreSQL{', ' if mutant else ''}{mutant}"
    return kill_often(name, kills, registries, mutant, died=wait_for_its_sessions)


@pytest.mark.timeout(7200)
def test_a_service_that_is_killed_loses_nothing(mortal: Server, registries: Callable[[int], Settings]) -> None:
    tally = kill_services(SERVICES, mortal, registries)
    assert tally.faults == []
    assert tally.kills == SERVICES
    assert tally.in_flight >= 0.9 * SERVICES, tally
    assert tally.acknowledged > 2 * SERVICES, tally


@pytest.mark.timeout(1800)
def test_a_service_that_is_broken_is_found_out(mortal: Server, registries: Callable[[int], Settings]) -> None:
    tally = kill_services(60, mortal, registries, "acknowledges before the commit")
    # Half: what a request without an answer was to replace is gone itself, for it was acknowledged too soon.
    assert any(line.startswith(("lost: ", "half: ")) for line in tally.faults), tally


@contextmanager
def reading(port: int) -> Iterator[Counter[int]]:
    """The statuses of a connection that asks for recommendations until the block ends."""
    statuses: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        client = Client(port)
        while not stop.is_set():
            statuses[client.post("/recommend", {"history": ["item-1"], "k": 3}).status] += 1
            time.sleep(0.005)
        client.close()

    with ThreadPoolExecutor(1) as threads:
        job = threads.submit(ask)
        try:
            yield statuses
        finally:
            stop.set()
        job.result(60)


@pytest.mark.timeout(7200)
def test_a_server_that_is_killed_loses_nothing_and_the_service_stays_up(
    mortal: Server, registries: Callable[[int], Settings]
) -> None:
    settings = registries(0)
    tally = Tally("PostgreSQL servers", SERVERS)
    rng = random.Random(0)
    writers = [Writer(f"w{n}", n) for n in range(CONNECTIONS)]
    with process(settings) as service, reading(service.port) as statuses:
        client = Client(service.port)

        def more(count: Callable[[], int], by: int, idle: Callable[[], bool]) -> None:
            wanted = count() + by
            until(lambda: count() >= wanted or idle())

        def refusals() -> int:
            return sum(writer.answers[503] for writer in writers)

        for _ in range(SERVERS):
            with writing(writers, service.port) as idle:
                more(lambda: acknowledged(writers), rng.randrange(1, 16), idle)
                time.sleep(rng.uniform(0, 0.05))
                sent = sum(writer.sent_at is not None for writer in writers)
                mortal.kill()
                more(refusals, 8, idle)
                recommended = statuses[200]
                until(lambda recommended=recommended: statuses[200] > recommended + 5)  # type: ignore[misc]
                mortal.start()
                more(lambda: acknowledged(writers), 8, idle)
            tally.kills += 1
            tally.in_flight += sent > 0
            tally.requests += sent
            tally.faults += settle(writers, states(settings.database_url))
            tally.unacknowledged += found_written(writers)
            tally.acknowledged = acknowledged(writers)
            assert tally.faults == []
            # The service does not know of commits whose answers got lost; to send them again tells it.
            for writer in writers:
                writer.send_again(client)
            check_served(service.port, writers)
            tally.say(every=5)
        client.close()
    assert set(statuses) == {200}
    assert refusals() >= 8 * SERVERS
    assert tally.in_flight >= 0.9 * SERVERS, tally
    print(f"refused with 503 meanwhile: {refusals()}; recommendations: {statuses[200]}, all 200", flush=True)
    with process(settings) as service:
        check_served(service.port, writers)
