"""The console: static files at `/`, the same for everybody. The page in the browser asks the API for its data."""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from service.security.scopes import OPEN

router = APIRouter(include_in_schema=False)

# Only our own scripts and styles, nothing inline, no frame of another site: no text of an item can run as code.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",  # the browser asks again with the tag: another release has other files
}


class _File(NamedTuple):
    content: bytes
    media_type: str
    tag: str


@router.get("/", openapi_extra=OPEN)
async def console(request: Request) -> Response:
    """The page. Open, like its files: it holds no data, only files of this repository."""
    return _answer(request, "index.html")


@router.get("/console/{name}", openapi_extra=OPEN)
async def console_file(name: str, request: Request) -> Response:
    """A script or a style of the page."""
    return _answer(request, name)


def _answer(request: Request, name: str) -> Response:
    file = _files().get(name)
    if file is None:
        raise HTTPException(404, "the console has no such file")
    headers = {**_HEADERS, "ETag": file.tag}
    if request.headers.get("if-none-match") == file.tag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, media_type=file.media_type, headers=headers)


@cache
def _files() -> dict[str, _File]:
    """The files by name, read once."""
    out = {}
    for entry in files("service").joinpath("console").iterdir():
        content = entry.read_bytes()
        media_type = mimetypes.guess_type(entry.name)[0] or "application/octet-stream"
        media_type = {"application/javascript": "text/javascript"}.get(media_type, media_type)
        out[entry.name] = _File(content, media_type, f'"{hashlib.sha256(content).hexdigest()[:32]}"')
    return out
