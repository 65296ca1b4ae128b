"""What a key may do. A route declares its scope in OpenAPI's own terms, for the guard and for the document."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

KeyScope: TypeAlias = Literal["read", "write", "admin"]

# Each includes those before it.
SCOPES: tuple[KeyScope, ...] = get_args(KeyScope)

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer kindred_…`"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: kindred_…`"},
}

OPEN: dict[str, Any] = {"security": []}
"""`openapi_extra` of a route that needs no key."""


def needs(scope: KeyScope) -> dict[str, Any]:
    """`openapi_extra` of a route that a key of this scope, or of a wider one, opens."""
    return {"security": [{scheme: [scope]} for scheme in SCHEMES]}


def level(scope: str) -> int:
    """1 for the narrowest scope, one more for each wider one. Raises ValueError for an unknown scope."""
    return SCOPES.index(scope) + 1


NO_KEY = 0  # the level of an open route
ANY_KEY = level("read")
UNDECLARED = len(SCOPES) + 1  # a level that no key has: a route that declares no scope is closed


def declared(openapi_extra: dict[str, Any] | None) -> int:
    """The level that a route's `openapi_extra` asks for."""
    security = (openapi_extra or {}).get("security")
    if security is None:
        return UNDECLARED
    return max((level(scope) for way in security for scopes in way.values() for scope in scopes), default=NO_KEY)
