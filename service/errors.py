"""What the engine can refuse, in its own words; `problems` says what each means in HTTP."""

from __future__ import annotations


class ServiceError(Exception):
    """Base of every refusal; the message is fit to be shown to the caller."""


class NotReady(ServiceError):
    """The service has not loaded its artifact and registry yet, or could not."""


class UnknownItem(ServiceError):
    """No item of this id is served."""

    def __init__(self, item_id: str) -> None:
        super().__init__(f"no item {shorten(item_id)!r} is known")
        self.item_id = item_id


class ItemConflict(ServiceError):
    """The id is taken by an item of other content."""

    def __init__(self, item_id: str) -> None:
        super().__init__(
            f"item {shorten(item_id)!r} exists with other content; PUT /items/{{item_id}} replaces an item"
        )
        self.item_id = item_id


class BadIdempotencyKey(ServiceError):
    """The request's Idempotency-Key cannot be one."""


class IdempotencyKeyReused(ServiceError):
    """The caller has used this Idempotency-Key for another request."""

    def __init__(self) -> None:
        super().__init__(
            "this key was sent with another request (method, path or body) before; "
            "a new request needs a new key, a retry the same bytes"
        )


class LimitExceeded(ServiceError):
    """A well-formed request that asks for more than the settings allow; `field` names the part."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class RegistryUnavailable(ServiceError):
    """The registry cannot be written now (locked, away, read-only); a retry may succeed.

    Nothing was changed, unless the message says that this is not known: a connection that breaks during a commit
    does not tell. Every write can be sent again.
    """


class Superseded(RegistryUnavailable):
    """Another engine serves in this one's place; nothing was changed. Whoever asks that one gets what was asked for."""

    def __init__(self) -> None:
        super().__init__("another artifact has just been put in place; send the write again")


class RegistryContended(RegistryUnavailable):
    """Others wrote the same items at the same moment; nothing was changed and the transaction can be run again."""


class RegistryFull(ServiceError):
    """The registry's disk is full; nothing was changed."""


class RegistryError(ServiceError):
    """The registry cannot be used as it is: a wrong URL, another schema version, or a row that is no item."""


class RegistryRefused(RegistryError):
    """The database server runs and takes connections, but not ours: user, password or database are wrong, or not
    there yet.
    """


def shorten(text: str, limit: int = 80) -> str:
    """`text` for a message: at most `limit` characters, a lone surrogate shown as a question mark."""
    safe = text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
    return safe if len(safe) <= limit else f"{safe[:limit]}…"
