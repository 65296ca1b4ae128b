"""The console on a trained shop: each page on the demo catalogue and on Beauty, with an item that nobody has bought."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from model.items import Item
from tests.support.console import NASTY, add, asked, check_access, form, history, opened, recommended, settled
from tests.support.service import Client, make_settings, serving
from training.config import RECIPES
from training.datasets.demo import generate_demo
from training.export.export import export
from training.fit.trainer import Trainer

pytestmark = pytest.mark.timeout(900)


INK = Item(
    "ink-teal-50",
    title="Foliobrook Meadow Bottled Ink, 50 ml, teal",
    brand="Foliobrook",
    categories=("Stationery", "Writing", "Ink"),
    description="A well-made everyday bottled ink with a calm flow, known for a long life and careful details.",
)


class Shop(NamedTuple):
    client: Client
    name: str
    new: Item
    """One that the shop does not have yet."""


@pytest.fixture(scope="module", params=["demo", "beauty"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    if request.param == "beauty":
        trained = request.getfixturevalue("beauty")
        root = trained.root
        new = next(item for item in trained.holdout.held_out if item.title and item.brand and item.categories)
    else:
        # For pictures that show what the demo shows, an artifact that was trained to the end (`make pictures`).
        root = Path(os.environ.get("KINDRED_DEMO", folder / "artifacts"))
        if not root.exists():
            recipe = RECIPES["demo"].override({"epochs": 2})
            trainer = Trainer(generate_demo(0), recipe, seed=0, device=torch.device("cpu"))
            trainer.fit()
            export(trainer, root)
        new = INK
    with serving(make_settings(root, folder)) as client:
        yield Shop(client, request.param, new)


@pytest.fixture
def page(browser: Browser, shop: Shop) -> Iterator[Page]:
    with opened(browser, shop.client) as page:
        yield page


@pytest.fixture
def picture(page: Page, shop: Shop, tmp_path: Path) -> Callable[..., None]:
    """Takes a picture of the page: of the demo into KINDRED_PICTURES, where that is set."""
    folder = Path(os.environ.get("KINDRED_PICTURES", tmp_path)) if shop.name == "demo" else tmp_path

    def take(name: str, whole: bool = False) -> None:
        # Where the last click went would show.
        page.mouse.move(0, 0)
        taken = page.screenshot(path=folder / f"console-{name}.png", full_page=whole, animations="disabled")
        assert len(taken) > 10_000

    return take


def test_a_history_from_a_search_and_from_an_example(page: Page, shop: Shop, picture: Callable[..., None]) -> None:
    popular = recommended(page)
    word = max(page.locator("#recommended .name").first.text_content().split(), key=len)  # type: ignore[union-attr]
    name = add(page, word)
    assert history(page) == [name]
    assert settled(page, shop.client) != popular
    page.click("#example")
    expect(page.locator("#example-note")).to_contain_text("This user chose next")
    settled(page, shop.client)
    expect(page.locator("#recommended svg.bar")).to_have_count(10)
    page.fill("#search", "")
    expect(page.locator("#search-found li")).to_have_count(0)
    picture("try")


def test_a_history_is_ordered_and_taken_back_and_controls_are_kept_to(page: Page, shop: Shop) -> None:
    for _ in range(2):
        page.locator("#recommended").get_by_role("button", name="Add to the history").first.click()
        settled(page, shop.client)
    one, two = history(page)
    page.get_by_role("button", name=f"Later: {one}", exact=True).click()
    assert history(page) == [two, one]
    first = settled(page, shop.client)[0]
    page.locator("#recommended").get_by_role("button", name="Exclude").first.click()
    assert first not in settled(page, shop.client)
    page.fill("[name=diversity]", "0.5")
    page.fill("[name=k]", "5")
    assert len(settled(page, shop.client)) == 5
    attributes = [item["attributes"] for item in asked(page, shop.client)["items"]]
    brand = next(each["brand"] for each in attributes if "brand" in each)
    page.fill("[name=brand]", brand)
    settled(page, shop.client)
    assert {item["attributes"]["brand"] for item in asked(page, shop.client)["items"]} == {brand}
    page.get_by_role("button", name=f"Remove {two}", exact=True).click()
    assert history(page) == [one]
    settled(page, shop.client)


@pytest.mark.parametrize("text", NASTY)
def test_nothing_in_an_item_of_a_shop_runs(page: Page, shop: Shop, text: str) -> None:
    shop.client.put("/items/nasty", {"title": f"zzz {text}", "brand": text, "categories": [text]})
    add(page, "zzz")
    settled(page, shop.client)
    codes = shop.client.get("/items/nasty").json()["semantic_id"]
    page.goto(f"{shop.client.url}/#codes/{'.'.join(map(str, codes))}")
    expect(page.locator("#branch-items .name", has_text="zzz")).to_have_text([f"zzz {text}"])
    assert page.evaluate("window.hacked") is None
    assert page.locator("iframe, main script, main img, base").count() == 0
    shop.client.delete("/items/nasty")


def test_an_item_goes_from_typing_to_being_recommended(page: Page, shop: Shop, picture: Callable[..., None]) -> None:
    new = shop.new
    page.get_by_role("link", name="New item").click()
    form(page, title=new.title or "", brand=new.brand or "", categories="\n".join(new.categories))
    form(page, description=new.description or "", item_id=new.item_id)
    expect(page.locator("#preview-neighbours li")).to_have_count(8)
    expect(page.locator("#preview-reached")).to_contain_text("example users would get it")
    picture("new")
    page.click("#save")
    expect(page.locator("#saved")).to_contain_text("recommends it from now on")
    form(page, price="17.5")
    expect(page.locator("#save")).to_have_text("Replace")
    page.click("#save")
    expect(page.locator("#saved")).to_contain_text("Replaced")
    assert shop.client.get(f"/items/{new.item_id}").json()["attributes"]["price"] == 17.5
    neighbour = page.locator("#preview-neighbours .name").first.text_content() or ""
    page.get_by_role("link", name="Try it").click()
    add(page, neighbour)
    page.fill("[name=k]", "100")
    page.fill("[name=cold_share]", "1")  # a place for every cold item
    settled(page, shop.client)
    expect(page.locator(f"#recommended [data-item='{new.item_id}'] .badge")).to_have_text(["cold"])

    page.get_by_role("link", name="Codes").click()
    items = shop.client.get("/version").json()["items"]
    expect(page.locator("#codes-note")).to_have_text(f"{items:,} items")
    expect(page.locator("#map-note")).to_contain_text(f"{items:,} of {items:,} items")
    expect(page.locator("#map")).to_have_attribute("data-registered", "1")
    codes = shop.client.get(f"/items/{new.item_id}").json()["semantic_id"]
    page.goto(f"{shop.client.url}/#codes/{codes[0]}")
    expect(page.locator("#crumbs a")).to_have_text(["All", str(codes[0])])
    expect(page.locator("#branch-items li").first).to_be_visible()
    picture("codes")
    page.goto(f"{shop.client.url}/#codes/{'.'.join(map(str, codes))}")
    expect(page.locator("#branch-items .name", has_text=new.title)).to_have_count(1)
    check_access(page)

    page.get_by_role("link", name="New item").click()
    page.click("#delete")
    page.click("#delete")
    expect(page.locator("#saved")).to_contain_text("Deleted")
    assert shop.client.get(f"/items/{new.item_id}").status == 404


def test_health_knows_the_shop(page: Page, shop: Shop, picture: Callable[..., None]) -> None:
    page.get_by_role("link", name="Health").click()
    expect(page.locator("#card-facts")).to_contain_text(shop.name)
    check_access(page)
    picture("health", whole=True)
