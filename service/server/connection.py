"""One HTTP connection: uvicorn's, with the limits it lacks: of heads, of time, and of the number of connections."""

from __future__ import annotations

import asyncio
import logging
from asyncio import TimerHandle
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service.contract.problems import MEDIA_TYPE, Problem
from service.server.admission import Gate
from service.server.drain import StoppingHttp
from service.server.fast_refusal import is_plain, made_up_id, refusal
from service.server.middleware import request_id_of
from service.settings import Settings

log = logging.getLogger("kindred.connection")

HEAD_MAX = 64 * 1024  # bytes of a request line and headers; an item id of 256 characters takes 3 KiB at most
PIPELINE_MAX = 16  # requests that wait for the one before them on the same connection; clients of today send none
BODY_RATE = 16 * 1024  # bytes a second; each as many that came give a body another second
LAG = 0.1  # seconds
RESERVE = 32  # connections beyond the most, kept for probes

_INTERIM = b"HTTP/1.1 1"  # an answer before the answer


class Configuration(uvicorn.Config):
    """uvicorn's, which every connection is given, and the settings that a connection reads."""

    def __init__(self, app: Any, settings: Settings, **options: Any) -> None:
        super().__init__(app, http=BoundedHttp, **options)
        self.read_timeout = settings.read_timeout
        self.connections_max = settings.connections_max


