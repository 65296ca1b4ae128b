"""One HTTP connection: uvicorn's, with the limits that uvicorn lacks.

uvicorn's own settings cannot take their places. `h11_max_incomplete_event_size` limits heads in its other parser alone,
`timeout_keep_alive` begins after an answer, and `limit_concurrency` refuses probes too. Nothing in uvicorn limits how
long a head, a body or an answer may take, or how many requests may be pipelined.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import TimerHandle
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.contract.problems import MEDIA_TYPE, Problem
from service.security import problem_answers
from service.server.admission import Queue
from service.server.drain import StoppingHttp
from service.server.fast_refusal import is_plain, refusal
from service.settings import Settings

log = logging.getLogger("kindred.connection")

HEAD_MAX = 64 * 1024  # bytes of a request line and headers; an item id of 256 characters takes 3 KiB at most
PIPELINE_MAX = 16  # requests that wait for an earlier one of their connection; today's clients send none
BODY_RATE = 16 * 1024  # bytes; so many give a body another second
LAG = 0.1  # seconds by which a timer may be late before we blame ourselves
RESERVE = 32  # connections beyond `connections_max`, kept for probes

_INTERIM = b"HTTP/1.1 1"  # an answer before the answer


class Configuration(uvicorn.Config):
    """uvicorn's configuration, which every connection gets, with the settings that a connection reads."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(app, http=BoundedHttp, **options)
        self.read_timeout = settings.read_timeout
        self.connections_max = settings.connections_max


