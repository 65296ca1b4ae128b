"""The template of the route that a request was for, for logs and metrics of what was refused before it was routed."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fastapi.routing import iter_route_contexts
from starlette.routing import BaseRoute

UNMATCHED = "unmatched"


class RouteNames:
    """Looks up paths in an app's routes, in their order."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes: list[tuple[re.Pattern[str], frozenset[str] | None, str]] = [
            (route.path_regex, None if route.methods is None else frozenset(route.methods), route.path or UNMATCHED)
            for route in iter_route_contexts(routes)
        ]

    def of(self, method: str, path: str) -> str:
        """The template, such as `/items/{item_id:text}`; that of another method where this one has none."""
        found = [(methods, name) for pattern, methods, name in self._routes if pattern.match(path)]
        for methods, name in found:
            if methods is None or method in methods:
                return name
        return found[0][1] if found else UNMATCHED
