"""The console in a browser: how soon it shows recommendations, and how soon it answers a search while somebody types.

    python -m benchmarks.console --artifacts <root> [--json <file>]

Needs the extra `dev` and Chromium (scripts/install-chromium.sh --always). The browser loads each page with an empty
cache. A search counts from the key press to the items on the page. Requests of the pages New item and Codes count from
the request to the last byte, the first time and the next times.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from benchmarks.service_process import running_service

_LOADS = 10
_TYPED = ("hair dry", "red lip", "nail pol", "vitamin c", "men")
# Milliseconds from an input event until the page has written the list of items found.
_SEARCH = """text => new Promise(resolve => {
  const found = document.getElementById("search-found"), note = document.getElementById("search-note");
  const began = performance.now();
  const watch = new MutationObserver(() => { watch.disconnect(); resolve(performance.now() - began); });
  for (const each of [found, note]) watch.observe(each, { childList: true, characterData: true });
  const search = document.getElementById("search");
  search.value = text;
  search.dispatchEvent(new InputEvent("input", { bubbles: true }));
})"""


_TIMES = 21
_ASKED: dict[str, tuple[str, dict[str, object] | None]] = {
    "preview": ("items/preview", {"item_id": "preview", "title": "Vitamin C serum", "categories": ["Skin care"]}),
    "codes": ("codes", None),
    "map": ("map", None),
}
_FETCH = """async ([path, body]) => {
  const began = performance.now();
  const headers = { "Content-Type": "application/json" };
  const answer = await fetch(path, body ? { method: "POST", headers, body: JSON.stringify(body) } : {});
  if (!answer.ok) throw new Error(`${path} was answered ${answer.status}`);
  await answer.text();
  return performance.now() - began;
}"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures and, at the end, one line of JSON. Exit code 1: a goal is missed."""
    options = _parse(arguments)
    figures: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        running_service(options.artifacts, Path(folder)) as service,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        url = f"http://127.0.0.1:{service.port}/"
        loads = [_load(browser, url) for _ in range(_LOADS)]
        figures["recommendations_shown_ms"] = round(statistics.median(loads), 1)
        figures["recommendations_shown_worst_ms"] = round(max(loads), 1)
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(url)
        page.evaluate(_SEARCH, "a")  # builds the search index
        found = sorted(page.evaluate(_SEARCH, text[:end]) for text in _TYPED for end in range(1, len(text) + 1))
        figures["search_p50_ms"] = round(statistics.median(found), 1)
        figures["search_p99_ms"] = round(found[int(0.99 * (len(found) - 1))], 1)
        for name, (path, body) in _ASKED.items():
            times = [page.evaluate(_FETCH, [path, body]) for _ in range(_TIMES)]
            figures[f"{name}_first_ms"] = round(times[0], 1)
            figures[f"{name}_p50_ms"] = round(statistics.median(times[1:]), 1)
        browser.close()
    goals = {"recommendations_shown_ms": 1000.0, "search_p50_ms": 50.0}
    for name, value in figures.items():
        print(f"{name:>32}  {value}{'   (missed)' if value >= goals.get(name, value + 1) else ''}")
    line = json.dumps(figures)
    print(line)
    if options.json:
        options.json.write_text(line + "\n", encoding="utf-8")
    return int(any(figures[name] >= goal for name, goal in goals.items()))


def _load(browser: Browser, url: str) -> float:
    """Milliseconds from the address to recommendations on the page, in a fresh context without a cache."""
    context = browser.new_context()
    page = context.new_page()
    began = time.perf_counter()
    page.goto(url, wait_until="commit")
    page.locator("#recommended li").first.wait_for()
    seconds = time.perf_counter() - began
    context.close()
    return 1000 * seconds


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--artifacts", type=Path, required=True, help="artifact root, or one version")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
