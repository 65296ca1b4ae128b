"""Printed by `make serve` once the service is ready: commands to try, with items that the artifact really holds.

Ends without a word when the service it was started for is gone.
"""

from __future__ import annotations

import json
import os
import shlex
import time
import urllib.request
from typing import Any

WAIT_SECONDS = 120.0


def get(url: str) -> Any:
    """The JSON at `url`; raises OSError when nothing answers or the answer is an error."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def wait_until_ready(base: str) -> bool:
    """True once `/readyz` answers 200; False when the service ended or took longer than `WAIT_SECONDS`."""
    service = os.getppid()
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end and os.getppid() == service:
        try:
            get(f"{base}/readyz")
        except OSError:
            time.sleep(0.5)
        else:
            return True
    return False


def post(url: str, body: dict[str, Any]) -> str:
    """A command line that posts `body`."""
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"  curl -s {url} -H 'content-type: application/json' -d {data}"


def lines(base: str, items: list[dict[str, Any]]) -> list[str]:
    """What to try: a recommendation, a registration, and the registered item in use."""
    history = [item["item_id"] for item in items]
    titles = " and ".join(str(item.get("attributes", {}).get("title", item["item_id"])) for item in items)
    like = items[0].get("attributes", {})
    new = {"item_id": "my-first-item", "title": f"{like.get('title', 'A new thing')}, new edition"}
    new.update({field: like[field] for field in ("brand", "categories", "price") if field in like})
    return [
        "",
        f"Ready. Try in a browser: {base}/",
        "Or in another terminal:",
        "",
        f"  # for somebody who bought {titles}",
        post(f"{base}/recommend", {"history": history, "k": 5}),
        "  # a new item, known by its text alone; then what it is similar to, and what follows it",
        post(f"{base}/items", new),
        f"  curl -s {base}/items/my-first-item/similar",
        post(f"{base}/recommend", {"history": ["my-first-item"], "k": 5, "explain": True}),
        "",
        "Ctrl-C ends the service. Registered items are kept.",
        "",
    ]


def main() -> None:
    """Wait, ask for two items, print."""
    host = os.environ.get("KINDRED_HOST", "127.0.0.1")
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)
    base = f"http://{host}:{os.environ.get('KINDRED_PORT', '8000')}"
    if not wait_until_ready(base):
        return
    if os.environ.get("KINDRED_KEYS"):
        print(
            f"\nReady. Requests need a key: curl -s {base}/version -H 'authorization: Bearer kindred_…'\n", flush=True
        )
    else:
        print("\n".join(lines(base, get(f"{base}/items?limit=2")["items"])), flush=True)


if __name__ == "__main__":
    main()
