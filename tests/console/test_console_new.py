"""New item: what is said before an item is saved, and saving, editing and deleting it."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.support.console import NASTY, check_access, form, history, settled
from tests.support.service import Client


def save(page: Page) -> None:
    expect(page.locator("#save")).to_be_enabled()
    page.click("#save")
    expect(page.locator("#saved")).to_contain_text("recommends it from now on")


def test_a_cold_item_goes_from_typing_to_being_recommended(page: Page, client: Client) -> None:
    before = client.get("/version").json()["items"]
    page.get_by_role("link", name="New item").click()
    expect(page.locator("#save")).to_be_disabled()
    form(page, title="small red lamp 7", brand="Alba", categories="Home\nlamp", item_id="typed")
    expect(page.locator("#preview")).to_be_visible()
    said = client.post(
        "/items/preview",
        {"item_id": "typed", "title": "small red lamp 7", "brand": "Alba", "categories": ["Home", "lamp"]},
    ).json()
    expect(page.locator("#preview-codes .code")).to_have_text([str(code) for code in said["semantic_id"]])
    expect(page.locator("#preview-reached")).to_contain_text(f"{said['audience']['reached']} of 240 example users")
    names = [item["attributes"]["title"] for item in said["neighbours"]]
    expect(page.locator("#preview-neighbours .name")).to_have_text(names)
    expect(page.locator("#preview-users li")).to_have_count(len(said["audience"]["best"]))
    assert client.get("/version").json()["items"] == before
    save(page)
    assert client.get("/items/typed").json()["attributes"]["categories"] == ["Home", "lamp"]
    first = said["audience"]["best"][0]
    page.locator("#preview-users button").first.click()
    expect(page.locator("#try")).to_be_visible()
    assert history(page) == [item["attributes"]["title"] for item in first["history"]]
    page.fill("[name=k]", "100")
    assert settled(page, client)[first["place"] - 1] == "typed"
    entry = page.locator("#recommended [data-item=typed]")
    expect(entry.locator(".badge")).to_have_text(["cold"])
    client.delete("/items/typed")


def test_an_item_is_edited_and_deleted(page: Page, client: Client) -> None:
    content = {"title": "Zinc gizmo", "brand": "Alba", "description": "A gizmo.", "attributes": {"stock": 3}}
    assert client.put("/items/export", content).status == 201  # whose path is another resource
    page.get_by_role("link", name="New item").click()
    page.get_by_text("Edit an existing item").click()
    page.fill("#edit", "zinc giz")
    page.locator("#edit-found button").first.click()
    expect(page.locator("#item [name=description]")).to_have_value("A gizmo.")
    expect(page.locator("#kept")).to_contain_text("stock")
    expect(page.locator("#save")).to_have_text("Saved")
    expect(page.locator("#save")).to_be_disabled()
    form(page, title="Zinc gadget", price="2.5")
    expect(page.locator("#save")).to_have_text("Replace")
    save(page)
    (now,) = client.get("/items?item_id=export&content=true").json()["items"]
    assert now["content"] == {**content, "title": "Zinc gadget", "price": 2.5}
    page.click("#delete")
    expect(page.locator("#delete")).to_have_text("Really delete?")
    page.focus("#item [name=title]")  # who looks elsewhere is not sure
    expect(page.locator("#delete")).to_have_text("Delete")
    assert client.get("/items?item_id=export").json()["items"]
    page.click("#delete")
    page.click("#delete")
    expect(page.locator("#saved")).to_contain_text("Deleted")
    assert client.get("/items?item_id=export").json()["items"] == []
    expect(page.locator("#save")).to_have_text("Save")  # it is still in the form, and can be saved anew
    page.click("#fresh")
    expect(page.locator("#item [name=title]")).to_have_value("")
    expect(page.locator("#preview")).to_be_hidden()


def test_an_item_that_is_there_is_not_replaced_unseen(page: Page, client: Client) -> None:
    before = client.get("/items/item-3").json()
    page.get_by_role("link", name="New item").click()
    form(page, title="a lamp")
    expect(page.locator("#save")).to_be_enabled()
    form(page, item_id="item-3")
    page.press("#item [name=item_id]", "Enter")  # before anybody could have said whose id this is
    expect(page.locator("#save")).to_have_text("Replace")
    assert client.get("/items/item-3").json() == before


def test_what_cannot_be_registered_is_said_and_what_was_typed_stays(page: Page) -> None:
    page.get_by_role("link", name="New item").click()
    form(page, title="a lamp", brand="a" * 100_000)
    expect(page.locator("#item-problem")).to_contain_text("characters of text")
    expect(page.locator("#save")).to_be_disabled()
    expect(page.locator("#item [name=title]")).to_have_value("a lamp")
    form(page, brand="Alba")
    expect(page.locator("#item-problem")).to_be_hidden()
    expect(page.locator("#save")).to_be_enabled()


@pytest.mark.parametrize(
    "content", [{"text": "a zinc gizmo"}, {"brand": "Zinc"}, {"categories": ["zinc"]}, {"description": "a zinc gizmo"}]
)
def test_an_item_without_a_title_is_edited_and_deleted(page: Page, client: Client, content: dict[str, Any]) -> None:
    assert client.put("/items/untitled", content).status == 201
    page.get_by_role("link", name="New item").click()
    page.get_by_text("Edit an existing item").click()
    page.fill("#edit", "untitled")
    page.locator("#edit-found button").click()
    expect(page.locator("#save")).to_have_text("Saved")
    form(page, price="3")
    expect(page.locator("#save")).to_have_text("Replace")
    save(page)
    (now,) = client.get("/items?item_id=untitled&content=true").json()["items"]
    assert now["content"] == {**content, "price": 3}
    page.click("#delete")
    page.click("#delete")
    expect(page.locator("#saved")).to_contain_text("Deleted")


def test_a_field_that_does_not_fit_is_named(page: Page) -> None:
    page.get_by_role("link", name="New item").click()
    for name, value, label in (("price", "-1", "Price: "), ("item_id", "", "Id: ")):
        form(page, title="a lamp")
        expect(page.locator("#save")).to_be_enabled()
        form(page, **{name: value})
        expect(page.locator("#item-problem")).to_contain_text(label)
        expect(page.locator("#preview-note")).to_be_hidden()
        expect(page.locator("#save")).to_be_disabled()
        page.click("#fresh")
        expect(page.locator("#item-problem")).to_be_hidden()
        expect(page.locator("#preview-note")).to_be_visible()


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_a_preview_runs(page: Page, client: Client, text: str) -> None:
    body = {"title": f"zzz {text}", "brand": text, "categories": [text]}
    assert client.put("/items/nasty", body).status in (200, 201)
    page.get_by_role("link", name="New item").click()
    form(page, title=f"zzz {text}", brand=text, categories=text, item_id="other")
    expect(page.locator("#preview-neighbours .name").first).to_have_text(f"zzz {text}")
    save(page)
    assert (
        client.get("/items/other").json()["attributes"]["brand"]
        == client.get("/items/nasty").json()["attributes"]["brand"]
    )
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe, #preview script, #preview img, base").count() == 0
    for item in ("nasty", "other"):
        assert client.delete(f"/items/{item}").status == 204


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_a_preview_is_accessible(page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.get_by_role("link", name="New item").click()
    form(page, title="small red lamp 7", brand="Alba")
    expect(page.locator("#preview-users li").first).to_be_visible()
    check_access(page)
