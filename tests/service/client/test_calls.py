"""How the client reads answers of a newer service and broken ones; paths of items."""

from __future__ import annotations

import httpx
import pytest

from service.client import (
    Client,
    Invalid,
    UnexpectedAnswer,
)
from service.client.calls import item_path
from tests.support.clients import Script


def test_batches_and_exports_that_are_not_the_services() -> None:
    script = Script(
        httpx.Response(200, json={"results": [{"status": 200}]}),
        httpx.Response(200, text='{"item_id": "a"}\n{"title": "no id"}\n'),
        httpx.Response(200, text='{"item_id": "a"}\n{"item_id"'),
    )
    with Client(transport=script) as client:
        with pytest.raises(UnexpectedAnswer, match="neither result nor problem"):
            client.add_items([])
        for _ in range(2):
            lines = client.export()
            assert next(lines) == {"item_id": "a"}
            with pytest.raises(UnexpectedAnswer, match="a line that is no item"):
                next(lines)


def test_members_of_a_newer_service_are_ignored() -> None:
    item = {"item_id": "a", "score": 1, "cold": False, "attributes": {}, "new": {"er": 1}}
    body = {"items": [item], "model_version": "v", "strategy": "model", "unknown_history": [], "newer": 1}
    newer = httpx.Response(
        422,
        headers={"content-type": "application/problem+json"},
        json={"type": "/problems/x", "title": "x", "status": 422, "detail": "why", "newer": 1},
    )
    with Client(transport=Script(httpx.Response(200, json=body), newer)) as client:
        assert client.recommend([]).items[0].score == 1
        with pytest.raises(Invalid, match="why"):
            client.recommend([])


def test_paths() -> None:
    assert item_path("a/b c") == "/items/a/b%20c"
    assert item_path("../.") == "/items/%2E%2E/%2E"
