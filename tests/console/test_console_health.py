"""Health: what is served, the card of the model, how it has gone since the start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from model.artifact import set_current
from model.manifest import DatasetEntry
from tests.support.cards import METRICS, TRAINING, make_carded
from tests.support.console import NASTY, opened
from tests.support.service import Client, make_settings, serving


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
    assert "fit their codes worse than" in running["New items unlike training"]
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


def test_health_is_not_asked_for_once_it_is_left(page: Page) -> None:
    held: list[Route] = []
    page.route("**/metrics", lambda route: held.append(route))
    page.clock.install()
    with page.expect_request("**/metrics"):
        page.get_by_role("link", name="Health").click()
    page.get_by_role("link", name="Try it").click()  # while the answer is still to come
    held.pop().continue_()
    expect(page.locator("#running dt")).to_have_count(10)
    page.clock.run_for(20_000)
    page.evaluate("fetch('livez').then((answer) => answer.text())")
    assert held == []
    page.unroute_all()


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
        assert shown(page, "served")["Last swap"].endswith(", replaced v1")
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
        expect(page.locator("#card-note")).to_have_text("No model is serving.")
        set_current(tmp_path / "a", "v1")
        expect(page.locator("#card-facts")).to_contain_text("v1", timeout=20_000)
        expect(page.locator("#card-note")).to_be_hidden()
        page.close()
