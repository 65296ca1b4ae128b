"""A service for the client's tests, and a client of each kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from service.client import (
    Client,
)
from tests.support.clients import KINDS, connected
from tests.support.service import make_artifact, make_settings, serving


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("service")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder)) as raw:
        yield raw.url


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, url: str) -> Iterator[Client]:
    with connected(request.param, url) as client:
        yield client
