"""uvicorn, with limited connections and a word on where it listens."""

from __future__ import annotations

import socket
from typing import Any

from service.connection import Configuration
from service.settings import Settings
from service.stopping import StoppingServer


class Server(StoppingServer):
    """Says on standard output where the service and its documentation are, once it listens. A browser that opens the
    documentation has no key, so with keys it is not named.
    """

    documentation = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for server in self.servers:
            for listener in server.sockets:
                host, port = listener.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                documentation = f"; documentation: http://{shown}:{port}/docs" if self.documentation else ""
                print(f"Kindred listens on http://{shown}:{port}{documentation}", flush=True)


def configuration(app: Any, settings: Settings) -> Configuration:
    """uvicorn's settings for one worker: logs go through the root logger, the access log is the app's own."""
    return Configuration(
        app,
        settings,
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
