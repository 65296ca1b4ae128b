"""SIGKILL and power cuts while several connections write to a registry in SQLite: nothing acknowledged is lost.

KINDRED_KILLS says how many kills are tried; `make crash` tries 1,000. A kill loses nothing that the kernel has: what is
synchronised is tested by cutting the power of a file system instead, where root may mount one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from service.settings import Settings
from tests.campaigns.crash.campaign import kill_often
from tests.campaigns.crash.process import PHASES, Mutant
from tests.support.service import make_settings

KILLS = int(os.environ.get("KINDRED_KILLS", "20"))


@pytest.fixture
def registries(small_root: Path, tmp_path: Path) -> Callable[[int], Settings]:
    return lambda number: make_settings(small_root, tmp_path, database_url=f"sqlite:///{tmp_path}/{number}.db")


def file_of(settings: Settings) -> Path:
    return Path(settings.database_url.removeprefix("sqlite:///"))


def journal_of(settings: Settings) -> Path:
    path = file_of(settings)
    return path.with_name(f"{path.name}-journal")


def check_integrity(settings: Settings) -> None:
    connection = sqlite3.connect(file_of(settings))
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


@pytest.mark.timeout(7200)
def test_nothing_acknowledged_is_lost_and_nothing_is_half_there(registries: Callable[[int], Settings]) -> None:
    tally = kill_often("SQLite", KILLS, registries, checked=check_integrity, journal=journal_of)
    assert tally.faults == []
    assert tally.kills == KILLS
    # Else the kills would show nothing.
    assert tally.in_flight >= 0.9 * KILLS, tally
    assert tally.acknowledged > 2 * KILLS, tally
    assert tally.recovered > 0, tally
    assert KILLS < 200 or set(tally.phases) == set(PHASES), tally


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("mutant", "fault"), [("acknowledges before the commit", "lost: "), ("commits item by item", "half: ")]
)
def test_a_service_that_is_broken_is_found_out(
    registries: Callable[[int], Settings], mutant: Mutant, fault: str
) -> None:
    tally = kill_often(mutant, 60, registries, mutant, checked=check_integrity, journal=journal_of)
    assert any(line.startswith(fault) for line in tally.faults), tally
