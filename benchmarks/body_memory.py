"""How much memory a service takes while bodies that are too large arrive.

    python -m benchmarks.body_memory --artifacts <root> [--connections 1,64] [--json <file>]

Some bodies declare 100 MiB. Others come in chunks, 19 MiB each: nobody can know that they are too large before they
reach the limit. Each case has a service of its own, so that none profits from memory that another left. The figure is
the peak of resident memory (VmHWM of Linux, reset after a first small request) above the level before. It must stay
below twice the limit: that of one body for one connection, that of all bodies for many.
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
# Bodies would fill memory that the start left free in the heap, and no figure would show them. Above this size glibc
# asks the kernel for memory instead, except for blocks that can grow in place. Once set, glibc does not raise it.
_NO_REUSE = {"MALLOC_MMAP_THRESHOLD_": "65536"}
_REFUSALS = {413, 503}  # 503: all large bodies together reach their limit before one reaches its own


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a row for each case, then one line of JSON. Returns 1 if a limit does not hold."""
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
        "--connections",
        type=lambda value: [int(part) for part in value.split(",")],
        default=[1, 64],
        help="how many at once",
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
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # resets the peak to what is resident now
        before = memory_mib("VmHWM", process.pid)
        statuses = asyncio.run(_send(port, chunked, connections))
        peak = memory_mib("VmHWM", process.pid)
    if not statuses.keys() <= _REFUSALS:
        raise RuntimeError(f"bodies that are too large got other answers than 413 and 503: {dict(statuses)}")
    return {
        "body": "in chunks" if chunked else "declared",
        "connections": connections,
        "mib": round(peak - before, 1),
        "allowed_mib": 2 * (BODY_MAX if connections == 1 else BODIES_MAX) // 2**20,
        "answers": {str(status): count for status, count in sorted(statuses.items())},
    }


async def _send(port: int, chunked: bool, connections: int) -> Counter[int]:
    """Send a body on each connection at once and count the statuses."""
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
        # Not `close`: that waits for the rest of the body to go out, past the end of the loop.
        writer.transport.abort()


if __name__ == "__main__":
    sys.exit(main())
