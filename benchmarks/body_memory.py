"""What bodies that are too large take of a service's memory while they come in.

    python -m benchmarks.body_memory --artifacts <root> [--connections 1,64] [--json <file>]

Bodies that declare 100 MiB, and bodies of 19 MiB in chunks, which nobody can know to be too large before the limit is
reached. Each case has a service of its own, so that none uses what another left. The figure is the most that was
resident (VmHWM of Linux, set back after a first small request) above what was resident before. At the same time each
limit is to hold: no more than twice that of one body for one connection, and of all bodies for many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from benchmarks.api import Api
from benchmarks.service_process import memory_mib, running_service

BODY_MAX = 8 * 2**20
BODIES_MAX = 64 * 2**20
_DECLARED = 100 * 2**20
_BLOCK = b" " * 2**16
_BLOCKS = 304  # 19 MiB
# What a start leaves free in its heap takes bodies in unseen. Above this size glibc asks the kernel instead, but for
# what can grow where it lies; where it is set glibc does not raise it by itself.
_NO_REUSE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
_REFUSALS = {413, 503}  # 503: the large bodies together are too many, before one of them is too large


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each case and, at the end, one line of JSON. Exit code 1: a limit does not hold."""
    options = _parse(arguments)
    cases = [(chunked, connections) for chunked in (False, True) for connections in options.connections]
    figures = [_case(options.artifacts, chunked, connections) for chunked, connections in cases]
    for row in figures:
        print(
            f"{row['body']:>12} {row['connections']:>4} at once  {row['mib']:>7.1f} MiB, at most {row['allowed_mib']}"
        )
    line = json.dumps({"body_max": BODY_MAX, "bodies_max": BODIES_MAX, "cases": figures})
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(any(row["mib"] > row["allowed_mib"] for row in figures))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument(
        "--connections", type=lambda value: [int(part) for part in value.split(",")], default=[1, 64], help="at once"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


def _case(artifacts: Path, chunked: bool, connections: int) -> dict[str, Any]:
    settings = {"KINDRED_BODY_MAX": str(BODY_MAX), "KINDRED_BODIES_MAX": str(BODIES_MAX), **_NO_REUSE}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(artifacts, Path(folder), **settings) as (process, port),
    ):
        with closing(Api(port)) as api:
            api("POST", "/recommend", {"history": []})
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # the peak becomes what is resident now
        before = memory_mib("VmHWM", process.pid)
        statuses = asyncio.run(_send(port, chunked, connections))
        peak = memory_mib("VmHWM", process.pid)
    if not statuses.keys() <= _REFUSALS:
        raise RuntimeError(f"bodies that are too large were answered {dict(statuses)}")
    return {
        "body": "in chunks" if chunked else "declared",
        "connections": connections,
        "mib": round(peak - before, 1),
        "allowed_mib": 2 * (BODY_MAX if connections == 1 else BODIES_MAX) // 2**20,
        "answers": {str(status): count for status, count in sorted(statuses.items())},
    }


async def _send(port: int, chunked: bool, connections: int) -> Counter[int]:
    """The statuses of so many bodies sent at once."""
    return Counter(await asyncio.gather(*(_one(port, chunked) for _ in range(connections))))


async def _one(port: int, chunked: bool) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /items HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    try:
        if chunked:
            writer.write(head + b"Transfer-Encoding: chunked\r\n\r\n")
            for _ in range(_BLOCKS):
                writer.write(b"%x\r\n%b\r\n" % (len(_BLOCK), _BLOCK))
                await writer.drain()
            writer.write(b"0\r\n\r\n")
        else:
            writer.write(head + b"Content-Length: %d\r\n\r\n" % _DECLARED)
        async with asyncio.timeout(120):
            return int((await reader.readline()).split()[1])
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(main())
