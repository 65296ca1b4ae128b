"""HTTP/1.1 by hand: bytes as they are given go out, and the answers that come are taken apart."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import BinaryIO

from tests.support.service import Reply


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def exchange(port: int, sent: bytes, count: int | None = None) -> list[Reply]:
    """Send on a connection of its own; the first `count` answers, or all until the server closes it."""
    with connect(port) as raw:
        with suppress(ConnectionError):  # refused before all was sent; an answer may lie there all the same
            raw.sendall(sent)
        return read_replies(raw, count)


def read_replies(raw: socket.socket, count: int | None = None) -> list[Reply]:
    """The next `count` answers, or all until the server closes the connection. An answer that breaks off fails."""
    replies: list[Reply] = []
    with suppress(ConnectionError), raw.makefile("rb") as file:  # reset: the server did not read all that we sent
        while (count is None or len(replies) < count) and (line := file.readline()):
            replies.append(_read(line, file))
    return replies


def _read(line: bytes, file: BinaryIO) -> Reply:
    version, status, *_ = line.split(b" ", 2)
    assert version == b"HTTP/1.1", line
    headers: dict[str, str] = {}
    while (line := file.readline()) != b"\r\n":
        assert line.endswith(b"\r\n"), line
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(file.readline(), 16):
            body += file.read(size)
            assert file.readline() == b"\r\n"
        assert file.readline() == b"\r\n"
    else:
        body = file.read(int(headers.get("content-length", "0")))
        assert len(body) == int(headers.get("content-length", "0"))
    return Reply(int(status), headers, body)
