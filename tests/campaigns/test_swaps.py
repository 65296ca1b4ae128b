"""The campaign of swaps, in its short form: nothing fails under load, and memory and threads stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import swaps
from tests.support.service import make_artifact


def test_ten_swaps_under_load_fail_nothing_and_leave_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_artifact(tmp_path / "a")
    output = tmp_path / "figures.json"
    options = ["--artifacts", str(tmp_path / "a"), "--json", str(output)]
    code = swaps.main([*options, "--swaps", "20", "--connections", "2", "--seconds", "3"])
    figures = json.loads(output.read_text())
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == figures
    assert (code, figures["failed"], figures["items_lost"]) == (0, 0, 0)
    assert figures["swaps"] == 20
    assert min(figures["requests"].values()) > 20
    assert figures["items_written"] > 20
    _, ten, twenty = figures["states"]  # the first swap brings a second set of memory pools with it
    assert abs(twenty["threads"] - ten["threads"]) <= 2  # of the pool of workers
    assert abs(twenty["files"] - ten["files"]) <= 2
    assert twenty["rss_mib"] - ten["rss_mib"] < 15  # each of the ten loaded 4 MiB of an engine, and let it go
