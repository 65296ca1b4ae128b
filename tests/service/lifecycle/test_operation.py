"""Running it: readiness, a database in trouble, request ids, metrics, logs, failures that must not leak."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from service import logs
from service.engine.engine import Engine
from service.metrics import Metrics
from service.registry.registry import Registry
from service.security import keys
from service.security.redaction import redact
from tests.support.service import Client, make_artifact, make_settings, serving


@pytest.fixture
def client(root: Path, tmp_path: Path) -> Iterator[Client]:
    with serving(make_settings(root, tmp_path, database_timeout=0.05)) as client:
        yield client


def reason_of(client: Client) -> str:
    """Why the service is not ready, once it says so for good."""
    end = time.monotonic() + 30
    while "being loaded" in (detail := client.get("/readyz").json()["detail"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    return str(detail)


def test_without_an_artifact_it_lives_but_is_not_ready_and_says_why(tmp_path: Path) -> None:
    with serving(make_settings(tmp_path / "nothing", tmp_path), ready=False) as client:
        assert "no artifact here" in reason_of(client)
        reply = client.get("/readyz")
        assert (reply.status, reply.json()["type"]) == (503, "/problems/not-ready")
        assert reply.headers["retry-after"] == "1"
        assert client.get("/livez").status == 200
        assert client.get("/version").status == 200
        assert "kindred_ready 0.0" in client.get("/metrics").body.decode()
        for method, path, body in [
            ("POST", "/recommend", {"history": []}),
            ("POST", "/items", {"item_id": "a", "title": "b"}),
            ("GET", "/items", None),
            ("GET", "/items/a", None),
            ("GET", "/items/export", None),
            ("DELETE", "/items/a", None),
            ("GET", "/items/a/similar", None),
        ]:
            assert client(method, path, body).json()["type"] == "/problems/not-ready"


def test_golden_samples_that_disagree_keep_it_from_serving(tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "a")
    made.golden = made.golden.replace(b'"item-0"', b'"item-7"', 1)
    made.manifest = made.manifest.model_copy(update={"version": "v2"})
    made.save(tmp_path / "a", "# changed")
    with serving(make_settings(tmp_path / "a", tmp_path), ready=False) as client:
        assert "golden.json" in reason_of(client)
        assert client.post("/recommend", {"history": ["item-1"]}).status == 503


def test_a_flipped_bit_in_the_artifact_keeps_it_from_serving(tmp_path: Path) -> None:
    make_artifact(tmp_path / "a")
    weights = tmp_path / "a" / "v1" / "recommender.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with serving(make_settings(tmp_path / "a", tmp_path), ready=False) as client:
        assert "recommender.safetensors" in reason_of(client)


def test_a_registry_that_cannot_be_read_keeps_it_from_serving(root: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.db").write_bytes(b"this is no database at all" * 100)
    with serving(make_settings(root, tmp_path), ready=False) as client:
        assert "not a SQLite database" in reason_of(client)


def test_an_index_that_cannot_be_built_keeps_it_from_serving(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, index="ivfpq"), ready=False) as client:
        assert "KINDRED_INDEX=ivfpq needs at least" in reason_of(client)


def test_an_unexpected_failure_at_start_is_logged_not_shown(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("secret")

    monkeypatch.setattr("service.engine.engine.load_catalogue", fail)
    with serving(make_settings(root, tmp_path), ready=False) as client:
        assert reason_of(client) == "loading failed: KeyError, see the log"
    assert "secret" in caplog.text


def test_a_locked_database_refuses_writes_and_serves_on(client: Client, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "registry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for method, path, body in [
        ("POST", "/items", {"item_id": "a", "title": "b"}),
        ("PUT", "/items/item-1", {"title": "b"}),
        ("DELETE", "/items/item-1", None),
        ("POST", "/items/batch", {"items": [{"item_id": "a", "title": "b"}]}),
    ]:
        reply = client(method, path, body)
        assert (reply.status, reply.json()["type"]) == (503, "/problems/registry-unavailable")
        assert reply.headers["retry-after"] == "1"
        assert client.recommend("item-1")["strategy"] == "model"
    assert client.get("/readyz").status == 200
    other.execute("ROLLBACK")
    other.close()
    assert client.post("/items", {"item_id": "a", "title": "b"}).status == 201


def test_a_full_disk_gives_507_and_serves_on(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [1_000_000]
    make_registry = Registry.__init__

    def limited(registry: Registry, url: str, timeout: float, migrate: bool) -> None:
        make_registry(registry, url, timeout, migrate)

        @event.listens_for(registry._database.engine, "checkout")
        def limit(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages[0]}")

    monkeypatch.setattr(Registry, "__init__", limited)
    with serving(make_settings(root, tmp_path)) as client:
        pages[0] = 1
        big = {"items": [{"item_id": f"n{n}", "text": "word " * 3000} for n in range(10)]}
        reply = client.post("/items/batch", big)
        assert (reply.status, reply.json()["type"]) == (507, "/problems/registry-full")
        assert client.get("/items?source=registered").json()["items"] == []
        assert client.recommend("item-1")["strategy"] == "model"
        pages[0] = 1_000_000
        assert [entry["status"] for entry in client.post("/items/batch", big).json()["results"]] == [201] * 10


def test_a_bug_is_a_500_with_an_id_and_its_cause_in_the_log_alone(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret cause")

    monkeypatch.setattr(Engine, "recommend_batch", fail)
    reply = client("POST", "/recommend", {"history": []}, {"X-Request-ID": "find-me"})
    assert (reply.status, reply.json()["type"]) == (500, "/problems/internal-error")
    assert reply.headers["content-type"] == "application/problem+json"
    assert reply.headers["x-request-id"] == reply.json()["request_id"] == "find-me"
    assert b"secret" not in reply.body
    (record,) = [record for record in caplog.records if record.name == "kindred.errors"]
    assert record.exc_info
    assert "the secret cause" in str(record.exc_info[1])
    assert vars(record)["request_id"] == "find-me"
    assert 'route="/recommend",status="500"' in client.get("/metrics").body.decode()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("abc-123", True),
        ("550e8400-e29b-41d4-a716-446655440000", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("a b", False),
        ('a"b', False),
        ("ü", False),
        ("", False),
    ],
)
def test_request_ids_are_echoed_when_harmless(client: Client, given: str, kept: bool) -> None:
    reply = client("GET", "/nope", headers={"X-Request-ID": given})
    echoed = reply.headers["x-request-id"]
    assert (echoed == given) is kept
    assert reply.json()["request_id"] == echoed
    assert echoed != client.get("/livez").headers["x-request-id"]


def test_metrics_count_what_happened(client: Client) -> None:
    client.recommend("item-1")
    client.recommend("nope")
    client.recommend("nope")
    client.post("/items", {"item_id": "a/b", "title": "soap"})
    client.post("/items", {"item_id": "a/b", "title": "soap"})
    client.get("/items/a/b")
    client.get("/nowhere")
    text = client.get("/metrics").body.decode()
    for line in [
        'kindred_recommendations_total{strategy="model"} 1.0',
        'kindred_recommendations_total{strategy="popularity"} 2.0',
        'kindred_requests_total{method="POST",route="/recommend",status="200"} 3.0',
        'kindred_recommended_items_total{kind="trained"} 30.0',
        'kindred_recommended_items_total{kind="cold"} 0.0',
        'kindred_requests_total{method="GET",route="/items/{item_id:text}",status="200"} 1.0',
        'kindred_requests_total{method="GET",route="unmatched",status="404"} 1.0',
        'kindred_request_seconds_count{method="POST",route="/recommend"} 3.0',
        'kindred_item_writes_total{outcome="created"} 1.0',
        'kindred_item_writes_total{outcome="unchanged"} 1.0',
        "kindred_new_item_error_percentile_count 1.0",
        "kindred_index_items 241.0",
        "kindred_cold_items 5.0",
        "kindred_ready 1.0",
    ]:
        assert line in text, line
    assert "a/b" not in text


def test_metrics_of_two_apps_do_not_mix() -> None:
    one, other = Metrics(), Metrics()
    one.observe_recommendation("model")
    assert b'kindred_recommendations_total{strategy="model"} 1.0' in one.render()
    assert b'kindred_recommendations_total{strategy="model"} 0.0' in other.render()


def test_access_logs_are_structured_and_hold_no_text(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    client("POST", "/items", {"item_id": "a", "title": "confidential words"}, {"X-Request-ID": "r-1"})
    client("GET", "/items/evil%0Aline%1B", headers={"X-Request-ID": "r-2"})
    client.get("/livez")  # a request is logged once it is answered, but before the next one on its connection
    lines = [logs.JsonFormatter(redact).format(record) for record in caplog.records if record.name == "kindred.access"]
    assert not any("\n" in line or "\x1b" in line for line in lines)
    by_id = {entry["request_id"]: entry for entry in map(json.loads, lines) if entry["request_id"].startswith("r-")}
    assert {key: by_id["r-1"][key] for key in ("method", "route", "path", "status", "level")} == {
        "method": "POST",
        "route": "/items",
        "path": "/items",
        "status": 201,
        "level": "info",
    }
    assert by_id["r-1"]["ms"] > 0
    assert by_id["r-2"]["path"] == "/items/evil\nline\x1b"
    assert "confidential" not in "".join(logs.JsonFormatter(redact).format(record) for record in caplog.records)


def test_a_log_line_holds_the_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "it %s", ("failed",), sys.exc_info())
    entry = json.loads(logs.JsonFormatter(redact).format(record))
    assert (entry["level"], entry["message"]) == ("error", "it failed")
    assert "ValueError: broken" in entry["traceback"]


def test_what_is_refused_at_the_door_is_counted_for_its_route(root: Path, tmp_path: Path) -> None:
    keys.create(tmp_path / "keys.json", "test", "read")
    with serving(make_settings(root, tmp_path, keys=tmp_path / "keys.json")) as client:
        client.get("/items/a/similar")
        client.get("/items/a/b")
        client.delete("/metrics")
        client.get("/nowhere")
        client.key = keys.create(tmp_path / "keys.json", "operator", "admin")
        end = time.monotonic() + 20
        while client.get("/version").status != 200:  # the file is looked at once a second
            assert time.monotonic() < end
            time.sleep(0.05)
        text = client.get("/metrics").body.decode()
    for method, route in [
        ("GET", "/items/{item_id:text}/similar"),
        ("GET", "/items/{item_id:text}"),
        ("DELETE", "/metrics"),
        ("GET", "unmatched"),
    ]:
        assert f'kindred_requests_total{{method="{method}",route="{route}",status="401"}} 1.0' in text


def test_a_body_that_is_too_long_is_counted_for_its_route(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, body_max=1024)) as client:
        assert client.post("/recommend", {"history": ["x" * 2000]}).status == 413
        text = client.get("/metrics").body.decode()
    assert 'kindred_requests_total{method="POST",route="/recommend",status="413"} 1.0' in text
