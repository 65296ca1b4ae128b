"""Fixtures of the console in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.support.console import browser, opened
from tests.support.service import Client, make_artifact, make_settings, serving

__all__ = ["browser"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("console")
    make_artifact(folder / "artifacts", evaluated=True, mapped=True)
    with serving(make_settings(folder / "artifacts", folder)) as client:
        yield client


@pytest.fixture
def page(browser: Browser, client: Client) -> Iterator[Page]:
    with opened(browser, client) as page:
        yield page
