"""Servers as processes of their own, for benchmarks and campaigns."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks.api import Api

REPOSITORY = Path(__file__).resolve().parent.parent
_PATIENCE = 600.0  # seconds until a service must be ready; tokenizing many registered items takes minutes


class Running(NamedTuple):
    process: subprocess.Popen[str]
    port: int


@contextmanager
def running_service(artifacts: Path, folder: Path, module: str = "service", **settings: str) -> Iterator[Running]:
    """Start the service, yield it once it is ready, and end it with the block.

    folder: holds its registry and its log. module: what runs in its place. settings: variables of its environment; they
    win over the defaults here, and those win over this process's environment. Raises RuntimeError if it does not become
    ready.
    """
    given = {
        "KINDRED_ARTIFACTS": str(artifacts.resolve()),
        "KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db",
        "KINDRED_HOST": "127.0.0.1",
        "KINDRED_PORT": "0",
        "KINDRED_KEYS": "",
        "MALLOC_ARENA_MAX": "2",  # as in the image
    }
    log = folder / "service.log"
    with running(["-m", module], log, given | settings) as service:
        end = time.monotonic() + _PATIENCE
        with closing(Api(service.port)) as api:
            while (answer := api.ask("GET", "/readyz"))[0] != 200:
                if time.monotonic() > end:
                    raise RuntimeError(f"the service is not ready: {answer[1].decode()}\n{_end_of(log)}")
                time.sleep(0.02)
        yield service


@contextmanager
def running(arguments: Sequence[str], log: Path, environment: Mapping[str, str]) -> Iterator[Running]:
    """Start a Python process, yield it once it has printed the address where it listens, and end it with the block.

    environment: variables beside those of this process. log: gets the standard error of the process. Raises
    RuntimeError if the process prints no address.
    """
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=REPOSITORY,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        words = [word.rstrip(";") for word in line.split() if word.startswith("http://")]
        if not words:
            raise RuntimeError(f"the server did not start:\n{_end_of(log)}")
        yield Running(process, urlsplit(words[0]).port or 0)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def memory_mib(field: str, pid: int | str = "self") -> float:
    """Return MiB of a process (Linux). field: VmRSS, resident now, or VmHWM, the peak."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(fields[field].split()[0]) / 1024


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
