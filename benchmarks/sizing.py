"""What a service of a given size needs: memory, time to start, disk, and time for a recommendation.

    python -m benchmarks.sizing --artifacts <root> [--registered 0,88000] [--json <file>]

For each number, the benchmark registers so many items over HTTP in batches, with texts combined from those of the
catalogue. Then it starts the service again, which tokenizes the items anew, and asks on one connection. `KINDRED_*`
variables of the environment apply to the service (`KINDRED_INDEX=hnsw`).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import uvloop

from benchmarks.api import Api
from benchmarks.histories import histories
from benchmarks.load import closed, cycled, post, processor_seconds
from benchmarks.service_process import running_service
from benchmarks.soak import sample
from model.artifact import Artifact, resolve_current

_BATCH = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each number, then one line of JSON."""
    options = _parse(arguments)
    requests = [
        post("/recommend", json.dumps({"history": one}).encode()) for one in histories(options.artifacts, 1000, 10)
    ]
    figures = []
    for count in options.registered:
        with tempfile.TemporaryDirectory() as name:
            figures.append(_measure(options.artifacts, Path(name), count, requests, options.seconds))
        print("  ".join(f"{key} {value}" for key, value in figures[-1].items()), flush=True)
    line = json.dumps({"cores": os.cpu_count(), "sizes": figures})
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--registered", type=_counts, default=[0, 88_000], help="numbers of items, separated by commas")
    parser.add_argument("--seconds", type=float, default=10.0, help="seconds of asking")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _measure(artifacts: Path, folder: Path, count: int, requests: Sequence[bytes], seconds: float) -> dict[str, float]:
    settings = {"KINDRED_LOG_LEVEL": "warning"}
    registering = _register(artifacts, folder, count, settings) if count else 0.0
    began = time.perf_counter()
    with running_service(artifacts, folder, **settings) as service:
        ready = time.perf_counter() - began
        starting = processor_seconds(service.process.pid)
        tally = uvloop.run(closed(service.port, cycled(requests), 1, seconds))
        asking = processor_seconds(service.process.pid) - starting
        if set(tally.seconds) != {200}:
            raise RuntimeError(f"answers other than 200: {sorted(tally.seconds)}")
        memory = sample(service.process.pid, 0.0).rss_mib
        with closing(Api(service.port)) as api:
            items = api("GET", "/version")["items"]
    version = resolve_current(artifacts)
    disk = sum(path.stat().st_size for path in version.iterdir())
    registry = (folder / "registry.db").stat().st_size
    return {
        "items": items,
        "registered": count,
        "ready_s": round(ready, 1),
        "ready_processor_s": round(starting, 1),
        "memory_mib": round(memory),
        "p50_ms": round(tally.milliseconds(50), 2),
        "p99_ms": round(tally.milliseconds(99), 2),
        "processor_ms": round(1000 * asking / tally.count(200), 2),
        "artifact_mib": round(disk / 2**20, 1),
        "registry_mib": round(registry / 2**20, 1),
        "registered_per_s": round(count / registering) if count else 0,
    }


def _register(artifacts: Path, folder: Path, count: int, settings: dict[str, str]) -> float:
    """Register so many items on one connection; return the seconds."""
    made = _made_up(artifacts, count)
    with running_service(artifacts, folder, **settings) as service, closing(Api(service.port)) as api:
        began = time.perf_counter()
        while batch := list(islice(made, _BATCH)):
            results = api("POST", "/items/batch", {"items": batch})["results"]
            if any(result["status"] != 201 for result in results):
                raise RuntimeError(f"items were refused: {results}")
        return time.perf_counter() - began


def _made_up(artifacts: Path, count: int) -> Iterator[dict[str, Any]]:
    """Make items with the title of one catalogue item and the rest of another."""
    items = Artifact.load(artifacts).items.items
    rng = np.random.default_rng(0)
    for number in range(count):
        one, other = (items[index] for index in rng.integers(len(items), size=2))
        item = other.to_dict() | {"item_id": f"made-up-{number}", "title": one.title}
        yield {name: value for name, value in item.items() if name != "text" and value is not None}


if __name__ == "__main__":
    sys.exit(main())
