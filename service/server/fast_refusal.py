"""Refusing recommendations that would not get in with the least of work: the time is left to those that do."""

from __future__ import annotations

import random
import re

from pydantic_core import to_json

from service.contract.problems import MEDIA_TYPE, RETRY_AFTER
from service.server.admission import busy

_LINE = b"POST /recommend HTTP/1.1\r\n"
# Fields that ask for more than an answer, or for another one.
_MORE = re.compile(rb"(?i)\n(?:connection|transfer-encoding|expect|upgrade|x-request-id)[ \t]*:")
_LENGTH = re.compile(rb"(?i)\ncontent-length:[ \t]*(\d{1,7})[ \t]*\r")

_ID = b"<request id>"
# Head and body of the refusal, written once; a request id holds nothing that JSON or a header would take amiss.
_HEAD, _BODY = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: %b\r\nretry-after: %d\r\n"
    b"content-length: %%d\r\nx-request-id: %%b\r\n%%b\r\n" % (MEDIA_TYPE.encode(), RETRY_AFTER),
    to_json(busy().body(_ID.decode())),
)


def is_plain(data: bytes) -> bool:
    """Whether this is a request for recommendations, the whole of it and nothing else, that asks for nothing special.

    Not whether it is sound: it is not going to be read.
    """
    head, end, body = data.partition(b"\r\n\r\n")
    if not end or not head.startswith(_LINE) or _MORE.search(head):
        return False
    lengths = _LENGTH.findall(head + b"\r")
    return len(lengths) == 1 and int(lengths[0]) == len(body)


def made_up_id() -> str:
    """A request id."""
    return f"{random.getrandbits(128):032x}"


def refusal(request_id: str, keep_alive: bool = True) -> bytes:
    """The answer, head and body."""
    name = request_id.encode("ascii")
    body = _BODY.replace(_ID, name)
    return _HEAD % (len(body), name, b"" if keep_alive else b"connection: close\r\n") + body
