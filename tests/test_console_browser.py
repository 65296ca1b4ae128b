"""The console in a real browser: its flows as a user has them, and that nothing in an item can run."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from model.artifact import set_current
from model.items import Item
from model.manifest import DatasetEntry
from service.keys import create
from tests.card_support import METRICS, TRAINING, make_carded
from tests.service_support import Client, make_artifact, make_items, make_settings, serving

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None and os.environ.get("CI") != "true":
    pytest.skip("there is no Chromium (scripts/install-chromium.sh --always)", allow_module_level=True)

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


@pytest.fixture(scope="module")  # not for longer: while Playwright runs, this thread can have no other event loop
def browser() -> Iterator[Browser]:
    assert CHROMIUM is not None, "CI has a browser"
    with sync_playwright() as playwright:
        # The tests may run as root, in a container: there is no sandbox for Chromium then.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
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
        assert history(page) == [item["attributes"]["title"] for item in user["history"]]
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


def form(page: Page, **values: str) -> None:
    for name, value in values.items():
        page.fill(f"#item [name={name}]", value)


def save(page: Page) -> None:
    expect(page.locator("#save")).to_be_enabled()
    page.click("#save")
    expect(page.locator("#saved")).to_contain_text("recommended from now on")


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
    page.get_by_text("Edit one that is there").click()
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
    expect(page.locator("#delete")).to_have_text("Delete it: sure?")
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


def test_what_cannot_be_registered_is_said_and_what_was_typed_stays(page: Page) -> None:
    page.get_by_role("link", name="New item").click()
    form(page, title="a lamp", brand="a" * 100_000)
    expect(page.locator("#item-problem")).to_contain_text("characters of text")
    expect(page.locator("#save")).to_be_disabled()
    expect(page.locator("#item [name=title]")).to_have_value("a lamp")
    form(page, brand="Alba")
    expect(page.locator("#item-problem")).to_be_hidden()
    expect(page.locator("#save")).to_be_enabled()


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
    for address in ("9999", "x.y", "1.1.1.1.1"):
        page.goto(f"{client.url}/#codes/{address}")
        expect(page.locator("#codes-problem:visible, #codes-note:has-text('0 items')")).to_have_count(1)
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


def check_access(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def shown(page: Page, id_: str) -> dict[str, str]:
    names = page.locator(f"#{id_} dt").all_text_contents()
    return dict(zip(names, page.locator(f"#{id_} dd").all_text_contents(), strict=True))


def test_health_shows_what_version_and_metrics_say(page: Page, client: Client) -> None:
    assert client.post("/items", {"item_id": "odd", "title": "qwertz uiop"}).json()["unusual"] in (True, False)
    page.get_by_role("link", name="Health").click()
    expect(page.locator("#try")).to_be_hidden()
    expect(page.locator("#running dt")).to_have_count(10)
    version = client.get("/version").json()
    served = shown(page, "served")
    assert served["Model"] == version["model_version"]
    assert served["Items"] == str(version["items"])
    assert served["Cold items"] == str(version["cold_items"])
    assert served["Index"] == "flat, recall@10 1.000"
    running = shown(page, "running")
    metrics = client.get("/metrics").body.decode()
    made = next(
        line for line in metrics.splitlines() if line.startswith('kindred_recommendations_total{strategy="popularity')
    )
    assert f"popularity {int(float(made.split()[1])):,}" in running["Recommendations by strategy"]
    assert "created" in running["Items written"]
    assert "have a quantization error above" in running["New items unlike training"]
    p50, p99 = (float(part.split()[0]) for part in running["/recommend, p50 / p99"].split(" / "))
    assert 0 < p50 <= p99
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    page.get_by_role("link", name="Try it").click()
    expect(page.locator("#health")).to_be_hidden()
    client.delete("/items/odd")


def test_health_is_asked_for_anew(page: Page, client: Client) -> None:
    page.goto(f"{client.url}/#health")
    before = int(client.get("/version").json()["items"])
    expect(page.locator("#served")).to_contain_text(f"{before}")
    client.post("/items", {"item_id": "one-more", "title": "a lamp"})
    expect(page.locator("#served")).to_contain_text(f"{before + 1}", timeout=20_000)
    client.delete("/items/one-more")


def test_health_shows_the_card_and_who_serves_since_when(browser: Browser, tmp_path: Path) -> None:
    root = tmp_path / "a"
    make_carded(root, "v1")
    make_carded(root, "v2", made={"seed": 1}, metrics={"test/sampled": {"hit@10": 0.5}}, training={})
    set_current(root, "v1")
    with serving(make_settings(root, tmp_path, watch=0.02)) as client, opened(browser, client) as page:
        client.post("/items", {"item_id": "new", "title": "red soap"})
        page.get_by_role("link", name="Health").click()
        expect(page.locator("#card-facts")).to_contain_text("v1")
        served, card = shown(page, "served"), client.get("/model").json()
        assert (served["Items"], served["Cold items"], served["Registered items"]) == ("241", "5", "1")
        assert served["Registry"] == "SQLite"
        assert "Last swap" not in served
        since = client.get("/version").json()["serving_since"]
        assert page.locator("#served time").get_attribute("datetime") == since
        facts = shown(page, "card-facts")
        assert facts["Recipe"] == "default; seed 3"
        assert facts["Data"] == "made up: 1 user, 240 items, 1 interaction"
        assert facts["Tokens"] == "hybrid, 24 dimensions"
        assert facts["Semantic"] == "3 levels of 16 codewords, 16 dimensions"
        assert facts["Token parameters"].startswith("2,688; 82.5 % less than the 15,360 of a full")
        assert facts["Training"] == f"12 epochs; 3.25 s each; {TRAINING['machine']}; cpu"
        assert facts["Libraries"] == "torch 2.9.1"
        rows = page.locator("#card-metrics tbody tr")
        assert [row.locator("th, td").all_text_contents() for row in rows.all()] == [
            [name, f"{of['hit@10']:.4f}", f"{of['ndcg@10']:.4f}", f"{of['mrr']:.4f}"] for name, of in METRICS.items()
        ]
        for at, level in enumerate(card["tokens"]["semantic"]["levels"]):
            row = page.locator("#card-levels tbody tr").nth(at)
            assert row.locator("th").text_content() == f"{at + 1}: {level['distance']}"
            assert row.locator("td").last.text_content() == f"{100 * level['usage']:.1f} %"
            width = float(row.locator("svg rect").get_attribute("width") or "nan")
            assert width == pytest.approx(100 * level["usage"])
        set_current(root, "v2")
        expect(page.locator("#card-facts")).to_contain_text("v2", timeout=20_000)
        assert shown(page, "served")["Last swap"].endswith(", in place of v1")
        assert "Training" not in shown(page, "card-facts")
        expect(page.locator("#card-metrics tbody td")).to_have_text(["0.5000", "–", "–"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_health_is_accessible(browser: Browser, tmp_path: Path, scheme: Any, width: int) -> None:
    long = "split" * 30
    make_carded(tmp_path / "a", metrics={**METRICS, long: METRICS["test/full"]}, libraries={"x" * 200: "1"})
    with serving(make_settings(tmp_path / "a", tmp_path)) as client, opened(browser, client) as page:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        page.get_by_role("link", name="Health").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#card-metrics tbody tr")).to_have_count(3)
        expect(page.locator("#running dt")).to_have_count(10)
        found = Axe().run(page).response["violations"]
        assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_health_runs_nothing_of_a_manifest(browser: Browser, tmp_path: Path) -> None:
    text = " ".join(NASTY)
    make_carded(
        tmp_path / "a",
        created=text,
        recipe={"name": text},
        dataset=DatasetEntry(name=text, fingerprint="0", n_users=1, n_items=240, n_interactions=1),
        metrics={text: {"hit@10": 0.5}},
        training={"machine": text, "device": text},
        libraries={text: text},
    )
    with serving(make_settings(tmp_path / "a", tmp_path)) as client, opened(browser, client) as page:
        page.get_by_role("link", name="Health").click()
        expect(page.locator("#card-metrics tbody th")).to_have_text([text])
        facts = shown(page, "card-facts")
        assert facts["Made"] == text
        assert facts["Data"].startswith(text)
        assert facts["Libraries"] == f"{text} {text}"
        assert page.evaluate("window.hacked") is None
        assert page.locator("#health img, #health script, #health iframe, #health style, base").count() == 0


def test_health_says_that_there_is_no_model(browser: Browser, tmp_path: Path) -> None:
    make_carded(tmp_path / "a", "v1")
    make_carded(tmp_path / "a", "v2")
    (tmp_path / "a" / "v2" / "recommender.safetensors").write_bytes(b"damaged")
    with serving(make_settings(tmp_path / "a", tmp_path, watch=0.02), ready=False) as client:
        page = browser.new_page()
        page.goto(f"{client.url}/#health")
        expect(page.locator("#card-note")).to_have_text("There is no model that serves.")
        set_current(tmp_path / "a", "v1")
        expect(page.locator("#card-facts")).to_contain_text("v1", timeout=20_000)
        expect(page.locator("#card-note")).to_be_hidden()
        page.close()


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
        page.fill("#key-value", key)
        page.keyboard.press("Enter")
        expect(page.locator("#key")).to_be_hidden()
        expect(page.locator("#recommended li")).to_have_count(10)
        expect(page.locator("#model")).to_contain_text("61 items")
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
