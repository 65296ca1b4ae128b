"""What is asked of a service that swaps artifacts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from model.artifact import set_current
from service.engine.engine import Engine
from tests.support.service import Client, ask, make_settings, until

HISTORY = ["item-1", "item-2", "item-9"]


def version(client: Client) -> str:
    return str(client.get("/version").json()["model_version"])


def use(client: Client, root: Path, name: str) -> None:
    """Publish a version and wait until it serves."""
    set_current(root, name)
    until(lambda: version(client) == name)


def refused(client: Client) -> Any:
    """What is refused, once something is."""
    return until(lambda: client.get("/version").json().get("refused"))


def metric(client: Client, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", client.get("/metrics").body.decode(), re.MULTILINE)
    assert found is not None
    return float(found[1])


def scores(root: Path, folder: Path, name: str) -> dict[str, float]:
    """What an engine of that version gives every item after HISTORY."""
    folder.mkdir()
    engine = Engine.start(make_settings(root / name, folder))
    try:
        return {item.item_id: item.score for item in ask(engine, *HISTORY, k=500).items}
    finally:
        engine.close()
