"""uvicorn, with a limit on the head of a request and a word on where it listens."""

from __future__ import annotations

import socket
from typing import Any

import uvicorn
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.admission import busy
from service.middleware import request_id_of
from service.problems import MEDIA_TYPE, RETRY_AFTER
from service.settings import Settings

HEAD_MAX = 64 * 1024  # bytes of a request line and headers; an item id of 256 characters takes 3 KiB at most

_ID = b"<request id>"
# Head and body of the refusal, written once; a request id holds nothing that JSON or a header would take amiss.
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: %b\r\nretry-after: %d\r\n"
    b"content-length: %%d\r\nx-request-id: %%b\r\n%%b\r\n" % (MEDIA_TYPE.encode(), RETRY_AFTER),
    to_json(busy().body(_ID.decode())),
)


class BoundedHttp(HttpToolsProtocol):
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

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """As uvicorn has it, but for recommendations that would not get in: refused here, before there is a task,
        a log line or a body. A refusal takes 25 µs and leaves the time to those that are not refused.

        Counted here as well, because requests that come in the same turn of the loop begin after all were read. Where
        a uvicorn without this method were to come, `service.admission` alone would do it.
        """
        scope = cycle.scope
        served: Any = self.config.app
        gate = getattr(served.state, "gate", None)
        if gate is not None and scope["path"] == "/recommend" and scope["method"] == "POST":
            if not gate.enter():
                self._refuse(cycle)
                return
            scope["admitted"] = gate
        super()._start_asgi_task(cycle, app)

    def _refuse(self, cycle: Any) -> None:
        request_id = request_id_of(cycle.scope).encode("ascii")
        head, body = _BUSY
        cycle.response_started = cycle.response_complete = True
        closing = b"" if cycle.keep_alive else b"connection: close\r\n"
        length = len(body) - len(_ID) + len(request_id)
        self.transport.write(head % (length, request_id, closing) + body.replace(_ID, request_id))
        if not cycle.keep_alive:
            self.transport.close()
        if self.pipeline:
            self.loop.call_soon(self.on_response_complete)  # not from here: a long pipeline would be a deep recursion
        else:
            self.on_response_complete()

    def on_message_complete(self) -> None:
        # What may follow in the same block is the beginning of the next head, and is not counted.
        self._in_head = True
        self._head = 0
        super().on_message_complete()


class Server(uvicorn.Server):
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
