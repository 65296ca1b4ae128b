"""Artifacts that cannot be served, and what comes between: the old one serves on, and it is said why."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.artifact import Artifact, set_current
from service.contract.operation_answers import VersionResponse
from service.engine.engine import Engine
from service.errors import RegistryUnavailable
from service.lifecycle import swapper
from service.settings import Settings
from tests.support.service import Client, fits, make_artifact, make_items, make_settings, serving, until
from tests.support.swaps import metric, refused, use, version


def damaged(root: Path) -> str:
    weights = root / "v2" / "recommender.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    return "recommender.safetensors: SHA-256"


def unfinished(root: Path) -> str:
    (root / "v2" / "tokenizer.safetensors").unlink()
    return "tokenizer.safetensors: is missing"


def of_another_format(root: Path) -> str:
    manifest = root / "v2" / "manifest.json"
    data = json.loads(manifest.read_text()) | {"format_version": 1}
    manifest.write_text(json.dumps(data))
    return "format_version 1, this program reads"


def that_disagrees(root: Path) -> str:
    artifact = Artifact.load(root / "v2")
    shutil.rmtree(root / "v2")
    artifact.golden = artifact.golden.replace(b'"item-20"', b'"item-27"', 1)
    artifact.save(root, "# changed")
    return "golden.json"


@pytest.mark.parametrize("spoil", [damaged, unfinished, of_another_format, that_disagrees])
def test_a_bad_artifact_is_refused_and_the_old_one_serves_on(
    client: Client, root: Path, spoil: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    client.post("/items", {"item_id": "new", "title": "red soap"})
    reason = spoil(root)
    set_current(root, "v2")
    found = refused(client)
    assert found["version"] == "v2"
    assert reason in found["reason"]
    assert any(getattr(record, "reason", "") == found["reason"] for record in caplog.records)
    fits(VersionResponse, client.get("/version").body)
    time.sleep(0.3)  # it is not tried again
    assert metric(client, 'kindred_swaps_total{outcome="refused"}') == 1
    assert metric(client, "kindred_artifact_refused") == 1
    assert client.get("/readyz").status == 200
    assert client.recommend("item-1", "new")["model_version"] == "v1"
    assert client.post("/items", {"item_id": "newer", "title": "blue soap"}).status == 201
    set_current(root, "v1")
    until(lambda: "refused" not in client.get("/version").json())
    assert metric(client, "kindred_artifact_refused") == 0


def test_a_refused_artifact_is_tried_again_when_its_files_change(client: Client, root: Path, both: Path) -> None:
    damaged(root)
    set_current(root, "v2")
    refused(client)
    shutil.copy(both / "v2" / "recommender.safetensors", root / "v2")
    until(lambda: version(client) == "v2")
    assert "refused" not in client.get("/version").json()


def test_an_index_that_cannot_be_built_is_refused(root: Path, tmp_path: Path) -> None:
    make_artifact(root, "big", items=make_items(1100))
    with serving(make_settings(root, tmp_path, watch=0.02, index="ivfpq")) as client:
        set_current(root, "v1")
        found = refused(client)
        assert (found["version"], version(client)) == ("v1", "big")
        assert "KINDRED_INDEX=ivfpq needs at least" in found["reason"]


def test_a_root_without_current_is_served_on(client: Client, root: Path) -> None:
    (root / "current").unlink()
    assert "no artifact here" in refused(client)["reason"]
    assert version(client) == "v1"
    (root / "current").write_text("v9\n")
    until(lambda: "names 'v9', which does not exist" in refused(client)["reason"])
    use(client, root, "v2")


def test_a_service_that_could_not_start_takes_the_next_artifact(root: Path, tmp_path: Path) -> None:
    damaged(root)
    set_current(root, "v2")
    with serving(make_settings(root, tmp_path, watch=0.02), ready=False) as client:
        until(lambda: "recommender.safetensors" in client.get("/readyz").json().get("detail", ""))
        set_current(root, "v1")
        client.until_ready()
        assert client.post("/items", {"item_id": "new", "title": "red soap"}).status == 201
        assert metric(client, "kindred_ready") == 1


def test_an_unexpected_failure_is_logged_and_the_old_one_serves_on(
    client: Client, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("service.engine.engine.load_catalogue", fail)
    set_current(root, "v2")
    assert refused(client)["reason"] == "loading failed: KeyError, see the log"
    assert "secret" in caplog.text
    assert client.recommend("item-1")["model_version"] == "v1"


def test_a_registry_that_is_away_only_delays(settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapper, "_PAUSE", 0.05)
    start = Engine.start
    tries: list[int] = []

    def away(*arguments: Any) -> Engine:
        tries.append(0)
        if len(tries) < 3:
            raise RegistryUnavailable("the database is away")
        return start(*arguments)

    with serving(settings) as client:
        monkeypatch.setattr(Engine, "start", away)
        use(client, root, "v2")
        assert metric(client, 'kindred_swaps_total{outcome="failed"}') == 2
        assert metric(client, 'kindred_swaps_total{outcome="refused"}') == 0


def test_of_two_quick_changes_the_last_counts(
    client: Client, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_artifact(tmp_path / "other", "v3", seed=2)
    shutil.copytree(tmp_path / "other" / "v3", root / "v3")
    loading, changed = threading.Event(), threading.Event()
    start = Engine.start

    def held(*arguments: Any) -> Engine:
        engine = start(*arguments)
        loading.set()
        assert changed.wait(30)
        return engine

    monkeypatch.setattr(Engine, "start", held)
    set_current(root, "v2")
    assert loading.wait(30)
    set_current(root, "v3")
    changed.set()
    until(lambda: version(client) == "v3")
    assert metric(client, 'kindred_swaps_total{outcome="overtaken"}') == 1
    until(lambda: metric(client, 'kindred_swaps_total{outcome="swapped"}') == 1)  # counted once it serves


def test_a_stop_in_the_middle_of_a_swap_ends_it(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    started: list[Engine] = []
    closed: list[Engine] = []
    loading, stopping = threading.Event(), threading.Event()
    start, close, stop = Engine.start, Engine.close, swapper.Swapper.stop

    def held(*arguments: Any) -> Engine:
        engine = start(*arguments)
        started.append(engine)
        loading.set()
        assert stopping.wait(30)
        return engine

    def closing(engine: Engine) -> None:
        closed.append(engine)
        close(engine)

    def observed(swapper: swapper.Swapper) -> None:
        swapper._ending.set()
        stopping.set()
        stop(swapper)

    with serving(settings) as client:
        monkeypatch.setattr(Engine, "start", held)
        monkeypatch.setattr(Engine, "close", closing)
        monkeypatch.setattr(swapper.Swapper, "stop", observed)
        set_current(root, "v2")
        assert loading.wait(30)
        assert client.post("/items", {"item_id": "new", "title": "red soap"}).status == 201
    assert [engine.artifact.version for engine in started] == ["v2"]
    assert sorted(engine.artifact.version for engine in closed) == ["v1", "v2"]
    assert not [record for record in caplog.records if record.exc_info]
    with serving(settings) as client:
        assert (version(client), client.get("/items/new").status) == ("v2", 200)


@pytest.mark.parametrize("changes", [{"watch": 0}, {"pinned": True}])
def test_nothing_is_watched_where_nothing_should_be(root: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    pinned = changes.pop("pinned", False)
    with serving(make_settings(root / "v1" if pinned else root, tmp_path, **({"watch": 0.02} | changes))) as client:
        assert not [thread for thread in threading.enumerate() if thread.name == "kindred-swap"]
        set_current(root, "v2")
        time.sleep(0.3)
        assert version(client) == "v1"
