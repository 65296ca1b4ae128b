"""The benchmarks run on any artifact and state their figures; overload has the outcome that it should have."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import body_memory, compacting, overload, service_latency, sigterm, sizing, throughput
from tests.support.service import make_artifact


def test_it_measures_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    output = tmp_path / "figures.json"
    code = service_latency.main(
        [
            "--artifacts",
            str(tmp_path / "a"),
            "--requests",
            "30",
            "--warmup",
            "5",
            "--items",
            "20",
            "--json",
            str(output),
        ]
    )
    figures = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert figures["requests"] == 30
    for name in ("", "bare_", "register_"):
        assert 0 < figures[f"{name}p50_ms"] <= figures[f"{name}p90_ms"] <= figures[f"{name}p99_ms"]
    assert code == int(figures["ready_seconds"] > 10 or figures["p50_ms"] > 3)


def test_a_size_is_measured_after_a_new_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    assert sizing.main(["--artifacts", str(tmp_path / "a"), "--registered", "0,300", "--seconds", "0.3"]) == 0
    small, large = json.loads(capsys.readouterr().out.splitlines()[-1])["sizes"]
    assert (small["items"], large["items"]) == (240, 540)
    assert large["registry_mib"] > small["registry_mib"]
    assert min(small["p50_ms"], large["p50_ms"], small["memory_mib"], large["registered_per_s"]) > 0


def test_compacting_is_measured_beside_a_new_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    assert compacting.main(["--artifacts", str(tmp_path / "a"), "--items", "300"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(each["way"], each["items"]) for each in found] == [("compact", 540), ("start anew", 540)]
    assert all(each["seconds"] > 0 for each in found)


def test_throughput_is_measured_beside_a_bare_endpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    throughput.main(["--artifacts", str(tmp_path / "a"), "--seconds", "0.3", "--rounds", "1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["failed"] == 0
    for connections in throughput.CONNECTIONS:
        assert figures[f"rps_at_{connections}"] > 0
        assert figures[f"bare_rps_at_{connections}"] > 0


def test_overload_is_refused_as_promised_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_artifact(tmp_path / "a")
    monkeypatch.setenv("KINDRED_QUEUE_MAX", "8")
    monkeypatch.setattr(overload, "CONNECTIONS", 8)
    code = overload.main(["--artifacts", str(tmp_path / "a"), "--seconds", "2", "--capacity-seconds", "1"])
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0, figures
    assert figures["failed"] == 0  # answers that are neither 200 nor a refusal with Retry-After, and probes not 200
    assert figures["normal_afterwards"]
    assert figures["refused_5x"] > 0
    assert figures["accepted_5x"] > 0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts the peak")
def test_bodies_that_are_too_large_take_bounded_memory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    assert body_memory.main(["--artifacts", str(tmp_path / "a"), "--connections", "1,4"]) == 0
    cases = json.loads(capsys.readouterr().out.splitlines()[-1])["cases"]
    assert [(case["body"], case["connections"], case["answers"]) for case in cases] == [
        ("declared", 1, {"413": 1}),
        ("declared", 4, {"413": 4}),
        ("in chunks", 1, {"413": 1}),
        ("in chunks", 4, {"413": 4}),
    ]
    assert all(0 <= case["mib"] <= case["allowed_mib"] for case in cases)


def test_stops_under_load_lose_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--artifacts", str(root), "--times", "2", "--callers", "8", "--drain", "1"]
    code = sigterm.main(arguments)
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == 0, figures
    assert figures["stops"] == 2
    assert figures["in_flight_at_sigterm"] > 0
    assert figures["acknowledged_items"] > 0
