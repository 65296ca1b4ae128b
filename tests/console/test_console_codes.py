"""Codes: the tree of semantic IDs, the use of the levels, the map."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.console import NASTY, check_access, form
from tests.support.service import Client


def tiles(page: Page) -> list[str]:
    return page.locator("#tiles .code").all_text_contents()


def test_codes_are_opened_down_to_items(page: Page, client: Client) -> None:
    page.get_by_role("link", name="Codes").click()
    tree = client.get("/codes").json()
    expect(page.locator("#tiles .code")).to_have_text([str(branch["code"]) for branch in tree["branches"]])
    expect(page.locator("#tiles .words").first).to_have_text(", ".join(tree["branches"][0]["words"]))
    expect(page.locator("#codes-note")).to_have_text("240 items")
    rows = [
        [cell.strip() for cell in row.split("\t")] for row in page.locator("#levels tbody").inner_text().splitlines()
    ]
    first = tree["levels"][0]
    assert rows[0][:3] == ["1", "cosine", f"{first['used']} / 16"]
    assert len(rows) == len(tree["levels"])
    prefix: list[int] = []
    while branches := client.get("/codes?" + "&".join(f"prefix={code}" for code in prefix)).json()["branches"]:
        page.locator("#tiles a").first.click()
        prefix.append(branches[0]["code"])
        expect(page.locator("#crumbs a")).to_have_text(["All", *map(str, prefix)])
    found = client.get("/codes?" + "&".join(f"prefix={code}" for code in prefix)).json()
    expect(page.locator("#branch-items .name")).to_have_text([item["attributes"]["title"] for item in found["found"]])
    assert tiles(page) == []
    expect(page.locator("#map")).to_have_attribute("data-marked", str(found["items"]))
    page.locator("#crumbs a").nth(1).click()
    expect(page.locator("#crumbs a")).to_have_text(["All", str(prefix[0])])
    page.go_back()
    expect(page.locator("#crumbs a")).to_have_text(["All", *map(str, prefix)])


def test_the_map_names_what_is_pointed_at_and_opens_it(page: Page, client: Client) -> None:
    assert client.put("/items/ringed", {"title": "small red lamp 7", "brand": "Alba"}).status in (200, 201)
    page.get_by_role("link", name="Codes").click()
    canvas = page.locator("#map")
    expect(canvas).to_have_attribute("data-registered", "1")
    expect(page.locator("#map-note")).to_contain_text("241 of 241 items")
    points = client.get("/map").json()["points"]
    at = points["item_id"].index("ringed")
    box = canvas.bounding_box()
    assert box is not None
    # As map.js draws: [-1, 1] within a margin of 12, y upwards. Moved twice, for the pointer to have come.
    size = box["width"] - 2  # within the border
    x, y = (1 + 12 + (value + 1) / 2 * (size - 24) for value in (points["x"][at], -points["y"][at]))
    for step in (1, 0):
        canvas.hover(position={"x": x + step, "y": y})
    expect(page.locator("#map-note")).to_have_text("small red lamp 7 · Alba")
    canvas.click(position={"x": x, "y": y})
    codes = client.get("/items/ringed").json()["semantic_id"]
    expect(page.locator("#crumbs a")).to_have_text(["All", *map(str, codes)])
    assert "small red lamp 7" in page.locator("#branch-items .name").all_text_contents()
    page.get_by_role("link", name="Try it").click()
    client.delete("/items/ringed")


def test_a_code_of_a_preview_leads_to_its_items(page: Page) -> None:
    page.get_by_role("link", name="New item").click()
    form(page, title="small red lamp 7", brand="Alba")
    code = page.locator("#preview-codes .code").nth(1)
    expect(code).to_be_visible()
    codes = page.locator("#preview-codes .code").all_text_contents()[:2]
    code.click()
    expect(page.locator("#crumbs a")).to_have_text(["All", *codes])
    page.get_by_role("link", name="New item").click()
    expect(page.locator("#item [name=title]")).to_have_value("small red lamp 7")  # nothing typed is lost


def test_codes_that_are_none_are_said(page: Page, client: Client) -> None:
    for address in ("9999", "1.1.1.1.1"):
        page.goto(f"{client.url}/#codes/{address}")
        expect(page.locator("#codes-note")).to_have_text("0 items with these codes")
    page.goto(f"{client.url}/#codes/x.y")
    expect(page.locator("#codes-problem")).to_be_visible()
    expect(page.locator("#codes-note")).to_have_text("")
    expect(page.locator("#tiles li")).to_have_count(0)
    page.goto(f"{client.url}/#codes")
    expect(page.locator("#codes-problem")).to_be_hidden()
    expect(page.locator("#tiles li").first).to_be_visible()


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_branch_runs(page: Page, client: Client, text: str) -> None:
    assert client.put("/items/nasty", {"title": f"zzz {text}", "brand": text}).status in (200, 201)
    codes = client.get("/items/nasty").json()["semantic_id"]
    page.goto(f"{client.url}/#codes/{'.'.join(map(str, codes))}")
    expect(page.locator("#branch-items li", has_text="zzz")).to_have_count(1)
    assert f"zzz {text}" in page.locator("#branch-items .name").all_text_contents()
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe, #codes script, #codes img, base").count() == 0
    client.delete("/items/nasty")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_codes_are_accessible(page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.get_by_role("link", name="Codes").click()
    page.locator("#tiles a").first.click()
    expect(page.locator("#branch-items li").first).to_be_visible()
    check_access(page)
