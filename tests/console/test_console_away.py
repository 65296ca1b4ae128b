"""The console while the service is not ready, is away, comes back, and serves another model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from model.artifact import set_current
from tests.support.console import add, recommended
from tests.support.service import make_artifact, make_items, make_settings, serving, until


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def test_a_page_opened_too_early_comes_to_life(page: Page, tmp_path: Path) -> None:
    with serving(make_settings(tmp_path / "a", tmp_path, watch=0.02), ready=False) as client:
        page.goto(client.url)
        expect(page.locator("#model")).to_have_text("not ready")
        expect(page.locator("#problem")).to_contain_text("no artifact here")
        make_artifact(tmp_path / "a", items=make_items(60))
        client.until_ready()
        expect(page.locator("#model")).to_have_text("v1 · 60 items", timeout=20_000)
        expect(page.locator("#recommended li")).to_have_count(10)
        expect(page.locator("#problem")).to_be_hidden()


def test_another_model_is_named_and_asked(page: Page, tmp_path: Path) -> None:
    make_artifact(tmp_path / "a", "v1", items=make_items(60))
    make_artifact(tmp_path / "a", "v2", items=make_items(70)[5:])
    set_current(tmp_path / "a", "v1")
    with serving(make_settings(tmp_path / "a", tmp_path, watch=0.02)) as client:
        page.goto(client.url)
        expect(page.locator("#model")).to_have_text("v1 · 60 items")
        expect(page.locator("[data-item=item-0]")).to_be_visible()
        set_current(tmp_path / "a", "v2")
        until(lambda: client.get("/version").json()["model_version"] == "v2")
        expect(page.locator("#model")).to_have_text("v2 · 65 items", timeout=20_000)
        expect(page.locator("[data-item=item-0]")).to_have_count(0)
        assert recommended(page)[0] == "item-5"


def test_a_service_that_is_away_is_named_and_comes_back(page: Page, tmp_path: Path) -> None:
    make_artifact(tmp_path / "a", items=make_items(60))
    with serving(make_settings(tmp_path / "a", tmp_path)) as client:
        page.goto(client.url)
        expect(page.locator("#model")).to_have_text("v1 · 60 items")
        add(page, "lamp")
        expect(page.locator("#status")).to_contain_text("by the model")
        page.route("**/*", lambda route: route.abort("connectionrefused"))
        page.click("#clear")
        expect(page.locator("#problem")).to_have_text("The service does not answer.")
        expect(page.locator("#status")).to_have_text("")
        assert recommended(page) == []  # those of another history
        expect(page.locator("#model")).to_have_text("The service does not answer.", timeout=20_000)
        page.unroute("**/*")
        expect(page.locator("#model")).to_have_text("v1 · 60 items", timeout=20_000)
        expect(page.locator("#status")).to_have_text("10 items by popularity")
        expect(page.locator("#problem")).to_be_hidden()
