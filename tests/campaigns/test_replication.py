"""The replication benchmark in its short form: three services, slow transactions in between, nothing missed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import replication
from tests.support.postgres import Server
from tests.support.service import make_artifact


def test_three_services_miss_nothing(postgres: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    output = tmp_path / "figures.json"
    replication.main(
        [
            *("--artifacts", str(tmp_path / "a"), "--items", "400", "--batch", "10", "--rate", "80", "--slow", "1"),
            *("--database-url", postgres.url("postgres").render_as_string(False), "--json", str(output)),
        ]
    )
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert (figures["items"], figures["services"], figures["missed"]) == (400, 3, 0)
    assert figures["slow_transactions"] > 3
    assert figures["probes"] >= 6
    assert 0 < figures["visible_p50_ms"] <= figures["visible_p99_ms"] <= figures["visible_max_ms"]
