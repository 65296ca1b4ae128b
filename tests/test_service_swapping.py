"""A new artifact while the service runs: swapped at once, nothing lost, bad ones refused, and the way back."""

from __future__ import annotations

import gc
import json
import re
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from model.artifact import Artifact, set_current
from model.items import Item
from service import swapping
from service.engine import Engine
from service.errors import RegistryUnavailable, Superseded
from service.model_responses import VersionResponse
from service.settings import Settings
from tests.postgres_support import Server
from tests.service_support import Client, ask, make_artifact, make_items, make_settings, serving, until

HISTORY = ["item-1", "item-2", "item-9"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with v1 and v2, whose answers differ, and which have not all items in common."""
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder, "v1")
    make_artifact(folder, "v2", seed=1, items=make_items(260)[20:])
    return folder


@pytest.fixture
def root(both: Path, tmp_path: Path) -> Path:
    """A copy of its own, v1 in use."""
    shutil.copytree(both, tmp_path / "a")
    set_current(tmp_path / "a", "v1")
    return tmp_path / "a"


@pytest.fixture
def settings(root: Path, tmp_path: Path) -> Settings:
    return make_settings(root, tmp_path, watch=0.02)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    with serving(settings) as client:
        yield client


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


def test_another_version_takes_over_with_what_was_registered(client: Client, root: Path) -> None:
    client.post("/items", {"item_id": "new", "title": "red soap"})
    client.put("/items/item-3", {"title": "a lamp now"})
    client.delete("/items/item-30")
    before = client.get("/items/new").json()
    use(client, root, "v2")
    assert client.recommend(*HISTORY)["model_version"] == "v2"
    assert client.get("/readyz").json()["model_version"] == "v2"
    after = client.get("/items/new").json()
    assert (after["revision"], after["attributes"]) == (before["revision"], before["attributes"])
    assert after["semantic_id"] != before["semantic_id"]  # tokenized anew
    assert client.get("/items/item-3").json()["attributes"]["title"] == "a lamp now"
    assert client.get("/items/item-30").status == 404
    assert client.get("/items/item-250").status == 200  # v2 alone has it
    assert client.get("/items/item-10").status == 404  # v1 alone had it
    assert client.post("/items", {"item_id": "newer", "title": "blue soap"}).status == 201
    assert "refused" not in client.get("/version").json()


def test_metrics_follow_the_new_engine(client: Client, root: Path) -> None:
    assert (metric(client, "kindred_index_items"), metric(client, "kindred_cold_items")) == (240, 4)
    make_artifact(root, "v3", items=make_items(120), untrained=7)
    until(lambda: version(client) == "v3")
    assert (metric(client, "kindred_index_items"), metric(client, "kindred_cold_items")) == (120, 7)
    until(lambda: metric(client, 'kindred_swaps_total{outcome="swapped"}') == 1)  # counted once it serves
    assert metric(client, "kindred_index_recall_at_10") == 1
    client.post("/items", {"item_id": "new", "title": "red soap"})
    assert metric(client, "kindred_index_items") == 121


def test_each_answer_is_of_one_version_and_no_request_fails(client: Client, root: Path, tmp_path: Path) -> None:
    expected = {name: scores(root, tmp_path / name, name) for name in ("v1", "v2")}
    seen: list[str] = []
    failures: list[object] = []
    ending = threading.Event()

    def check(answer: Any) -> None:
        own = expected[answer["model_version"]]
        for item in answer["items"]:
            if item["item_id"].startswith("item-") and item["score"] != pytest.approx(own[item["item_id"]], abs=1e-3):
                failures.append((answer["model_version"], item))
        seen.append(answer["model_version"])

    def call() -> None:
        own = Client(client.port)
        while not ending.is_set():
            reply = own.post("/recommend", {"history": HISTORY, "k": 20})
            batch = own.post("/recommend/batch", {"requests": [{"history": HISTORY, "k": 5}] * 20})
            if (reply.status, batch.status) != (200, 200):
                failures.append((reply, batch))
                return
            check(reply.json())
            answers = [entry["result"] for entry in batch.json()["results"]]
            if len({answer["model_version"] for answer in answers}) != 1:
                failures.append(batch.body)
            check(answers[0])
        own.close()

    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    for name in ["v2", "v1"] * 3:
        use(client, root, name)
    ending.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert set(seen) == {"v1", "v2"}


def test_what_is_acknowledged_during_swaps_is_there_after_them_and_after_a_restart(
    settings: Settings, root: Path
) -> None:
    there: dict[str, str] = {}
    gone: set[str] = set()
    failures: list[object] = []
    ending = threading.Event()

    def write(name: str, port: int) -> None:
        own = Client(port)
        for number in range(10**6):
            if ending.is_set():
                break
            item_id, title = f"{name}-{number % 40}", f"soap {number}"
            reply = own.put(f"/items/{item_id}", {"title": title})
            if reply.status not in (200, 201):
                failures.append(reply)
            there[item_id] = title
            gone.discard(item_id)
            if own.get(f"/items/{item_id}").json()["attributes"]["title"] != title:
                failures.append(item_id)  # what was acknowledged is served at once, swap or not
            if number % 5 == 4:
                reply = own.delete(f"/items/{item_id}")
                if reply.status != 204 or own.get(f"/items/{item_id}").status != 404:
                    failures.append(reply)
                del there[item_id]
                gone.add(item_id)
        own.close()

    def check(client: Client) -> None:
        listed = client.get("/items?source=registered&limit=1000").json()["items"]
        assert {item["item_id"]: item["attributes"]["title"] for item in listed} == there
        assert gone.isdisjoint(item["item_id"] for item in listed)

    with serving(settings) as client:
        threads = [threading.Thread(target=write, args=(name, client.port)) for name in ("x", "y", "z")]
        for thread in threads:
            thread.start()
        for name in ["v2", "v1"] * 3:
            use(client, root, name)
        ending.set()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(there) > 20
        check(client)
    with serving(settings) as client:
        check(client)


def test_the_old_engine_is_let_go_without_a_collection(
    settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[weakref.ref[Engine]] = []
    start = Engine.start

    def observed(*arguments: Any) -> Engine:
        engine = start(*arguments)
        engines.append(weakref.ref(engine))
        return engine

    monkeypatch.setattr(Engine, "start", observed)
    gc.disable()
    try:
        with serving(settings) as client:
            for name in ("v2", "v1", "v2"):
                client.recommend(*HISTORY)
                client.put("/items/new", {"title": "red soap"})
                use(client, root, name)
            until(lambda: [engine() is not None for engine in engines] == [False, False, False, True])
    finally:
        gc.enable()


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
    VersionResponse.model_validate_json(client.get("/version").body)
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

    monkeypatch.setattr("service.engine.load_catalogue", fail)
    set_current(root, "v2")
    assert refused(client)["reason"] == "loading failed: KeyError, see the log"
    assert "secret" in caplog.text
    assert client.recommend("item-1")["model_version"] == "v1"


def test_a_registry_that_is_away_only_delays(settings: Settings, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swapping, "_PAUSE", 0.05)
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
    start, close, stop = Engine.start, Engine.close, swapping.Swapper.stop

    def held(*arguments: Any) -> Engine:
        engine = start(*arguments)
        started.append(engine)
        loading.set()
        assert stopping.wait(30)
        return engine

    def closing(engine: Engine) -> None:
        closed.append(engine)
        close(engine)

    def observed(swapper: swapping.Swapper) -> None:
        swapper._ending.set()
        stopping.set()
        stop(swapper)

    with serving(settings) as client:
        monkeypatch.setattr(Engine, "start", held)
        monkeypatch.setattr(Engine, "close", closing)
        monkeypatch.setattr(swapping.Swapper, "stop", observed)
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


def test_an_engine_that_handed_over_writes_no_more_and_reads_on(root: Path, tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyError("nothing")

    old = Engine.start(make_settings(root, tmp_path))
    try:
        old.add(Item("early", title="red soap"))
        with pytest.raises(KeyError):
            old.hand_over(fail)
        old.add(Item("late", title="red soap"))  # it stayed in its place
        old.hand_over(lambda: None)
        for write in (
            lambda: old.add(Item("new", title="red soap")),
            lambda: old.put(Item("early", title="red soap")),
            lambda: old.delete("early"),
        ):
            with pytest.raises(Superseded):
                write()
        assert old.get("early").revision == 1
        assert ask(old, *HISTORY).model_version == "v1"
    finally:
        old.close()


def test_a_listener_hears_of_all_that_is_published(root: Path, tmp_path: Path) -> None:
    engine = Engine.start(make_settings(root, tmp_path))
    heard: list[tuple[str, int, bool]] = []
    try:
        engine.add(Item("before", title="red soap"))
        engine.publisher.listen(lambda rows: heard.extend((row.item_id, row.revision, row.active) for row in rows))
        engine.add(Item("new", title="red soap"))
        engine.add(Item("new", title="red soap"))
        engine.put(Item("new", title="blue soap"))
        engine.delete("item-3")
        engine.publisher.listen(None)
        engine.add(Item("after", title="red soap"))
    finally:
        engine.close()
    assert heard == [("new", 1, True), ("new", 2, True), ("item-3", 1, False)]


def test_what_another_replica_writes_is_followed_across_swaps(
    root: Path, tmp_path: Path, postgres: Server, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.database()
    settings = make_settings(root, tmp_path, watch=0.02, database_url=url)
    # The other one stays with its version.
    elsewhere = make_settings(root / "v1", tmp_path, database_url=url)
    stop = threading.Event()
    written: list[str] = []
    with serving(settings) as client:
        other = Engine.start(elsewhere)

        def write() -> None:
            while not stop.is_set():
                item = Item(f"theirs-{len(written)}", title="a red soap")
                other.add(item)
                written.append(item.item_id)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for name in ("v2", "v1", "v2"):
                use(client, root, name)
                enough = len(written) + 5
                until(lambda enough=enough: len(written) >= enough)  # type: ignore[misc]
        finally:
            stop.set()
            writer.join()
        until(lambda: client.get(f"/items/{written[-1]}").status == 200)
        assert [item_id for item_id in written if client.get(f"/items/{item_id}").status != 200] == []
        assert client.post("/items", {"item_id": "ours", "title": "a blue lamp"}).status == 201
        until(lambda: "ours" in {item.item_id for item in other.export()})
        # One feed each; those of the engines before are gone.
        assert sum(thread.name == "kindred-feed" for thread in threading.enumerate()) == 2
        other.close()
    assert [record.message for record in caplog.records if "the feed broke off" in record.message] == []
