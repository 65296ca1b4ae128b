"""The latency benchmark runs on any artifact and states its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import service_latency
from tests.service_support import make_artifact


@pytest.mark.slow
def test_it_measures_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_artifact(tmp_path / "a")
    output = tmp_path / "figures.json"
    code = service_latency.main(
        ["--artifacts", str(tmp_path / "a"), "--requests", "30", "--warmup", "5", "--json", str(output)]
    )
    figures = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert figures["requests"] == 30
    assert 0 < figures["p50_ms"] <= figures["p90_ms"] <= figures["p99_ms"]
    assert code == int(figures["ready_seconds"] > 10 or figures["p50_ms"] > 3)
