"""python -m service artifacts: what it lists, what it refuses, and the way back of a running service."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from model.artifact import Artifact, resolve_current, set_current
from service.lifecycle.versions import main
from tests.support.service import make_artifact, make_settings, serving, until
from tests.support.swaps import version


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the versions c, a, b, made in this order; b is current."""
    root = tmp_path_factory.mktemp("artifacts")
    artifact = make_artifact(root, "c")
    for day, name in enumerate("ab", start=2):
        changes = {"version": name, "created": f"2026-01-0{day}T00:00:00+00:00"}
        artifact.manifest = artifact.manifest.model_copy(update=changes)
        artifact.save(root, "# Another")
    return root


@pytest.fixture
def root(three: Path, tmp_path: Path) -> Path:
    shutil.copytree(three, tmp_path / "a")
    return tmp_path / "a"


def run(root: Path, *arguments: str) -> int:
    return main([*arguments, "--artifacts", str(root)])


def current(root: Path) -> str:
    return resolve_current(root).name


def test_it_lists_the_versions_by_age(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "a" / "manifest.json").write_text("no JSON")
    assert run(root, "list") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[:3] for line in lines] == [
        ["version", "created", "items"],
        ["a", "unreadable", "?"],
        ["c", "2026-01-01T00:00:00+00:00", "240"],
        ["*", "b", "2026-01-03T00:00:00+00:00"],
    ]


def test_the_way_back_goes_one_version_at_a_time(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "rollback") == 0
    assert "a loads, gives its golden samples, and is current now (before: b)" in capsys.readouterr().out
    assert (root / "current").read_text() == "a\n"
    assert run(root, "rollback") == 0
    assert current(root) == "c"
    assert run(root, "rollback") == 2
    assert "no version is older than 'c'" in capsys.readouterr().err
    assert run(root, "use", "b") == 0
    assert current(root) == "b"


def test_what_cannot_be_served_is_not_made_current(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = root / "a" / "recommender.safetensors"
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    assert run(root, "rollback") == 2
    assert "recommender.safetensors: SHA-256" in capsys.readouterr().err
    artifact = Artifact.load(root / "c")
    shutil.rmtree(root / "c")
    artifact.golden = artifact.golden.replace(b'"item-0"', b'"item-7"', 1)
    artifact.save(root, "# changed")
    set_current(root, "b")
    assert run(root, "use", "c") == 2
    assert "golden.json" in capsys.readouterr().err
    assert current(root) == "b"


@pytest.mark.parametrize("name", ["d", "", "../a", "a/../b", "/etc", ".training"])
def test_a_version_that_is_not_there_is_refused(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, "use", name) == 2
    assert "has no version" in capsys.readouterr().err
    assert current(root) == "b"


def test_it_needs_a_root(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root / "a", "list") == 2
    assert "is one version" in capsys.readouterr().err
    assert run(tmp_path / "nothing", "list") == 2
    assert "cannot be read" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "rollback") == 2
    assert "no artifact here" in capsys.readouterr().err
    assert run(tmp_path / "empty", "use", "a") == 2
    assert "none at all" in capsys.readouterr().err


def test_use_mends_a_root_whose_current_is_gone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "current").unlink()
    assert run(root, "rollback") == 2
    assert run(root, "use", "a") == 0
    assert "(before: none)" in capsys.readouterr().out
    assert current(root) == "a"


@pytest.mark.parametrize("lost", ["content", "manifest", "folder"])
def test_the_way_back_is_open_from_a_version_that_is_damaged_or_gone(
    root: Path, lost: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if lost == "content":
        (root / "b" / "manifest.json").write_text("{")
    elif lost == "manifest":
        (root / "b" / "manifest.json").unlink()
    else:
        shutil.rmtree(root / "b")
    assert run(root, "rollback") == 0
    assert "(before: b)" in capsys.readouterr().out
    assert current(root) == "a"


def test_a_root_that_cannot_be_written_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "current").unlink()
    (root / "current").mkdir()  # no file takes its place, for root neither
    assert run(root, "use", "a") == 2
    assert "`current` cannot be written: Is a directory" in capsys.readouterr().err


def test_a_running_service_goes_back_with_what_was_registered(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path, watch=0.02)) as client:
        assert version(client) == "b"
        client.post("/items", {"item_id": "new", "title": "red soap"})
        assert run(root, "rollback") == 0
        until(lambda: version(client) == "a")
        assert client.recommend("item-1", "new")["unknown_history"] == []
