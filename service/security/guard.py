"""The door: who may ask, and how often. Pure ASGI middleware, before anything of a body is read."""

from __future__ import annotations

import ipaddress
import math
import re
import time
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache, partial

from fastapi.routing import iter_route_contexts
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.contract.problems import Problem
from service.metrics import Metrics
from service.security.key_ring import KeyRing
from service.security.keys import Key, parse
from service.security.rate_limit import RateLimit
from service.security.scopes import SCOPES, declared

_UNDECLARED = len(SCOPES) + 1  # a level that no key has
_HOW = "Authorization: Bearer <key>, or X-API-Key: <key>"


class Refused(Exception):
    """A request that stays outside. `reason` is the metric's label; nothing in it repeats what the caller sent."""

    def __init__(self, reason: str, problem: Problem, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.headers = headers


class Guard:
    """Holds each request to the scope that its route declares. A route that declares none is closed to everybody; what
    no route answers needs a key, of any scope. Without `keys` everything is open, and only the rate is limited.

    Callers are limited by their key, and by their address as long as they have shown none.
    """

    def __init__(
        self,
        app: ASGIApp,
        routes: Sequence[BaseRoute],
        metrics: Metrics,
        keys: KeyRing | None,
        limits: Callable[[], RateLimit] | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.app = app
        self.metrics = metrics
        self._doors = Doors(routes)
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
        except Refused as refused:
            self.metrics.observe_refusal(refused.reason)
            await refused.problem.response(Request(scope), refused.headers)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        needed = self._doors.level(scope)
        if needed == 0:
            return  # a probe that is refused would end a healthy process
        if self._keys is None:
            _take(self._by_address, address_of(scope), scope)
            return
        try:
            key = self._identify(scope, self._keys)
        except Refused:
            _take(self._by_address, address_of(scope), scope)
            raise
        scope["key_id"] = key.id
        _take(self._by_key, key.id, scope)
        if key.level < needed:
            asked = f"the scope {SCOPES[needed - 1]!r}" if needed < _UNDECLARED else "a scope that no key has"
            detail = f"this needs {asked}, key {key.id} has {SCOPES[key.level - 1]!r}"
            raise Refused("scope", Problem("forbidden", 403, detail))

    def _identify(self, scope: Scope, keys: KeyRing) -> Key:
        token = token_of(scope)
        key = keys.find(token)
        if key is None:
            if parse(token) is None:
                raise _unauthorized("malformed", "the API key has not the form kindred_<id>_<secret>")
            raise _unauthorized("unknown", "the API key is not known")
        if not key.is_live(self._now()):
            raise _unauthorized("expired", "the API key has expired")
        return key


class Doors:
    """The level that a request needs, by the route that will answer it: the same patterns in the same order."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes: list[tuple[re.Pattern[str], Collection[str] | None, int]] = []
        fixed: set[tuple[str, str]] = set()
        for route in iter_route_contexts(routes):
            level = declared(getattr(route.original_route, "openapi_extra", None))
            self._routes.append((route.path_regex, route.methods, _UNDECLARED if level is None else level))
            if route.path is not None and "{" not in route.path:
                fixed.update((method, route.path) for method in route.methods or ())
        # Most requests go to a path without parameters: looked up, not searched.
        self._fixed = {(method, path): self._search(method, path) for method, path in fixed}

    def level(self, scope: Scope) -> int:
        """0 where no key is needed, else the place of the scope in `SCOPES`, from 1 on."""
        method, path = scope["method"], scope["path"]
        level = self._fixed.get((method, path))
        return self._search(method, path) if level is None else level

    def _search(self, method: str, path: str) -> int:
        for pattern, methods, level in self._routes:
            if (methods is None or method in methods) and pattern.match(path):
                return level
        return 1


def token_of(scope: Scope) -> str:
    """What a request shows as its key; raises Refused where that is nothing, or two things."""
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


def _unauthorized(reason: str, detail: str) -> Refused:
    return Refused(reason, Problem("unauthorized", 401, detail), {"WWW-Authenticate": "Bearer"})


def _take(limit: RateLimit | None, caller: str, scope: Scope) -> None:
    """Raises Refused when the caller has to wait."""
    if limit is None:
        return
    if wait := limit.take(caller):
        seconds = math.ceil(wait)
        problem = Problem("rate-limited", 429, f"too many requests; the next one is admitted in {seconds} s")
        raise Refused("rate", problem, {"Retry-After": str(seconds)})
    scope["owe"] = partial(limit.owe, caller)


def address_of(scope: Scope) -> str:
    """The client's address as far as it counts as one caller; "unknown" for a connection without."""
    client = scope.get("client")
    return _network(client[0]) if client else "unknown"


@lru_cache(maxsize=1024)
def _network(host: str) -> str:
    """An IPv4 address as it is, of an IPv6 address the first 64 bits: whoever has one has that whole network."""
    try:
        address = ipaddress.IPv6Address(host)
    except ipaddress.AddressValueError:
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(address) >> 64 << 64))
