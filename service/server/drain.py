"""Stopping without losing a request: the server and the protocol that finish what callers have begun.

uvicorn alone closes every idle connection the moment it is told to stop. A caller that was just sending its next
request on one, or had just connected, gets no answer. Here a stop has two phases:

- draining (`KINDRED_DRAIN` seconds after SIGTERM): `/readyz` says 503, so that a proxy sends no more. Requests are
  answered as ever, each with `Connection: close`, so that callers leave on their own.
- closing: no new connections. Those that have sent anything are answered first, the others are closed.
"""

from __future__ import annotations

import asyncio
import ctypes
import fcntl
import logging
import os
import signal
import socket
import struct
import sys
import termios
import time
from collections.abc import Iterator
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from service.lifecycle.runtime import Runtime

log = logging.getLogger("kindred.service")

_TICK = 0.1  # seconds between two looks at whether the pause is over
_FIRST = 1.0  # seconds that somebody who has just connected gets to send a first byte

_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; Python has no name for it
# A classic BPF program over the TCP header: 0 bytes of a packet with SYN and without ACK are kept, all of any other.
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # and SYN | ACK
    (0x15, 0, 1, 0x02),  # is SYN alone set? else skip one
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # keep
)


class StoppingState(ServerState):
    """What the connections of one server know of its stop."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False
        self.closing = False


class StoppingHttp(HttpToolsProtocol):
    """A connection that is closed only when no request is on its way."""

    server_state: StoppingState
    _arriving = False  # a head has begun and not ended

    def drain(self) -> None:
        """The answer to come, where its head has not gone out yet, is this connection's last."""
        if self._is_answering() and not self.cycle.response_started:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Close now if nothing is on its way, else once it is answered."""
        if self._is_answering():
            self.drain()
        elif self.cycle is None and not self._arriving:
            self.loop.call_later(_FIRST, self._close_idle)
        else:
            self._close_idle()

    def _close_idle(self) -> None:
        if not (self._is_answering() or self._arriving or self.transport.is_closing() or self._has_unread()):
            self.transport.close()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _has_unread(self) -> bool:
        """True when the system holds bytes that the loop has not read: a request, most likely."""
        descriptor = self.transport.get_extra_info("socket").fileno()
        (waiting,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))
        return bool(waiting)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.server_state.closing and self.parser is not None:
            self._close_idle()  # what came need not have been a request

    def on_message_begin(self) -> None:
        self._arriving = True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        before = self.cycle
        super().on_headers_complete()
        self._arriving = False
        if self.server_state.draining:
            if before is not None and not before.response_started:
                before.keep_alive = True  # it came together with this one, which is the last now
            self.drain()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.server_state.closing:
            self.shutdown()


class StoppingServer(uvicorn.Server):
    """uvicorn's server with the two phases. Only SIGTERM has a first one: whoever presses Ctrl+C will not wait."""

    server_state: StoppingState

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.server_state = StoppingState()
        self._drains = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._drains = self._drains or sig == signal.SIGTERM
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        runtime = cast(Runtime, cast(FastAPI, self.config.app).state.runtime)
        runtime.stop()
        self.server_state.draining = True
        for connection in self._connections():
            connection.drain()
        pause = runtime.settings.drain if self._drains else 0.0
        log.info("stopping", extra={"drain_seconds": pause, "connections": len(self.server_state.connections)})
        end = time.monotonic() + pause
        while (left := end - time.monotonic()) > 0 and not self.force_exit:
            await self.on_tick(0)  # answers go on having a Date
            await asyncio.sleep(min(left, _TICK))
        self.server_state.closing = True
        await self._stop_listening()
        await super().shutdown(sockets)

    def _connections(self) -> list[StoppingHttp]:
        return cast(list[StoppingHttp], list(self.server_state.connections))

    async def _stop_listening(self) -> None:
        """Close the listening sockets, and take in whoever had connected by then: they may have sent a request, and
        the system would reset their connections.
        """
        # Copies keep the queues of connections alive while the loop lets go of the originals.
        copies = [
            socket.socket(fileno=os.dup(listener.fileno())) for server in self.servers for listener in server.sockets
        ]
        for copy in copies:
            _admit_no_more(copy)
        if self._drains:
            await asyncio.sleep(_TICK)  # handshakes that have begun come to their end
        for server in self.servers:
            server.close()
        waiting = [connection for copy in copies for connection in _queue_of(copy)]
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._make_connection, connection)

    def _make_connection(self) -> asyncio.Protocol:
        make = cast(type[StoppingHttp], self.config.http_protocol_class)
        return make(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _admit_no_more(listener: socket.socket) -> None:
    """Let the system drop the first packet of every new connection. Its sender repeats it after a second and then finds
    nobody listening, which says that nothing was sent. Without this, somebody could join the queue between the last
    look at it and its end.
    """
    if not sys.platform.startswith("linux"):
        return
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    program = struct.pack("HP", len(_NO_SYN), ctypes.addressof(code))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        log.warning("who connects in this moment may be reset", extra={"reason": str(error)})


def _queue_of(listener: socket.socket) -> Iterator[socket.socket]:
    """The connections that wait at a listening socket, which is then closed."""
    with listener:
        listener.setblocking(False)
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            connection.setblocking(False)
            yield connection
