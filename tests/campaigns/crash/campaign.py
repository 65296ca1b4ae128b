"""A campaign of kills: the service dies while several connections write, over and over, and nothing may be lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from service.settings import Settings
from tests.campaigns.crash.process import PHASES, Mutant, Process, process
from tests.campaigns.crash.writers import Writer, check_served, settle, states, writing

CONNECTIONS = 4
_RESTART = 50  # kills after which an empty registry takes the place of one that has grown
_ANSWERS = 16  # a kill comes after fewer answers than these,
_SPREAD = 0.05  # and at most so many seconds later


@dataclass
class Tally:
    """What a campaign has seen. `in_flight`: kills at whose moment a request was sent and not answered."""

    name: str
    planned: int
    kills: int = 0
    in_flight: int = 0
    requests: int = 0  # of those, all of them
    unacknowledged: int = 0  # of those, the ones found written
    acknowledged: int = 0
    recovered: int = 0  # kills that left a journal to roll back
    phases: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def say(self, every: int = 25) -> None:
        if self.kills % every == 0 or self.kills == self.planned:
            print(f"{time.strftime('%H:%M:%S')} {self}", flush=True)

    def __str__(self) -> str:
        parts = [
            f"{self.name}: {self.kills} of {self.planned} kills",
            f"{self.in_flight} with a write in flight ({self.requests} requests, {self.unacknowledged} found written)",
            f"{self.acknowledged} acknowledged",
            f"{len(self.faults)} lost or half",
        ]
        if self.recovered:
            parts.append(f"{self.recovered} journals rolled back")
        if self.phases:
            parts.append(", ".join(f"{count} {phase}" for phase, count in self.phases.most_common()))
        return "; ".join(parts)


def kill_often(
    name: str,
    kills: int,
    settings: Callable[[int], Settings],
    mutant: Mutant = "",
    power_cut: Callable[[], None] | None = None,
    died: Callable[[Settings], None] = lambda _: None,
    checked: Callable[[Settings], None] = lambda _: None,
    journal: Callable[[Settings], Path | None] = lambda _: None,
) -> Tally:
    """Kill a service `kills` times, or until a fault is found, and say what became of its writes.

    settings(n): of the n-th registry, which is empty. `power_cut` is called before each kill, `died` after it,
    `checked` once the rows were read. After every other kill the next service opens the registry first, after the
    others the verifier does.
    """
    tally = Tally(name, kills)
    rng = random.Random(0)
    writers: list[Writer] = []
    at: Settings | None = None
    following: Process | None = None
    try:
        while tally.kills < kills and not tally.faults:
            if at is None or tally.kills % _RESTART == 0:
                at = settings(tally.kills // _RESTART)
                names = [f"{tally.kills}-{number}" for number in range(CONNECTIONS)]
                writers = [Writer(name, tally.kills + n, power_cut is not None) for n, name in enumerate(names)]
            service = following or Process(at, mutant).ready()
            following = None
            check_served(service.port, writers)
            before = acknowledged(writers), found_written(writers)
            try:
                with writing(writers, service.port) as idle:
                    _wait_for_a_moment(service, rng, partial(acknowledged, writers), idle)
                    sent = sum(writer.sent_at is not None for writer in writers)
                    if power_cut is not None:
                        power_cut()
                    moment = service.kill()
            finally:
                service.end()
            died(at)
            left = journal(at)
            tally.recovered += left is not None and left.exists()
            tally.kills += 1
            tally.phases[PHASES[service.phase]] += 1
            if power_cut is None:  # else some of them were refused before the kill
                sent = sum(writer.sent_at is not None and writer.sent_at < moment for writer in writers)
            tally.in_flight += sent > 0
            tally.requests += sent
            if tally.kills % 2 and tally.kills % _RESTART and tally.kills < kills:
                following = Process(at, mutant).ready()
            tally.faults += settle(writers, states(at.database_url))
            checked(at)
            tally.acknowledged += acknowledged(writers) - before[0]
            tally.unacknowledged += found_written(writers) - before[1]
            tally.say()
    finally:
        if following is not None:
            following.end()
    if at is not None and not tally.faults:
        with process(at, mutant) as service:
            check_served(service.port, writers)
    return tally


def acknowledged(writers: Sequence[Writer]) -> int:
    return sum(writer.acknowledged for writer in writers)


def found_written(writers: Sequence[Writer]) -> int:
    return sum(len(writer.found) for writer in writers)


def _wait_for_a_moment(
    service: Process, rng: random.Random, answered: Callable[[], int], idle: Callable[[], bool]
) -> None:
    """Any moment after some answers; every other time one of a phase drawn at random, for some phases are short."""
    end = time.monotonic() + 20
    some = answered() + rng.randrange(_ANSWERS)
    while answered() < some and not idle():
        assert time.monotonic() < end
        time.sleep(0.001)
    if rng.random() < 0.5:
        time.sleep(rng.uniform(0, _SPREAD))
        return
    wanted = rng.randrange(len(PHASES))
    end = time.monotonic() + 2
    while service.phase != wanted and time.monotonic() < end and not idle():
        time.sleep(0.0001)
    time.sleep(rng.choice((0, 0, 0.0005, 0.002)))