class _Transport:
    """A connection as the answer to one request sees it: the head goes out with the first of the body. uvicorn writes
    them one after the other, which are two packets, and twice the work for both sides.
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
        """What is held goes out first."""
        if self._head is not None:
            self.write(b"")
        self._transport.close()


class BoundedHttp(StoppingHttp):
    """Refuses what never ends: heads and trailers of any length, requests that come in by drops, answers that nobody
    takes, more connections than there are places.

    A request that does not get on has a timer, which is set once the data that came does not end it; one that comes
    in one piece costs none. The head has `read_timeout` seconds from its first byte, the body as long and a second
    for each `BODY_RATE` bytes of it.
    """

    config: Configuration

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._timeout = self.config.read_timeout
        self._reading = False  # a request has begun to come in
        self._in_head = True
        self._unread = 0  # bytes that came since the last that were part of a body
        self._body = 0
        self._began = self._due = 0.0
        self._excused = False
        self._slow: TimerHandle | None = None
        self._stuck: TimerHandle | None = None
        self._crowded = False
        self._parsing = False
        self._held: tuple[Any, Any] | None = None

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
        if self._is_refused(data):
            return
        self._reading = self._parsing = True
        self._unread += len(data)
        super().data_received(data)
        self._parsing = False
        self._begin()
        if not self._reading or self.transport.is_closing():
            return
        if self._unread > HEAD_MAX:
            # Of a request that ends, on_headers_complete counts. In a body, this is a trailer, or a chunk's extension.
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
        # A block may hold more than this head, so that it is counted itself when it may be too long.
        if self._unread > HEAD_MAX and len(self.url) + sum(len(n) + len(v) + 4 for n, v in self.headers) > HEAD_MAX:
            self._refuse_head()
            raise ValueError("the head is too long")  # ends the parsing
        if len(self.pipeline) >= PIPELINE_MAX:
            raise ValueError("too many pipelined requests")
        super().on_headers_complete()
        if self.scope["method"] != "HEAD":  # its answer is a head alone
            self.cycle.transport = cast(asyncio.Transport, _Transport(self.transport))
        # What httptools finds after the body is no part of the request's headers; the scope keeps the list it has.
        self.headers = []
        if self._crowded:
            self.cycle.keep_alive = False

    def _is_refused(self, data: bytes) -> bool:
        """Refuse a plain recommendation that would not get in, before it is parsed: parsing takes three times as long
        as all the rest of a refusal.
        """
        gate = self._gate
        if gate is None or not gate.is_full or self._reading or self._crowded or self.server_state.draining:
            return False
        if self._is_answering() or not is_plain(data):
            return False
        gate.enter()  # counts it
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None
        self.transport.write(refusal(made_up_id()))
        self.on_response_complete()
        return True

    @property
    def _gate(self) -> Gate | None:
        return getattr(cast(FastAPI, self.config.app).state, "gate", None)

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        """As uvicorn has it, but for recommendations that would not get in: refused here, before there is a task or a
        log line.

        Counted here as well, because requests that come in the same turn of the loop begin after all were read. One
        whose body is still to come takes no place yet: `service.server.admission` gives it one, as it would all of them
        where a uvicorn without this method were to come.
        """
        if self._parsing and cycle.more_body:
            self._held = cycle, app  # the rest of what came may hold its body
            return
        scope = cycle.scope
        gate = self._gate
        # One that is crowded out is refused before it could leave the gate.
        if (
            gate is not None
            and not (cycle.more_body or self._crowded)
            and scope["path"] == "/recommend"
            and scope["method"] == "POST"
        ):
            if not gate.enter():
                self._refuse_busy(cycle)
                return
            scope["admitted"] = gate
        super()._start_asgi_task(cycle, app)

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
        self._begin()

    def _begin(self) -> None:
        """Start what was held until its body was there, or until no more of it came."""
        if self._held is None:
            return
        (cycle, app), self._held = self._held, None
        if not self.transport.is_closing():  # refused: what came behind the head is not HTTP
            parsing, self._parsing = self._parsing, False
            self._start_asgi_task(cycle, app)
            self._parsing = parsing

    def _set_timer(self) -> None:
        self._began = self.loop.time()
        self._excused = False
        self._look_in(self._timeout)

    def _look_in(self, seconds: float) -> None:
        self._due = self.loop.time() + seconds
        self._slow = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """The time of a request is over, unless its body may take longer or it is we who do not read it."""
        answering = self.cycle is not None and not self.cycle.response_complete
        allowed = self._timeout + self._body / BODY_RATE
        wait = self._began + allowed - self.loop.time()
        if self.transport.is_closing():
            self.transport.abort()
        elif self.loop.time() - self._due > LAG and not self._excused:
            # The loop was held up: what the client sent in time may lie there unread.
            self._excused = True
            self._look_in(min(1.0, self._timeout))
        elif self.flow.read_paused or (answering and (self._in_head or self.cycle.response_started)):
            self._look_in(self._timeout)
        elif answering and wait > 0:
            self._look_in(min(wait, self._timeout))
        elif answering and "late" not in self.cycle.scope:
            # The app waits for the body: it is woken, and answers (`BodyLimit`).
            self.cycle.scope["late"] = True  # type: ignore[typeddict-unknown-key]
            self.cycle.message_event.set()
            self._look_in(self._timeout)
        elif self._reading and self._in_head:
            detail = f"the request's head did not come in within {self._timeout:g} s"
            self._refuse(Problem("request-timeout", 408, detail))
        else:
            # Nothing was asked, or what was is answered and the rest of its body goes on and on.
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
        """A closed connection stays until the client has taken everything: not for ever."""
        if self._stuck is None and self.transport.get_write_buffer_size():
            self._stuck = self.loop.call_later(self._timeout, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(Problem("bad-http", 400, "what came is not HTTP/1.1 as this service reads it"))

    def _refuse_busy(self, cycle: Any) -> None:
        if self.server_state.draining:
            cycle.keep_alive = False
        cycle.response_started = cycle.response_complete = True
        self.transport.write(refusal(request_id_of(cycle.scope), cycle.keep_alive))
        if not cycle.keep_alive:
            self.transport.close()
        if self.pipeline:
            self.loop.call_soon(self.on_response_complete)  # not from here: a long pipeline would be a deep recursion
        else:
            self.on_response_complete()

    def _refuse_head(self) -> None:
        if not self.transport.is_closing():
            detail = f"a request's line and headers may have at most {HEAD_MAX} bytes"
            self._refuse(Problem("headers-too-large", 431, detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the app, which has not seen the request or has not begun to answer, and close."""
        log.info("refused", extra={"problem": problem.type, "client": self.client[0] if self.client else "unknown"})
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = to_json(problem.body())
            length = str(len(body)).encode("ascii")
            self.transport.write(
                STATUS_LINE[problem.status]
                + b"content-type: " + MEDIA_TYPE.encode("ascii") + b"\r\n"
                + b"content-length: " + length + b"\r\nconnection: close\r\n\r\n"
                + body
            )  # fmt: skip
        if self.cycle is not None:
            self.cycle.disconnected = True  # what the app still says goes nowhere
            self.cycle.message_event.set()
        self.transport.close()
        self._let_go()
