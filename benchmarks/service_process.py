"""The service as a process of its own, for benchmarks and campaigns."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parent.parent


class Running(NamedTuple):
    process: subprocess.Popen[str]
    port: int


@contextmanager
def running_service(artifacts: Path, folder: Path, **settings: str) -> Iterator[Running]:
    """The service, once it is ready; ended when the block ends. Its registry and its log lie in `folder`; `settings`
    are more `KINDRED_*` variables by their full names. Raises RuntimeError when it does not become ready.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("KINDRED_")}
    given = {
        "KINDRED_ARTIFACTS": str(artifacts.resolve()),
        "KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db",
        "KINDRED_PORT": "0",
    }
    log_path = folder / "service.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=REPOSITORY,
            env=own | given | settings,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        words = [word.rstrip(";") for word in line.split() if word.startswith("http://")]
        if not words:
            raise RuntimeError(f"the service did not start:\n{_end_of(log_path)}")
        port = urlsplit(words[0]).port or 0
        _wait(port, log_path)
        yield Running(process, port)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _wait(port: int, log_path: Path) -> None:
    end = time.monotonic() + 120
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            said = answer.read().decode()
        finally:
            connection.close()
        if answer.status == 200:
            return
        if time.monotonic() > end:
            raise RuntimeError(f"the service is not ready: {said}\n{_end_of(log_path)}")
        time.sleep(0.05)


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
