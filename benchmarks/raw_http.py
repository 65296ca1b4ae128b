"""The part of HTTP/1.1 that a load needs, over asyncio. It knows exactly what it sent and what came back.

An ordinary client would hide what these benchmarks measure: it tries again, and it opens connections unasked.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple


class Answer(NamedTuple):
    status: int
    closes: bool  # the server announced that it closes the connection
    body: bytes


class Unanswered(Exception):
    """The client sent a request, or a part of it, and got no complete answer."""


class TurnedAway(Exception):
    """Nothing listens, so the client sent nothing."""


class Connection:
    """One keep-alive connection. It opens on the first request and opens again after it has ended."""

    def __init__(self, port: int, timeout: float = 60.0) -> None:
        self._port = port
        self._timeout = timeout
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None, pause: float = 0.0) -> Answer:
        """Send one request and return its answer. pause: seconds between the first half of its bytes and the second.

        Raises Unanswered or TurnedAway.
        """
        content = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        if body is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
        request = f"{head}\r\n".encode() + content
        reader, writer = await self._open()
        try:
            async with asyncio.timeout(self._timeout):
                if pause:
                    writer.write(request[: len(request) // 2])
                    await asyncio.sleep(pause)
                    writer.write(request[len(request) // 2 :])
                else:
                    writer.write(request)
                answer = await _read(reader)
        except (OSError, EOFError, TimeoutError) as error:
            self.close()
            raise Unanswered(f"{method} {path}: {type(error).__name__} {error}") from error
        if answer.closes:
            self.close()
        return answer

    async def send_part(self, head: bytes) -> None:
        """Send the beginning of a request and close, as a caller does who gives up."""
        _, writer = await self._open()
        writer.write(head)
        await writer.drain()
        self.close()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None and self._streams[0].at_eof():
            self.close()
        if self._streams is None:
            try:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError as error:
                raise TurnedAway(str(error)) from error
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            # Not `close`: that waits for unsent bytes to go out, past the end of the loop.
            self._streams[1].transport.abort()
            self._streams = None


async def _read(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
    if fields.get(b"transfer-encoding") == b"chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
    return Answer(int(head.split(maxsplit=2)[1]), fields.get(b"connection") == b"close", body)
