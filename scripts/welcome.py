"""`make serve`: starts the service and, once it is ready, prints commands to try with items of the artifact.

`python scripts/welcome.py COMMAND...`: the command replaces this process, so its signals and its exit status are those
of the service. A child process prints. The service tells it through a pipe (`--announce`) where it listens, so the
child never welcomes another service on that port. It prints nothing if the service does not start or ends.
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
    """Return the JSON at `url`. Raises OSError if nothing answers or the answer is an error."""
    # The service is on this machine, so no proxy of the environment may be asked.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as response:
        return json.load(response)


def wait_until_ready(base: str, service: int) -> bool:
    """Return True once `/readyz` answers 200; False if the process `service` ends or needs more than `WAIT_SECONDS`."""
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
    """Return a command line that posts `body`."""
    data = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"  curl -s {url} -H 'content-type: application/json' -d {data}"


def lines(base: str, items: list[dict[str, Any]]) -> list[str]:
    """Return what to try: recommend, register an item, see it recommended, find similar items."""
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
        f"  # Recommend five items to somebody who bought {titles}:",
        post(f"{base}/recommend", {"history": history, "k": 5}),
        "  # Register an item. Kindred knows nothing but its text:",
        post(f"{base}/items", new),
        "  # Recommend again, and keep one place of five for new items:",
        post(f"{base}/recommend", {"history": history, "k": 5, "cold_share": 0.2}),
        "  # Find the items that are most similar to the new one:",
        f"  curl -s {base}/items/my-first-item/similar",
        "",
        "Ctrl-C stops the service. It keeps registered items.",
        "",
    ]


def welcome(told: int, service: int) -> None:
    """Read from the pipe `told` where `service` listens, wait until it is ready, get two items and print."""
    with open(told, encoding="utf-8") as pipe:
        base = pipe.readline().strip().replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
    if not base or not wait_until_ready(base, service):
        return
    if os.environ.get("KINDRED_KEYS"):
        print(
            f"\nReady. Every request needs a key: curl -s {base}/version -H 'authorization: Bearer kindred_…'\n",
            flush=True,
        )
    else:
        print("\n".join(lines(base, get(f"{base}/items?limit=2")["items"])), flush=True)


def main() -> None:
    """Become the service, after starting the child that prints."""
    service = os.getpid()
    told, telling = os.pipe()
    if os.fork() == 0:
        os.close(telling)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C stops the service, and this process ends with it
        welcome(told, service)
        return
    os.close(told)
    os.set_inheritable(telling, True)
    command = sys.argv[1:]
    os.execvp(command[0], [*command, "--announce", str(telling)])


if __name__ == "__main__":
    main()
