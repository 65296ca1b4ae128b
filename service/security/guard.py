"""Decides who may ask, and how often, before anything of a body is read. Pure ASGI middleware."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable
from functools import lru_cache, partial

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from service.contract.problems import Problem
from service.metrics import Metrics
from service.security import problem_answers
from service.security.key_ring import KeyRing
from service.security.keys import Key, parse_key
from service.security.rate_limit import RateLimit
from service.security.route_table import RouteTable
from service.security.scopes import NO_KEY, SCOPES, UNDECLARED

_HOW = "Authorization: Bearer <key>, or X-API-Key: <key>"


class AccessDenied(Exception):
    """The guard turns a request away. `reason` is the metric's label; nothing here repeats what the caller sent."""

    def __init__(self, reason: str, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.headers = headers


class Guard:
    """Lets a request in if its key has the scope that the route declares.

    A route that declares no scope is closed to everybody. A path without a route needs a key of any scope. Without
    `keys` everything is open, and only the rate is limited.

    The rate is limited by key, and by address for callers who show no good key.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: RouteTable,
        metrics: Metrics,
        keys: KeyRing | None,
        limits: Callable[[], RateLimit] | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self._routes = routes
        self._keys = keys
        # Two, so that many addresses cannot push a key's bucket out.
        self._by_key = limits() if limits else None
        self._by_address = limits() if limits else None
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except AccessDenied as denied:
            self.metrics.observe_refusal(denied.reason)
            await problem_answers.response(denied.problem, Request(scope), denied.headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        needed = self._routes.find(scope["method"], scope["path"]).level
        if needed == NO_KEY:
            return  # not even its rate is limited: an orchestrator would end a healthy process over a refused probe
        if self._keys is None:
            _take(self._by_address, address_of(scope), scope)
            return
        try:
            key = self._identify(scope, self._keys)
        except AccessDenied:
            _take(self._by_address, address_of(scope), scope)
            raise
        scope["key_id"] = key.id
        _take(self._by_key, key.id, scope)
        if key.level < needed:
            asked = f"the scope {SCOPES[needed - 1]!r}" if needed < UNDECLARED else "a scope that no key has"
            detail = f"this needs {asked}, key {key.id} has {SCOPES[key.level - 1]!r}"
            raise AccessDenied("scope", Problem("forbidden", 403, detail))

    def _identify(self, scope: Scope, keys: KeyRing) -> Key:
        token = token_of(scope)
        key = keys.find(token)
        if key is None:
            if parse_key(token) is None:
                raise _unauthorized("malformed", "the API key does not have the form kindred_<id>_<secret>")
            raise _unauthorized("unknown", "the API key is unknown")
        if not key.is_live(self._now()):
            raise _unauthorized("expired", "the API key has expired")
        return key


def token_of(scope: Scope) -> str:
    """The key that a request shows. Raises AccessDenied when it shows none, or two different ones."""
    shown: set[bytes] = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            shown.add(value.strip())
        elif name == b"authorization":
            scheme, _, token = value.strip().partition(b" ")
            if scheme.lower() != b"bearer":
                raise _unauthorized("malformed", f"the Authorization header holds no Bearer key; send {_HOW}")
            shown.add(token.strip())
    if not shown:
        raise _unauthorized("missing", f"an API key is needed: {_HOW}")
    if len(shown) > 1:
        raise _unauthorized("ambiguous", "two different API keys are given; send one")
    return shown.pop().decode("latin-1")


def _unauthorized(reason: str, detail: str) -> AccessDenied:
    return AccessDenied(reason, Problem("unauthorized", 401, detail), {"WWW-Authenticate": "Bearer"})


def _take(limit: RateLimit | None, caller: str, scope: Scope) -> None:
    """Raises AccessDenied when the caller has to wait."""
    if limit is None:
        return
    if wait := limit.take(caller):
        seconds = math.ceil(wait)
        problem = Problem("rate-limited", 429, f"too many requests; the next one is admitted in {seconds} s")
        raise AccessDenied("rate", problem, {"Retry-After": str(seconds)})
    scope["owe"] = partial(limit.owe, caller)


def address_of(scope: Scope) -> str:
    """What counts as one caller of the client's address; "unknown" for a connection without an address."""
    client = scope.get("client")
    return _network(client[0]) if client else "unknown"


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    """The whole IPv4 address, or the first 64 bits of an IPv6 address: its owner controls that whole network."""
    try:
        address = ipaddress.IPv6Address(host)
    except ipaddress.AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