class _OnePacket:
    """Sends the head of an answer together with the first part of its body.

    uvicorn writes them one after the other, which makes two packets. One packet saves a client a fifth of its work (36
    against 44 µs an answer) and the service a hundredth.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False
        self.is_closing = transport.is_closing

    def write(self, data: bytes) -> None:
        if self._head is not None:
            data, self._head = self._head + data, None
        elif not self._begun and not data.startswith(_INTERIM):
            self._begun = True
            self._head = data
            return
        self._transport.write(data)

    def close(self) -> None:
        """Send what is held, then close."""
        if self._head is not None:
            self.write(b"")
        self._transport.close()


class BoundedHttp(StoppingHttp):
    """Ends what would never end: heads and trailers of any length, requests that come in by drops, answers that nobody
    reads, more connections than the service takes.

    A request gets a timer when the data that came does not complete it; one that comes in one piece needs none. Its
    head has `read_timeout` seconds from the first byte, its body as long again and a second for each `BODY_RATE` bytes.
    """

    config: Configuration

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timeout = self.config.read_timeout
        self._reading = False  # a request has begun to come in
        self._in_head = True
        self._unread = 0  # bytes that came since the last byte of a body
        self._body = 0
        self._began = self._due = 0.0
        self._excused = False
        self._slow: TimerHandle | None = None
        self._stuck: TimerHandle | None = None
        self._crowded = False
        self._admitted: Queue | None = None  # which the request that is being parsed has entered

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        over = len(self.connections) - self.config.connections_max
        if over > RESERVE:
            transport.abort()
            return
        self._crowded = over > 0
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for timer in (self._slow, self._stuck):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        queue = self._queue_for(data)
        if queue is not None and not queue.enter():
            self._refuse_busy(data)
            return
        self._admitted = queue
        self._reading = True
        self._unread += len(data)
        super().data_received(data)
        if self._admitted is not None:  # what came is not HTTP, and the app will not see it
            self._admitted.leave()
            self._admitted = None
        if not self._reading or self.transport.is_closing():
            return
        if self._unread > HEAD_MAX:
            # A head that has not ended, trailers, or a chunk's extension. on_headers_complete counts other heads.
            self._refuse_head()
        elif self._slow is None:
            self._set_timer()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._reading = self._in_head = True
        self._body = 0
        if self._crowded:
            self.scope["crowded"] = True  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        self._in_head = False
        # What came may hold more than this head, so count the head itself.
        if self._unread > HEAD_MAX and len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers) > HEAD_MAX:
            self._refuse_head()
            raise ValueError("the head is too long")  # ends the parsing
        if len(self.pipeline) >= PIPELINE_MAX:
            raise ValueError("too many pipelined requests")
        super().on_headers_complete()
        if self._admitted is not None:
            self.scope["admitted"], self._admitted = self._admitted, None  # type: ignore[typeddict-unknown-key]
        if self.scope["method"] != "HEAD":  # its answer is a head alone
            self.cycle.transport = cast(asyncio.Transport, _OnePacket(self.transport))
        # httptools adds trailers to the list that it finds here, and they are no headers. The scope keeps the old list.
        self.headers = []
        if self._crowded:
            self.cycle.keep_alive = False

    def _queue_for(self, data: bytes) -> Queue | None:
        """The queue that `data` enters at once: of a plain recommendation on an idle connection.

        Other requests enter their queues in `Admission`. A plain one does not wait for that, because requests that come
        in the same turn of the loop reach the app only after all of them were read.
        """
        if self._reading or self._crowded or self.server_state.draining or self._is_answering():
            return None
        queue: Queue | None = getattr(cast(FastAPI, self.config.app).state, "recommend_queue", None)
        return queue if queue is not None and is_plain(data) else None

    def _refuse_busy(self, data: bytes) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self.transport.write(refusal(data))
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._reading = False
        self._unread = 0
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        super().on_message_complete()

    def _set_timer(self) -> None:
        self._began = self.loop.time()
        self._excused = False
        self._look_in(self._timeout)

    def _look_in(self, seconds: float) -> None:
        self._due = self.loop.time() + seconds
        self._slow = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """The time of a request is over, unless its body may take longer or it is we who are late."""
        answering = self.cycle is not None and not self.cycle.response_complete
        allowed = self._timeout + self._body / BODY_RATE
        wait = self._began + allowed - self.loop.time()
        if self.transport.is_closing():
            self.transport.abort()
        elif self.loop.time() - self._due > LAG and not self._excused:
            # The loop was held up: the client may have sent in time what we have not read.
            self._excused = True
            self._look_in(min(1.0, self._timeout))
        elif self.flow.read_paused or (answering and (self._in_head or self.cycle.response_started)):
            self._look_in(self._timeout)
        elif answering and wait > 0:
            self._look_in(min(wait, self._timeout))
        elif answering and "late" not in self.cycle.scope:
            # The app waits for the body. Wake it, and it answers 408 (`BodyLimit`).
            self.cycle.scope["late"] = True  # type: ignore[typeddict-unknown-key]
            self.cycle.message_event.set()
            self._look_in(self._timeout)
        elif self._reading and self._in_head:
            detail = f"the request's head did not come in within {self._timeout:g} s"
            self._refuse(Problem("request-timeout", 408, detail))
        else:
            # There is no request, or it is answered and the rest of its body goes on and on.
            self.transport.close()
            self._let_go()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stuck = self.loop.call_later(self._timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stuck is not None:
            self._stuck.cancel()
            self._stuck = None

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._let_go()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._let_go()

    def _let_go(self) -> None:
        """A closing connection stays until the client has read everything. Give it only so long."""
        if self._stuck is None and self.transport.get_write_buffer_size():
            self._stuck = self.loop.call_later(self._timeout, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(Problem("bad-http", 400, "this is not HTTP/1.1 as the service reads it"))

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            detail = f"a request's line and headers may have at most {HEAD_MAX} bytes"
            self._refuse(Problem("headers-too-large", 431, detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer for the app, which has not seen the request or has not begun to answer, and close."""
        log.info("refused", extra={"problem": problem.type, "client": self.client[0] if self.client else "unknown"})
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = problem_answers.body(problem)
            length = str(len(body)).encode("ascii")
            self.transport.write(
                STATUS_LINE[problem.status]
                + b"content-type: " + MEDIA_TYPE.encode("ascii") + b"\r\n"
                + b"content-length: " + length + b"\r\nconnection: close\r\n\r\n"
                + body
            )  # fmt: skip
        if self.cycle is not None:
            self.cycle.disconnected = True  # drops whatever the app still answers
            self.cycle.message_event.set()
        self.transport.close()
        self._let_go()
