"""The console in a real browser: the browser, the page as a user has it, and the checks that each page must pass."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.service import Client

# Each would run, or break out, where a text became markup, an attribute, a style, an address or a part of a script.
NASTY = [
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    '"><svg onload=window.hacked=1>',
    "' onfocus='window.hacked=1' autofocus='",
    "javascript:window.hacked=1",
    "</pre></li><iframe srcdoc='<script>parent.hacked=1</script>'></iframe>",
    "${window.hacked = 1}{{constructor.constructor('window.hacked=1')()}}",
    "<style>*{display:none}</style><base href='https://evil.example/'>",
    "it's '; touch hacked; echo '",
    "\u202egnp.exe",
]


@pytest.fixture(scope="module")  # not for longer: while Playwright runs, its thread can run no other event loop
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of a module. Without Chromium the tests are skipped; in CI they fail."""
    chromium = shutil.which("chromium")
    if chromium is None:
        missing = "there is no Chromium (scripts/install-chromium.sh --always)"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    with sync_playwright() as playwright:
        # The tests may run as root, in a container: Chromium has no sandbox there.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, client: Client) -> Iterator[Page]:
    """The console, which in the end must have said nothing on the browser's console and asked nobody else. That a
    request was refused the browser says by itself.
    """
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda asked: said.append(asked.url) if not asked.url.startswith(client.url) else None)
    page.goto(client.url)
    expect(page.locator("#recommended li")).to_have_count(10)
    yield page
    assert [line for line in said if not line.endswith("a status of 422 (Unprocessable Entity)")] == []
    context.close()


def history(page: Page) -> list[str]:
    return page.locator("#history .name").all_text_contents()


def recommended(page: Page) -> list[str]:
    return [item.get_attribute("data-item") or "" for item in page.locator("#recommended li").all()]


def add(page: Page, query: str) -> str:
    """Search and take the first that is found; its name."""
    page.fill("#search", "")
    expect(page.locator("#search-found li")).to_have_count(0)
    page.fill("#search", query)
    first = page.locator("#search-found button").first
    name = first.locator(".name").text_content() or ""
    first.click()
    return name


def asked(page: Page, client: Client) -> Any:
    """The answer to the request that the page shows for curl."""
    command = shlex.split(page.locator("#curl").text_content() or "")
    assert command[:3] == ["curl", "-sS", f"{client.url}/recommend"]
    assert command[3:5] == ["-H", "Content-Type: application/json"]
    return client.post("/recommend", json.loads(command[command.index("-d") + 1])).json()


def settled(page: Page, client: Client) -> list[str]:
    """What is recommended once it is what the service answers to the request shown."""
    expected = [item["item_id"] for item in asked(page, client)["items"]]
    page.wait_for_function(
        "ids => [...document.querySelectorAll('#recommended li')].map(e => e.dataset.item).join() === ids.join()",
        arg=expected,
    )
    return expected


def form(page: Page, **values: str) -> None:
    """Type into the fields of the page New item."""
    for name, value in values.items():
        page.fill(f"#item [name={name}]", value)


def check_access(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
