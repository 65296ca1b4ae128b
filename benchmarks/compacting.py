"""Two ways to leave the rows of replaced items behind: compact the catalogue, or start an engine anew beside it.

    python -m benchmarks.compacting --artifacts <root> [--items 100000]

Registers made-up items, then measures each way in a process of its own: seconds, CPU seconds, and the memory that it
takes at most beside the engine that serves meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.items import Item
from service.engine.engine import Engine
from service.settings import Settings

_BATCH = 2000  # items registered in one transaction
_WORDS = ("red", "blue", "small", "large", "soft", "bright", "classic", "travel", "soap", "lamp", "novel", "kettle")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line of JSON for each way."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--items", type=int, default=100_000, help="to register")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(artifacts=options.artifacts, database_url=f"sqlite:///{folder}/registry.db")
        engine = Engine.start(settings)
        for start in range(0, options.items, _BATCH):
            engine.writer.write([_item(number) for number in range(start, min(start + _BATCH, options.items))])
        engine.close()
        for way in ("compact", "start anew"):
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(json.dumps(pool.apply(measure, (way, settings))), flush=True)
    return 0


def measure(way: str, settings: Settings) -> dict[str, Any]:
    """Load the engine, then go one way and state what it took."""
    engine = Engine.start(settings)
    before, peak, ended = _resident(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.005):
            peak = max(peak, _resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    began, cpu = time.perf_counter(), time.process_time()
    if way == "compact":
        engine.catalogue.take(engine.catalogue.compacted())
    else:
        Engine.start(settings, engine.artifact).close()
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    ended.set()
    watcher.join()
    figures = {"seconds": round(seconds, 2), "cpu_seconds": round(cpu, 2), "memory_mib": max(0, peak - before)}
    return {"way": way, "items": len(engine.catalogue), **figures}


def _item(number: int) -> Item:
    words = [_WORDS[number // step % len(_WORDS)] for step in (1, 12, 144)]
    return Item(f"made-up-{number}", title=f"{' '.join(words)} {number}", categories=("Home",), price=number % 50 + 0.5)


def _resident() -> int:
    """Resident memory of this process in MiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) // 1024


if __name__ == "__main__":
    raise SystemExit(main())
