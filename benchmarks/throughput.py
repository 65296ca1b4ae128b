"""Throughput of `/recommend` beside a bare FastAPI endpoint, with client and server on the same cores.

    python -m benchmarks.throughput --artifacts <root> [--seconds 4] [--rounds 3] [--json <file>]

The bare endpoint validates the same request and gives an answer of the same size. A third server, `http`, is the
service with one answer for everybody: its rate if computing took no time. Slices of all three alternate, so that busy
moments of the machine hit all. Beside requests a second stands the server's CPU time for a request, which leaves out
other work on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path

import uvloop

from benchmarks.api import Api
from benchmarks.bare_endpoint import bare_endpoint
from benchmarks.histories import histories
from benchmarks.load import Tally, closed, cycled, post, processor_seconds
from benchmarks.service_process import running_service

CONNECTIONS = (1, 8, 32)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, then one line of JSON. Returns 1 if a goal is missed or a request failed."""
    options = _parse(arguments)
    bodies = [{"history": history} for history in histories(options.artifacts, 1000, 10)]
    requests = [post("/recommend", json.dumps(body).encode()) for body in bodies]
    figures: dict[str, float | int] = {"cores": os.cpu_count() or 0}
    failed = 0
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = stack.enter_context(running_service(options.artifacts, folder))
        with closing(Api(service.port)) as api:
            _, answer = api.ask("POST", "/recommend", bodies[0])
        (folder / "http").mkdir()
        servers = {
            "": service,
            "http_": stack.enter_context(
                running_service(options.artifacts, folder / "http", "benchmarks.answering_once", OMP_NUM_THREADS="1")
            ),
            "bare_": stack.enter_context(bare_endpoint(answer, folder)),
        }
        for connections in CONNECTIONS:
            tallies = {name: Tally() for name in servers}
            spent = dict.fromkeys(servers, 0.0)
            for turn in range(options.rounds + 1):
                for name, server in servers.items():
                    before = processor_seconds(server.process.pid)
                    tally = uvloop.run(closed(server.port, cycled(requests), connections, options.seconds))
                    if turn:  # the first turn is the warm-up
                        tallies[name].join(tally)
                        spent[name] += processor_seconds(server.process.pid) - before
            for name, tally in tallies.items():
                failed += sum(map(len, tally.seconds.values())) - tally.count(200)
                end = f"at_{connections}"
                figures[f"{name}rps_{end}"] = round(tally.rate(), 1)
                figures[f"{name}p50_ms_{end}"] = round(tally.milliseconds(50), 3)
                figures[f"{name}p99_ms_{end}"] = round(tally.milliseconds(99), 3)
                figures[f"{name}processor_ms_{end}"] = round(1000 * spent[name] / max(1, tally.count(200)), 3)
            figures[f"share_of_bare_at_{connections}"] = round(tallies[""].rate() / tallies["bare_"].rate(), 3)
    figures["failed"] = failed
    goals = {
        "share_of_bare_at_32": figures["share_of_bare_at_32"] >= 0.5,
        "p50_ms_at_1": figures["p50_ms_at_1"] <= 2,
        "p99_ms_at_1": figures["p99_ms_at_1"] <= 5,
        "failed": not failed,
    }
    for name, value in figures.items():
        print(f"{name:>24}  {value}{'' if goals.get(name, True) else '   (missed)'}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(not all(goals.values()))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--seconds", type=float, default=4.0, help="seconds of a slice")
    parser.add_argument("--rounds", type=int, default=3, help="counted slices of each server")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
