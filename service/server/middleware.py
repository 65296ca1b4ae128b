"""Pure ASGI middleware: the access log with request ids and metrics, limits of bodies, connections kept for probes.

Starlette's BaseHTTPMiddleware would put a task and two queues between server and handler, and takes as long as the
handler itself.
"""

from __future__ import annotations

import asyncio
import logging
import time

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.contract.problems import Problem
from service.errors import shorten
from service.metrics import Metrics
from service.security import problem_answers
from service.security.redaction import redact
from service.security.route_table import RouteTable
from service.server.request_id import accepted_request_id

log = logging.getLogger("kindred.access")
errors_log = logging.getLogger("kindred.errors")

PROBES = frozenset({"/livez", "/readyz"})
_SMALL = 64 * 1024  # bytes; the number of connections bounds what smaller bodies take together


class Observe:
    """The outermost: gives each request its id, answers 500 to errors that nobody caught, then logs and counts."""

    def __init__(self, app: ASGIApp, metrics: Metrics, routes: RouteTable) -> None:
        self.app = app
        self.metrics = metrics
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = accepted_request_id(Headers(scope=scope).get("x-request-id", ""))
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
            pass  # in the middle of its body: no fault of the service, counted with status 0
        except Exception:
            # The caller gets the id to ask about, the log gets the reason.
            errors_log.exception("unhandled error", extra={"request_id": request_id})
            if status:
                raise
            problem = Problem("internal-error", 500, f"an unexpected error, logged as request {request_id}")
            await problem_answers.response(problem, Request(scope))(scope, receive, stamped)
        finally:
            seconds = time.perf_counter() - started
            try:
                # Let the server send the answer first: the caller need not wait for the log.
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


class BodyLimit:
    """Refuses bodies above `limit` bytes: by Content-Length before it reads anything, else while they stream in.

    It also refuses a body that comes while large bodies hold `total` bytes, and one that comes too slowly. The server
    discards the rest of a refused body, so that an ordinary client sees the 413 rather than a broken connection.
    """

    def __init__(self, app: ASGIApp, limit: int, total: int) -> None:
        self.app = app
        self.limit = limit
        self.total = total
        self._held = 0  # bytes of all bodies beyond their first `_SMALL`

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self.limit:
            problem = Problem("body-too-large", 413, self._detail(f"{shorten(declared, 20)} bytes are declared"))
            await problem_answers.response(problem, Request(scope))(scope, receive, send)
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
                # The answer is under way: too late to refuse, and nobody needs the body.
                return {**message, "body": b""}
            if message["type"] == "http.request":
                if "late" in scope:  # set by the connection
                    detail = f"the body did not come in within its time; {received} bytes did"
                    raise HTTPException(408, detail, {"Connection": "close"})
                received += len(message.get("body", b""))
                if received > self.limit:
                    raise HTTPException(413, self._detail(f"more than {self.limit} bytes came"))
                if received > _SMALL:
                    self._held += received - _SMALL - held
                    held = received - _SMALL
                    if self._held > self.total:
                        detail = f"bodies of {self.total} bytes are being read already; send it again later"
                        raise HTTPException(503, detail)
            return message

        try:
            await self.app(scope, counted, noted)
        finally:
            self._held -= held

    def _detail(self, what: str) -> str:
        return f"{what}, a body may have at most {self.limit} bytes"


class LastPlaces:
    """Answers probes alone on the connections kept for them. The server closes each of these after its answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("crowded") and scope["path"] not in PROBES:
            problem = Problem("too-many-connections", 503, "the service has as many connections as it can take")
            await problem_answers.response(problem, Request(scope))(scope, receive, send)
            return
        await self.app(scope, receive, send)
