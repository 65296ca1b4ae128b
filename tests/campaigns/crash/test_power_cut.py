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
from tests.campaigns.crash.campaign import Tally, kill_often
from tests.support.disks import Disk, own_disk
from tests.support.service import make_settings

CUTS = max(3, int(os.environ.get("KINDRED_KILLS", "20")) // 20)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    with own_disk(tmp_path) as disk:
        yield disk


def cut_often(cuts: int, disk: Disk, small_root: Path) -> Tally:
    def settings(number: int) -> Settings:
        return make_settings(small_root, disk.path, database_url=f"sqlite:///{disk.path}/{number}.db")

    def check(settings: Settings) -> None:
        connection = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"))
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()

    return kill_often("power cuts", cuts, settings, power_cut=disk.cut, died=lambda _: disk.restore(), checked=check)


@pytest.mark.timeout(7200)
def test_nothing_acknowledged_is_lost(disk: Disk, small_root: Path) -> None:
    tally = cut_often(CUTS, disk, small_root)
    assert tally.faults == []
    assert tally.kills == CUTS
    assert tally.in_flight >= 0.8 * CUTS, tally


@pytest.mark.parametrize(("synchronous", "kept"), [("EXTRA", True), ("FULL", False)])
def test_full_is_not_enough(disk: Disk, synchronous: str, kept: bool) -> None:
    """With a rollback journal a commit is a name that vanishes from a folder, and only EXTRA synchronises that: cut
    right after it, and FULL has lost it.
    """
    file = disk.path / "items.db"
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.execute("CREATE TABLE items (name TEXT)")
    os.sync()
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("INSERT INTO items VALUES ('acknowledged')")
    disk.cut()
    connection.close()
    disk.restore()
    connection = sqlite3.connect(file)
    try:
        assert bool(connection.execute("SELECT name FROM items").fetchall()) == kept
    finally:
        connection.close()
