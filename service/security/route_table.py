"""The routes of an app as one table. The guard, the metrics, the log and the 405 answer all look here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

from service.security.scopes import ANY_KEY, declared

UNMATCHED = "unmatched"


class Found(NamedTuple):
    """What the table knows of one request.

    template: the route's path, such as `/items/{item_id:text}`. level: what a key needs, see `service.security.scopes`.
    """

    template: str
    level: int


class _Route(NamedTuple):
    pattern: re.Pattern[str]
    methods: frozenset[str] | None  # None: all of them
    found: Found

    def answers(self, method: str) -> bool:
        return self.methods is None or method in self.methods


class RouteTable:
    """Looks requests up in an app's routes, in the order in which the app tries them.

    It reads the routes at the first look-up, so they may be added to the app after the table is made.
    """

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._source = routes

    def find(self, method: str, path: str) -> Found:
        """The route that will answer.

        Where a path has no such method, the template is that of another method and any key will do, so that the caller
        gets a 405. Where no route has the path, the template is `UNMATCHED`.
        """
        return self._fixed.get((method, path)) or self._search(method, path)

    def methods(self, path: str) -> set[str]:
        """Every method that some route takes at a path."""
        return {method for route in self._routes if route.pattern.match(path) for method in route.methods or ()}

    def _search(self, method: str, path: str) -> Found:
        fitting = [route for route in self._routes if route.pattern.match(path)]
        for route in fitting:
            if route.answers(method):
                return route.found
        return Found(fitting[0].found.template if fitting else UNMATCHED, ANY_KEY)

    @cached_property
    def _routes(self) -> list[_Route]:
        routes = []
        for context in iter_route_contexts(self._source):
            methods = None if context.methods is None else frozenset(context.methods)
            found = Found(context.path or UNMATCHED, declared(getattr(context.original_route, "openapi_extra", None)))
            routes.append(_Route(context.path_regex, methods, found))
        return routes

    @cached_property
    def _fixed(self) -> dict[tuple[str, str], Found]:
        """Paths without parameters, which most requests go to: looked up, not searched."""
        fixed = {
            (method, route.found.template)
            for route in self._routes
            if "{" not in route.found.template
            for method in route.methods or ()
        }
        return {(method, path): self._search(method, path) for method, path in fixed}
