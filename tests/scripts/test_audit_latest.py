"""scripts/audit_latest.py: what is known, what is not, and what could not be looked up are told apart."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.paths import REPOSITORY

LOCK = """\
# made up
sound==1.2.0 \\
    --hash=sha256:00
holed[extra]==2.0 ; python_version >= "3.11" \\
    --hash=sha256:00
"""


@pytest.fixture
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit_latest", REPOSITORY / "scripts" / "audit_latest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(newest: str, *known: dict[str, Any]) -> dict[str, Any]:
    return {"info": {"version": newest}, "vulnerabilities": list(known)}


HOLE = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fixed_in": ["2.1"], "withdrawn": None}
MISTAKEN = {"id": "PYSEC-2", "aliases": [], "fixed_in": [], "withdrawn": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("pages", "code", "said"),
    [
        ({"sound": page("1.2.0"), "holed": page("2.0")}, 0, ["2 of 2 packages looked up, 0 findings"]),
        ({"sound": page("1.2"), "holed": page("2.0.0", MISTAKEN)}, 0, ["2 of 2 packages looked up, 0 findings"]),
        (
            {"sound": page("1.2.0"), "holed": page("2.0", HOLE)},
            1,
            ["holed 2.0: PYSEC-1 (CVE-1), fixed in 2.1", "2 of 2 packages looked up, 1 findings"],
        ),
        (
            {"sound": page("1.3"), "holed": page("2.0")},
            1,
            ["1 of 2 packages looked up, 0 findings", "sound 1.2.0: not looked up, because the newest release is 1.3"],
        ),
    ],
)
def test_findings_and_what_was_not_looked_up_fail(
    script: ModuleType,
    pages: dict[str, Any],
    code: int,
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def answered(url: str, timeout: float) -> io.BytesIO:
        return io.BytesIO(json.dumps(pages[url.split("/")[-2]]).encode())

    monkeypatch.setattr("urllib.request.urlopen", answered)
    path = tmp_path / "requirements.txt"
    path.write_text(LOCK, encoding="utf-8")
    assert script.main(path) == code
    assert capsys.readouterr().out.splitlines() == said


def test_the_locks_of_the_project_are_read(script: ModuleType) -> None:
    names = dict(script.pinned((REPOSITORY / "requirements" / "run.lock").read_text(encoding="utf-8")))
    assert {"fastapi", "numpy", "uvicorn"} <= names.keys()


def test_a_page_that_cannot_be_had_is_an_error(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(url: str, timeout: float) -> io.BytesIO:
        raise OSError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    path = tmp_path / "requirements.txt"
    path.write_text(LOCK, encoding="utf-8")
    with pytest.raises(OSError, match="no network"):
        script.main(path)
