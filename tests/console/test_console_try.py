"""Try it: a history by clicking, recommendations at once, and a key where one is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from model.items import Item
from service.security.keys import create
from tests.support.console import NASTY, add, asked, check_access, history, recommended, settled
from tests.support.service import Client, make_artifact, make_items, make_settings, serving


def test_a_history_is_built_ordered_and_taken_back_and_recommendations_follow(page: Page, client: Client) -> None:
    popular = recommended(page)
    one, two = add(page, "lamp"), add(page, "kettle")
    assert history(page) == [one, two]
    first = settled(page, client)
    assert first != popular
    page.get_by_role("button", name=f"Later: {one}").click()
    assert history(page) == [two, one]
    settled(page, client)
    page.get_by_role("button", name=f"Remove {two}").click()
    assert history(page) == [one]
    page.locator("#recommended").get_by_role("button", name="Add to the history").first.click()
    assert len(history(page)) == 2
    page.click("#clear")
    assert (history(page), settled(page, client)) == ([], popular)


def test_reasons_are_those_of_the_answer(page: Page, client: Client) -> None:
    add(page, "lamp")
    settled(page, client)
    answer = asked(page, client)["items"]
    bars = page.locator("#recommended svg.bar")
    expect(bars).to_have_count(10)
    for at, item in enumerate(answer):
        reasons = item["reasons"]
        assert bars.nth(at).get_attribute("aria-label") == f"semantic {reasons['semantic']:.2f}, ID {reasons['id']:.2f}"
        widths = [float(part.get_attribute("width") or "nan") for part in bars.nth(at).locator("rect").all()]
        assert sum(widths) <= 100.01
        if reasons["id"]:
            assert widths[0] / widths[1] == pytest.approx(abs(reasons["semantic"] / reasons["id"]), rel=1e-3)


def test_controls_change_the_request(page: Page, client: Client) -> None:
    add(page, "lamp")
    page.fill("[name=k]", "3")
    assert len(settled(page, client)) == 3
    page.fill("[name=brand]", "Alba")
    page.fill("[name=diversity]", "0.5")
    settled(page, client)
    assert {item["attributes"]["brand"] for item in asked(page, client)["items"]} == {"Alba"}
    expect(page.locator("[name=diversity-value]")).to_have_text("0.5")
    page.fill("[name=k]", "0")
    expect(page.locator("#problem")).to_contain_text("Items: ")
    page.fill("[name=k]", "2")
    expect(page.locator("#problem")).to_be_hidden()


@pytest.mark.parametrize("categories", [5, True, "fixtures", ["fixtures"], []])
def test_attributes_may_be_named_as_fields_are(page: Page, client: Client, categories: Any) -> None:
    body = {"title": "zzz thing", "categories": ["hidden"], "attributes": {"brand": 7, "categories": categories}}
    assert client.put("/items/odd", body).status in (200, 201)
    page.fill("#search", "zzz")
    expect(page.locator("#search-found .name")).to_have_text(["zzz thing"])
    last = "fixtures" if isinstance(categories, list) and categories else categories
    expect(page.locator("#search-found .quiet")).to_have_text(f"7 · {str(last).lower()}" if last else "7")
    client.delete("/items/odd")


def test_a_title_of_one_long_word_fits_a_narrow_screen(page: Page, client: Client) -> None:
    for at in range(2):
        assert client.put(f"/items/long-{at}", {"title": "W" * 600, "brand": "W" * 600}).status == 201
    page.set_viewport_size({"width": 390, "height": 800})
    page.fill("#search", "www")
    page.locator("#search-found button").first.click()
    page.fill("[name=brand]", "W" * 600)
    settled(page, client)
    page.locator("#recommended").get_by_role("button", name="Exclude").first.click()
    expect(page.locator("#excluded button")).to_have_count(1)
    check_access(page)
    for at in range(2):
        client.delete(f"/items/long-{at}")


def test_what_is_excluded_goes_and_comes_back(page: Page, client: Client) -> None:
    before = recommended(page)
    page.locator("#recommended").get_by_role("button", name="Exclude").first.click()
    assert before[0] not in settled(page, client)
    page.locator("#excluded button").click()
    assert settled(page, client) == before


def test_an_example_user_is_shown_with_what_they_chose(page: Page, client: Client) -> None:
    users = client.get("/examples?count=20&seed=0").json()["examples"]
    page.fill("[name=k]", "100")
    marked = 0
    for user in users[:3]:
        page.click("#example")
        expect(page.locator("#history .name")).to_have_text([item["attributes"]["title"] for item in user["history"]])
        expect(page.locator("#example-note")).to_contain_text(user["chosen"]["attributes"]["title"])
        found = settled(page, client)
        place = found.index(user["chosen"]["item_id"]) + 1 if user["chosen"]["item_id"] in found else 0
        expect(page.locator("#status")).to_contain_text(f"is number {place}" if place else "is not among them")
        assert page.locator("#recommended .chosen").count() == bool(place)
        marked += bool(place)
    assert marked


def test_a_registered_item_is_found_and_marked_as_cold(page: Page, client: Client) -> None:
    assert client.post("/items", {"item_id": "cold-1", "title": "Zinc gizmo", "brand": "Alba"}).status == 201
    page.fill("#search", "zin giz")
    expect(page.locator("#search-found .badge")).to_have_text(["cold"])
    page.locator("#search-found button").click()
    expect(page.locator("#history .badge")).to_have_text(["cold"])
    client.delete("/items/cold-1")


def test_all_of_it_works_by_keyboard(page: Page) -> None:
    page.focus("#search")
    page.keyboard.type("lamp")
    expect(page.locator("#search-found button").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(1)
    page.get_by_role("button", name="Remove").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#history li")).to_have_count(0)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_an_item_runs(page: Page, client: Client, text: str) -> None:
    title = f"zzz {text}"
    body = {"title": title, "brand": text, "categories": [text], "attributes": {"x": text}}
    assert client.put("/items/nasty", body).status in (200, 201)
    page.fill("#search", "zzz")
    expect(page.locator("#search-found .name")).to_have_text([title])
    page.locator("#search-found button").click()
    page.fill("[name=brand]", text)
    settled(page, client)
    assert history(page) == [title]
    page.locator("#history").get_by_role("button", name="Remove").click()
    settled(page, client)
    assert title in page.locator("#recommended .name").all_text_contents()
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe, #search-found script, #history script, #recommended script, base").count() == 0
    page.fill("[name=brand]", "")
    client.delete("/items/nasty")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_it_is_accessible(page: Page, client: Client, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.click("#example")
    page.fill("#search", "lamp")
    expect(page.locator("#search-found button").first).to_be_visible()
    page.locator("#recommended").get_by_role("button", name="Exclude").first.click()
    settled(page, client)
    check_access(page)


def test_a_key_is_asked_for_and_kept_for_the_tab(browser: Browser, tmp_path: Path) -> None:
    make_artifact(tmp_path / "artifacts", items=[*make_items(60), Item("last", title="the last")])
    keys = tmp_path / "keys.json"
    key = create(keys, "browser", "read")
    with serving(make_settings(tmp_path / "artifacts", tmp_path, keys=keys), ready=False) as client:
        client.key = key
        client.until_ready()
        page = browser.new_page()
        page.goto(client.url)
        expect(page.locator("#key")).to_be_visible()
        for wrong in ("nonsense", key[:-4] + "0000"):
            page.fill("#key-value", wrong)
            page.click("#key-use")
            expect(page.locator("#key-problem")).to_be_visible()
        for impossible in ("kindred_\u2014", f"\u200b{key}", "x" * 70_000):  # no header can hold them
            page.fill("#key-value", impossible)
            page.click("#key-use")
            expect(page.locator("#key-value")).to_have_value(impossible)
            for _ in range(2):  # the second one closes the dialog, whatever the page wants
                page.keyboard.press("Escape")
            expect(page.locator("#key-value")).to_have_value("")
            expect(page.locator("#key")).to_be_visible()
        page.fill("#key-value", f" {key} ")
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        expect(page.locator("#recommended li")).to_have_count(10)
        expect(page.locator("#model")).to_contain_text("61 items")
        command = page.locator("#curl").text_content() or ""
        assert '-H "Authorization: Bearer $KEY"' in command
        page.reload()
        expect(page.locator("#recommended li")).to_have_count(10)
        page.get_by_role("link", name="Health").click()
        expect(page.locator("#health-problem")).to_contain_text("admin")  # the metrics; the rest needs `read`
        expect(page.locator("#served")).to_contain_text("61")
        assert page.evaluate("localStorage.length") == 0
        assert page.context.cookies() == []
        assert key not in page.content()
        other = browser.new_page()
        other.goto(client.url)
        expect(other.locator("#key")).to_be_visible()
