"""Overload: asks for recommendations at .8, 2 and 5 times the rate that the service can do, with probes beside.

    python -m benchmarks.overload --artifacts <root> [--seconds 60] [--json <file>]

The load is an open loop: requests come at random moments, whatever comes back. Capacity is the rate of 32 connections
that ask again as soon as they have an answer, measured before and after. Client and server share the machine, so at
five times the capacity the client's own work is a part of the load. Neither can use the CPU time that the host
withholds from a virtual machine (`stolen_processors`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import uvloop

from benchmarks.histories import histories
from benchmarks.load import (
    Answer,
    Tally,
    closed,
    cycled,
    open_loop,
    post,
    probing,
    processor_seconds,
    stolen_seconds,
)
from benchmarks.service_process import running_service

CONNECTIONS = 32  # for measuring capacity
_COMPARED_SECONDS = 120.0  # at most, of the load below capacity, with which the others are compared
# Else the service could close an idle connection at the moment when the client uses it again: a failure.
_SETTINGS = {"KINDRED_KEEP_ALIVE": "3600"}
LOADS = {"80%": 0.8, "2x": 2.0, "5x": 5.0}
_PROBE_SECONDS = 0.02  # between two probes
_RECOVERY_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, then one line of JSON.

    Returns 1 if a request failed other than by a refusal with Retry-After, or, with --goals, if a goal is missed.
    """
    options = _parse(arguments)
    chosen = histories(options.artifacts, 1000, 10)
    requests = cycled([post("/recommend", json.dumps({"history": history}).encode()) for history in chosen])
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(options.artifacts, Path(folder), **_SETTINGS) as (process, port),
    ):
        figures = uvloop.run(_measure(port, process.pid, requests, options.seconds, options.capacity_seconds))
    goals = _goals(figures)
    for name, value in figures.items():
        print(f"{name:>28}  {value}")
    for name, met in goals.items():
        print(f"{name:>28}  {'met' if met else 'missed'}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    failed = figures["failed"] or not figures["normal_afterwards"]
    return int(bool(failed) or (options.goals and not all(goals.values())))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds of each overload")
    parser.add_argument("--capacity-seconds", type=float, default=5.0, help="seconds of each measurement of capacity")
    parser.add_argument("--goals", action="store_true", help="exit with code 1 if a goal is missed")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


async def _measure(
    port: int, pid: int, requests: Iterator[bytes], seconds: float, capacity_seconds: float
) -> dict[str, float]:
    await closed(port, requests, CONNECTIONS, 1.0)  # warm-up
    before = (await closed(port, requests, CONNECTIONS, capacity_seconds)).rate()
    figures: dict[str, float] = {}
    failed = 0
    for name, share in LOADS.items():
        spent = processor_seconds(pid), time.process_time(), stolen_seconds()
        lasting = seconds if share > 1 else min(seconds, _COMPARED_SECONDS)
        tally, probes = await _load(port, requests, share * before, lasting)
        figures |= {
            f"offered_{name}": round(sum(map(len, tally.seconds.values())) / tally.elapsed, 1),
            f"accepted_{name}": round(tally.rate(), 1),
            f"refused_{name}": round(tally.rate(503), 1),
            f"accepted_p50_ms_{name}": round(tally.milliseconds(50), 2),
            f"accepted_p99_ms_{name}": round(tally.milliseconds(99), 2),
            f"live_p99_ms_{name}": round(probes.milliseconds(99), 2),
            f"client_late_p99_ms_{name}": round(1000 * float(np.percentile(tally.late, 99)), 2),
            f"service_processor_{name}": round((processor_seconds(pid) - spent[0]) / tally.elapsed, 2),
            f"client_processor_{name}": round((time.process_time() - spent[1]) / tally.elapsed, 2),
            f"stolen_processors_{name}": round((stolen_seconds() - spent[2]) / tally.elapsed, 2),
        }
        if tally.count(503):
            figures[f"refused_p99_ms_{name}"] = round(tally.milliseconds(99, 503), 2)
        unanswered, odd = tally.count(0), len(tally.odd)
        refused_probes = sum(map(len, probes.seconds.values())) - probes.count(200)
        figures |= {f"unanswered_{name}": unanswered, f"odd_{name}": odd, f"refused_probes_{name}": refused_probes}
        failed += unanswered + odd + refused_probes
    recovery, normal = await _recover(port, requests, 0.5 * before, figures["accepted_p99_ms_80%"])
    after = (await closed(port, requests, CONNECTIONS, capacity_seconds)).rate()
    return figures | {
        "capacity_before": round(before, 1),
        "capacity_after": round(after, 1),
        "recovery_seconds": recovery,
        "normal_afterwards": float(normal),
        "failed": failed,
    }


async def _load(port: int, requests: Iterator[bytes], rate: float, seconds: float) -> tuple[Tally, Tally]:
    """Return the answers to the load, and those to the liveness probes beside it."""
    over = asyncio.Event()
    probes = asyncio.create_task(probing(port, "/livez", _PROBE_SECONDS, over))
    tally = await open_loop(port, requests, rate, seconds, _as_promised)
    over.set()
    return tally, await probes


def _as_promised(answer: Answer) -> bool:
    """True for an answer, and for a refusal that says when to try again."""
    return answer.status == 200 or (answer.status in (429, 503) and b"\r\nretry-after: " in answer.head.lower())


async def _recover(port: int, requests: Iterator[bytes], rate: float, p99: float) -> tuple[float, bool]:
    """Measure the recovery after the overload.

    Returns the seconds until the service answers half of the capacity as quickly as before without a refusal, at most
    `_RECOVERY_SECONDS`; and whether one client in a closed loop is never refused then. The second does not depend on
    how fast the machine is at that moment.
    """
    began = time.perf_counter()
    quick = False
    while not quick and time.perf_counter() - began < _RECOVERY_SECONDS:
        tally = await open_loop(port, requests, rate, 0.5, _as_promised)
        quick = set(tally.seconds) == {200} and tally.milliseconds(99) <= 2 * p99
    recovery = round(time.perf_counter() - began, 1)
    alone = await closed(port, requests, 1, 0.5)
    return recovery, set(alone.seconds) == {200}


def _goals(figures: dict[str, float]) -> dict[str, bool]:
    """Return whether each goal of docs/operations.md, "Overload", is met."""
    capacity = (figures["capacity_before"] + figures["capacity_after"]) / 2
    goals = {"recovery <= 5 s": figures["recovery_seconds"] <= _RECOVERY_SECONDS}
    for name in ("2x", "5x"):
        goals[f"accepted p99 {name} <= 2 x 80%"] = (
            figures[f"accepted_p99_ms_{name}"] <= 2 * figures["accepted_p99_ms_80%"]
        )
        goals[f"refused p99 {name} <= 50 ms"] = figures.get(f"refused_p99_ms_{name}", 0.0) <= 50
        goals[f"goodput {name} >= 90 %"] = figures[f"accepted_{name}"] >= 0.9 * capacity
        goals[f"livez p99 {name} < 100 ms"] = figures[f"live_p99_ms_{name}"] < 100
    return goals


if __name__ == "__main__":
    sys.exit(main())
