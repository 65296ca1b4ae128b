"""Request ids: the caller's own, where it does no harm in headers and logs, or a new one."""

from __future__ import annotations

import random
import re

from service.security.redaction import redact

_HARMLESS = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


def new_request_id() -> str:
    return f"{random.getrandbits(128):032x}"


def accepted_request_id(given: str) -> str:
    """`given`, the caller's X-Request-ID, unless it is empty, harmful or an API key; else a new one."""
    return given if _HARMLESS.fullmatch(given) and redact(given) == given else new_request_id()
