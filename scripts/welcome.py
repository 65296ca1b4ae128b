"""`make serve`: the service, and once it is ready, commands to try with items that the artifact really holds.

`python scripts/welcome.py COMMAND...`: the command takes the place of this process, so signals and exit status are its
own. A child prints; it hears from the service through a pipe (`--announce`) where it listens, so that it welcomes no
other that has the port, and ends without a word when the service does not start or is gone.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
import urllib.request
from typing import Any

WAIT_SECONDS = 120.0


def get(url: str) -> Any:
    """The JSON at `url`; raises OSError when nothing answers or the answer is an error."""
    # Of this machine, and so of no proxy that the environment names.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as response:
        return json.load(response)


def wait_until_ready(base: str, service: int) -> bool:
    """True once `/readyz` answers 200; False when the service, a process, ended or took longer than `WAIT_SECONDS`."""
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


def welcome(told: int, service: int) -> None:
    """Hear from the pipe `told` where a process listens, wait until it is ready, ask for two items, print."""
    with open(told, encoding="utf-8") as pipe:
        base = pipe.readline().strip().replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    if not base or not wait_until_ready(base, service):
        return
    if os.environ.get("KINDRED_KEYS"):
        print(
            f"\nReady. Requests need a key: curl -s {base}/version -H 'authorization: Bearer kindred_…'\n", flush=True
        )
    else:
        print("\n".join(lines(base, get(f"{base}/items?limit=2")["items"])), flush=True)


def main() -> None:
    """Become the service, with a child that welcomes."""
    service = os.getpid()
    told, telling = os.pipe()
    if os.fork() == 0:
        os.close(telling)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which this ends with
        welcome(told, service)
        return
    os.close(told)
    os.set_inheritable(telling, True)
    command = sys.argv[1:]
    os.execvp(command[0], [*command, "--announce", str(telling)])


if __name__ == "__main__":
    main()
