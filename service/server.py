"""uvicorn, with a limit on the head of a request and a word on where it listens."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn

from service.settings import Settings
from service.stopping import StoppingHttp, StoppingServer

HEAD_MAX = 64 * 1024  # bytes of a request line and headers; an item id of 256 characters takes 3 KiB at most


class BoundedHttp(StoppingHttp):
    """Refuses a request whose head does not end within `HEAD_MAX` bytes; httptools alone would collect any
    amount.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._head = 0  # bytes of the head that is coming in

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._in_head and self._head > HEAD_MAX and not self.transport.is_closing():
            self.send_400_response("The request's headers are too long.")

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        # What may follow in the same block is the beginning of the next head, and is not counted.
        self._in_head = True
        self._head = 0
        super().on_message_complete()


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


def configuration(app: Any, settings: Settings) -> uvicorn.Config:
    """uvicorn's settings for one worker: logs go through the root logger, the access log is the app's own."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=BoundedHttp,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=settings.keep_alive,
        timeout_graceful_shutdown=settings.shutdown_grace,
    )
