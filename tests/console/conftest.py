"""Fixtures of the console in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.console.support import opened
from tests.support.service import Client, make_artifact, make_settings, serving


@pytest.fixture(scope="module")  # not for longer: while Playwright runs, this thread can have no other event loop
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "there is no Chromium (scripts/install-chromium.sh --always)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # The tests may run as root, in a container: there is no sandbox for Chromium then.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


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
