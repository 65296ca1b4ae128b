"""The short way of a request to its endpoint: the same answers as on FastAPI's way, whatever comes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from service.api import recommend_routes
from service.api.routing import DirectRoute
from tests.support.service import Client, make_artifact, make_settings, serving

SOUND = json.dumps({"history": ["item-1", "item-2"], "k": 3, "explain": True}).encode()
JSON = "application/json"


def route(name: str) -> DirectRoute:
    (found,) = (each for each in recommend_routes.router.routes if isinstance(each, DirectRoute) and each.name == name)
    return found


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder, body_max=200_000, k_max=100)) as client:
        yield client


def test_recommend_goes_the_short_way_and_what_needs_more_does_not() -> None:
    assert route("recommend")._signature is not None
    assert route("similar")._signature is None  # it has parameters in its path
    assert route("recommend_batch")._signature is None  # it takes the request


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (SOUND, JSON, 200),
        (SOUND, "Application/JSON; charset=utf-8", 200),
        (b'{"history": []}', JSON, 200),
        (SOUND[:-1] + b" " * 70_000 + b"}", JSON, 200),
        (b"", JSON, 422),
        (b"null", JSON, 422),
        (b"[]", JSON, 422),
        (b"{}", JSON, 422),
        (b'{"history": [1]}', JSON, 422),
        (b'{"history": [], "k": 101}', JSON, 422),
        (b'{"history": ["\\u0000"]}', JSON, 422),
        (b'{"history": [], "colour": 1}', JSON, 422),
        (b'{"history": []', JSON, 400),
        (b'{"history": [], "history": []}', JSON, 400),
        (b"\xff", JSON, 400),
        (SOUND, "text/plain", 415),
        (SOUND, "json", 415),
        (b" " * 200_001, JSON, 413),
    ],
)
def test_both_ways_answer_the_same(
    client: Client, body: bytes, media_type: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> tuple[int, str, Any]:
        headers = {"content-type": media_type, "x-request-id": "same"}
        reply = client("POST", "/recommend", body, headers)
        return reply.status, reply.headers["content-type"], reply.json()

    short = ask()
    assert short[0] == status
    monkeypatch.setattr(route("recommend"), "_signature", None)
    assert ask() == short


def test_another_method_is_refused_as_anywhere(client: Client) -> None:
    reply = client.get("/recommend")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
