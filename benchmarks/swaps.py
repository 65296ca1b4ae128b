"""Swaps of the artifact under load: failed requests, latency with and without swaps, memory and threads.

    python -m benchmarks.swaps --artifacts <root> [--swaps 100] [--connections 4] [--pause 0.02] [--json <file>]

The benchmark writes the artifact twice, as two versions of a root of its own, and the service swaps between them.
Connections ask for recommendations, singly and in batches; one more registers items. Each answer must be of one
version. Client and server share the machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.api import Api
from benchmarks.histories import histories
from benchmarks.service_process import running_service
from model.artifact import Artifact, set_current

VERSIONS = ("first", "second")
_EVERY = 10  # swaps between two samples of memory and threads


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures, then one line of JSON. Returns 1 if a request failed or an item got lost."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "artifacts"
        _copy(options.artifacts, root)
        settings = {"KINDRED_WATCH": "0.1", "KINDRED_LOG_LEVEL": "warning"}
        with running_service(root, Path(name), **settings) as (process, port):
            load = Load(port, histories(root, 1000, 10), options.connections, options.pause)
            load.run("alone", lambda: time.sleep(options.seconds))
            states = [_state(process.pid)]
            seconds: list[float] = []

            def swap() -> None:
                for number in range(options.swaps):
                    version = VERSIONS[number % 2]
                    began = time.perf_counter()
                    set_current(root, version)
                    while control("GET", "/version")["model_version"] != version:
                        time.sleep(0.02)
                        if time.perf_counter() - began > 120:
                            raise RuntimeError(f"the service does not serve {version}: {control('GET', '/version')}")
                    seconds.append(time.perf_counter() - began)
                    if (number + 1) % _EVERY == 0:
                        states.append(_state(process.pid))
                        print(f"{number + 1:>5} swaps  {states[-1]}  {len(load.failures)} failed", flush=True)

            with closing(Api(port)) as control:
                load.run("swapping", swap)
            lost = load.lost()
    figures: dict[str, Any] = {
        "swaps": len(seconds),
        "swap_p50_s": round(float(np.median(seconds)), 2),
        "requests": {phase: len(every) for phase, every in load.seconds.items()},
        "failed": len(load.failures),
        "items_written": len(load.written),
        "items_lost": len(lost),
        "milliseconds": {phase: _percentiles(every) for phase, every in load.seconds.items()},
        "states": states,
        "cores": os.cpu_count() or 0,
    }
    for key, value in figures.items():
        if key != "states":
            print(f"{key:>14}  {value}")
    for failure in load.failures[:5]:
        print(f"        failed  {failure}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(bool(load.failures or lost))


class Load:
    """Connections that ask, with a pause after each answer, and one that registers an item every 20 ms.

    seconds: the time of each single recommendation, by phase.
    """

    def __init__(self, port: int, histories: Sequence[Sequence[str]], connections: int, pause: float) -> None:
        self.seconds: dict[str, list[float]] = {}
        self.failures: list[str] = []
        self.written: list[str] = []
        self._port = port
        self._histories = histories
        self._connections = connections
        self._pause = pause  # seconds

    def run(self, phase: str, work: Any) -> None:
        """Keep the connections busy while `work` runs."""
        ending = threading.Event()
        seconds = self.seconds[phase] = []
        threads = [
            threading.Thread(target=self._read, args=(place, ending, seconds)) for place in range(self._connections)
        ]
        threads.append(threading.Thread(target=self._write, args=(phase, ending)))
        for thread in threads:
            thread.start()
        try:
            work()
        finally:
            ending.set()
            for thread in threads:
                thread.join()

    def lost(self) -> list[str]:
        """Return the acknowledged items that the service does not have."""
        found: set[str] = set()
        cursor = ""
        with closing(Api(self._port)) as api:
            while cursor is not None:
                page = api("GET", f"/items?source=registered&limit=1000{cursor and f'&cursor={cursor}'}")
                found.update(item["item_id"] for item in page["items"])
                cursor = page.get("next_cursor")
        return [item_id for item_id in self.written if item_id not in found]

    def _read(self, place: int, ending: threading.Event, seconds: list[float]) -> None:
        api = Api(self._port)
        number = place
        while not ending.wait(self._pause):
            histories = [self._histories[(number + more) % len(self._histories)] for more in range(8)]
            number += self._connections
            try:
                began = time.perf_counter()
                answer = api("POST", "/recommend", {"history": histories[0]})
                seconds.append(time.perf_counter() - began)
                versions = {answer["model_version"]}
                if number % 16 < self._connections:
                    batch = api("POST", "/recommend/batch", {"requests": [{"history": h} for h in histories]})
                    versions = {entry["result"]["model_version"] for entry in batch["results"]}
                if len(versions) != 1 or not versions <= set(VERSIONS):
                    self.failures.append(f"versions {sorted(versions)}")
            except (OSError, http.client.HTTPException, RuntimeError, KeyError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                api.close()
        api.close()

    def _write(self, phase: str, ending: threading.Event) -> None:
        api = Api(self._port)
        number = 0
        while not ending.wait(0.02):
            item_id = f"{phase}-{number % 500}"  # 500 ids in turn, so that memory does not grow with the items
            number += 1
            try:
                api("PUT", f"/items/{item_id}", {"title": f"a new thing {number}"})
                if number <= 500:
                    self.written.append(item_id)
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                api.close()
        api.close()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version (unchanged)")
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--connections", type=int, default=4, help="connections that ask, beside one that writes")
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two requests of a connection")
    parser.add_argument("--seconds", type=float, default=15, help="seconds of load without swaps, before the swaps")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def _copy(artifacts: Path, root: Path) -> None:
    """Write the artifact as both versions. The last one is current."""
    artifact = Artifact.load(artifacts)
    for version in VERSIONS:
        artifact.manifest = artifact.manifest.model_copy(update={"version": version})
        artifact.save(root, "# A copy, for a measurement\n")


def _state(pid: int) -> dict[str, int]:
    """Return resident memory in MiB, threads and open files of a process (Linux)."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {
        "rss_mib": int(fields["VmRSS"].split()[0]) // 1024,
        "threads": int(fields["Threads"]),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float]:
    milliseconds = np.array(seconds) * 1000
    named = {f"p{percent}": round(float(np.percentile(milliseconds, percent)), 2) for percent in (50, 99)}
    return named | {"max": round(float(milliseconds.max()), 2)}


if __name__ == "__main__":
    sys.exit(main())
