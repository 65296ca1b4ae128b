"""uvicorn's server, with limited connections. It says where it listens."""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from typing import Any

from service.server.connection import RESERVE, Configuration
from service.server.drain import StoppingServer
from service.settings import Settings

log = logging.getLogger("kindred.service")

_ACCEPTED = 8  # connections taken in per turn of the loop: libuv takes one from each listening socket
_OTHER_FILES = 128  # artifact, registry, logs, and the libraries' own


class Server(StoppingServer):
    """Says on standard output where the service and its documentation are, once it listens.

    documentation: off where there are keys, because a browser that opens the documentation has none. announce: a file
    descriptor that gets the address too, and is then closed.
    """

    documentation = True
    announce: int | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in list(self.servers):
            for listener in server.sockets:
                await self._listen_more(listener)
                host, port = listener.getsockname()[:2]
                address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
                documentation = f"; documentation: {address}/docs" if self.documentation else ""
                print(f"Kindred listens on {address}{documentation}", flush=True)
                self._announce(address)

    def _announce(self, address: str) -> None:
        if self.announce is not None:
            descriptor, self.announce = self.announce, None
            with open(descriptor, "w", encoding="utf-8") as told:
                print(address, file=told)

    async def _listen_more(self, listener: Any) -> None:
        """Listen by more descriptors of the same socket.

        In overload a turn of the loop takes milliseconds, and a caller who has connected hears nothing until the loop
        takes it in, not even that there is no room.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_ACCEPTED - 1):
            copy = socket.socket(fileno=os.dup(listener.fileno()))
            self.servers.append(await loop.create_server(self._make_connection, sock=copy, backlog=self.config.backlog))


def configuration(app: Any, settings: Settings) -> Configuration:
    """uvicorn's settings for one worker. Logs go through the root logger, and the app writes the access log."""
    return Configuration(
        app,
        settings.model_copy(update={"connections_max": _connections(settings.connections_max)}),
        host=settings.host,
        port=settings.port,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_grace,
    )


def _connections(wanted: int) -> int:
    """How many connections the limit of open files allows, `wanted` at most. Raises that limit if it can."""
    others = RESERVE + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted + others:
        soft = wanted + others if hard == resource.RLIM_INFINITY else min(wanted + others, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    possible = wanted if soft == resource.RLIM_INFINITY else max(1, min(wanted, soft - others))
    if possible < wanted:
        extra = {"connections": possible, "wanted": wanted, "open_files": soft}
        log.warning(
            "fewer connections than KINDRED_CONNECTIONS_MAX: the process may not open so many files", extra=extra
        )
    return possible
