"""The power of the registry's file system is cut while several connections write: what was acknowledged is on disk.

The file system is an ext4 in a file, shut down without flushing what it holds in memory, and mounted again. Root may do
that; for others the tests are skipped. KINDRED_KILLS / 20 cuts are tried (`make crash`: 50).
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.settings import Settings
from tests.crash_campaign import Tally, kill_often
from tests.crash_process import Mutant
from tests.disk_support import Disk, own_disk
from tests.service_support import make_artifact, make_items, make_settings

CUTS = max(3, int(os.environ.get("KINDRED_KILLS", "20")) // 20)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder, items=make_items(40), untrained=2)
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with own_disk(tmp_path) as disk:
        yield disk


def cut_often(cuts: int, disk: Disk, root: Path, mutant: Mutant = "") -> Tally:
    def settings(number: int) -> Settings:
        return make_settings(root, disk.path, database_url=f"sqlite:///{disk.path}/{number}.db")

    def check(settings: Settings) -> None:
        connection = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    name = f"power cuts{' with ' if mutant else ''}{mutant}"
    return kill_often(name, cuts, settings, mutant, power_cut=disk.cut, died=lambda _: disk.restore(), checked=check)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_nothing_acknowledged_is_lost(disk: Disk, root: Path) -> None:
    tally = cut_often(CUTS, disk, root)
    assert tally.faults == []
    assert tally.kills == CUTS
    assert tally.in_flight >= 0.8 * CUTS, tally


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_what_is_synchronised_less_is_lost(disk: Disk, root: Path) -> None:
    """FULL is not enough: with a rollback journal the commit is a name that vanishes from a folder, and only EXTRA
    synchronises that.
    """
    tally = cut_often(30, disk, root, "synchronous=FULL")
    assert any(fault.startswith("lost: ") for fault in tally.faults), tally
