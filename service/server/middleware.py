"""Pure ASGI middleware: request ids, access log, metrics and the last word on errors; limits on bodies; probes first.

Not BaseHTTPMiddleware, which puts a task and two queues between server and handler: about as long as the
handler.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.problems import Problem
from service.errors import shorten
from service.metrics import Metrics
from service.security.keys import redact
from service.security.route_table import RouteTable
from service.server.fast_refusal import made_up_id

log = logging.getLogger("kindred.access")
errors_log = logging.getLogger("kindred.errors")

PROBES = frozenset({"/livez", "/readyz"})
_SMALL = 64 * 1024  # bytes; bodies up to this size are only as many as there are connections
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Observe:
    """Outermost: gives each request its id, answers what nobody caught, then logs and counts it."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: RouteTable) -> None:
        self.app = app
        self.metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = request_id_of(scope)
        scope["request_id"] = request_id
        status = 0

        async def stamped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode("ascii"))]
            await send(message)

        try:
            await self.app(scope, receive, stamped)
        except ClientDisconnect:
            pass  # in the middle of its body: counted, with status 0, and no fault of the service
        except Exception:
            # The caller learns that it failed and the id to ask about, the log learns why.
            errors_log.exception("unhandled error", extra={"request_id": request_id})
            if status:
                raise
            problem = Problem("internal-error", 500, f"an unexpected error, logged as request {request_id}")
            await problem.response(Request(scope))(scope, receive, stamped)
        finally:
            seconds = time.perf_counter() - started
            try:
                # The server sends what it was given when the loop comes round: the caller need not wait for the log.
                await asyncio.sleep(0)
            finally:
                self._record(scope, request_id, status, seconds)

    def _record(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        # By the table: a request that the guard or the body limit refuses is never routed.
        route = self._routes.find(scope["method"], scope["path"]).template
        self.metrics.observe_request(scope["method"], route, status, seconds)
        key = {"key": scope["key_id"]} if "key_id" in scope else {}
        log.info(
            "request",
            extra={
                "request_id": request_id,
                "method": scope["method"],
                "route": route,
                "path": shorten(redact(scope["path"]), 300),
                "status": status,
                "ms": round(seconds * 1000, 3),
                **key,
            },
        )


def request_id_of(scope: Scope) -> str:
    """The caller's X-Request-ID where it is harmless in headers and logs, and no key, else a new one."""
    given = Headers(scope=scope).get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) and redact(given) == given else made_up_id()


class BodyLimit:
    """Refuses bodies above `limit` bytes: by Content-Length before anything is read, else while they stream
    in. Refuses too what comes while large bodies of others hold `together` bytes, and what comes too slowly.

    What the sender goes on sending after the refusal is read and thrown away by the server, so that an
    ordinary client gets to see the 413 rather than a broken connection; no more than `limit` bytes are ever
    held.
    """

    def __init__(self, app: ASGIApp, limit: int, together: int) -> None:
        self.app = app
        self.limit = limit
        self.together = together
        self._held = 0  # by bodies beyond their first `_SMALL` bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self.limit:
            problem = Problem("body-too-large", 413, self._detail(f"{shorten(declared, 20)} bytes are declared"))
            await problem.response(Request(scope))(scope, receive, send)
            return
        received = held = 0
        answering = False

        async def noted(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        async def counted() -> Message:
            nonlocal received, held
            message = await receive()
            if message["type"] == "http.request" and answering:
                # Of a request whose answer is under way the body is of no use: too late to refuse, and not kept.
                return {**message, "body": b""}
            if message["type"] == "http.request":
                if "late" in scope:  # the connection says so
                    detail = f"the body did not come in within its time; {received} bytes did"
                    raise HTTPException(408, detail, {"Connection": "close"})
                received += len(message.get("body", b""))
                if received > self.limit:
                    raise HTTPException(413, self._detail(f"more than {self.limit} bytes came"))
                if received > _SMALL:
                    self._held += received - _SMALL - held
                    held = received - _SMALL
                    if self._held > self.together:
                        detail = f"bodies of {self.together} bytes are being read already; send it again later"
                        raise HTTPException(503, detail)
            return message

        try:
            await self.app(scope, counted, noted)
        finally:
            self._held -= held

    def _detail(self, what: str) -> str:
        return f"{what}, a body may have at most {self.limit} bytes"


class LastPlaces:
    """Answers nothing but probes on the connections that are kept for them; the server closes each after its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("crowded") and scope["path"] not in PROBES:
            problem = Problem("too-many-connections", 503, "the service has as many connections as it takes")
            await problem.response(Request(scope))(scope, receive, send)
            return
        await self.app(scope, receive, send)
