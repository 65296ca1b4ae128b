"""What the documents name is there: links and anchors, settings, endpoints, folders, make targets, commands, paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.main import get_group

from service.__main__ import COMMANDS
from service.api.app import create_app
from service.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.service import make_settings
from training.__main__ import app as training

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
FOLDERS = ("benchmarks", "docs", "model", "requirements", "scripts", "service", "tests", "training")
WINGED = ("service", "tests", "training")
_FENCE = re.compile(r"```.*?```", re.DOTALL)
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)

each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))


def _read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def _anchors(document: Path) -> set[str]:
    """The anchors that GitHub makes from the headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", _FENCE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _broken(document: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = document.parent / path if path else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            yield target


def _missing(text: str) -> Iterator[str]:
    """Make targets, commands and paths that stand as code in `text` and do not exist."""
    targets = set(re.findall(r"(?m)^([a-z]+):", _read("Makefile")))
    commands = {"service": set(COMMANDS), "training": set(get_group(training).commands)}
    for code in _CODE.findall(text):
        for target in re.findall(r"(?<![\w/-])make ([a-z]+)", code):
            if target not in targets:
                yield f"make {target}"
        for module, command in re.findall(r"python -m ([\w.]+)(?: +([a-z]+)\b)?", code):
            top = module.partition(".")[0]
            # The packages of other people are not asked for by their sub-modules.
            if find_spec(module if (REPOSITORY / top).is_dir() else top) is None:
                yield f"python -m {module}"
            elif command and module in commands and command not in commands[module]:
                yield f"python -m {module} {command}"
        for path in re.findall(rf"(?<![\w./:-])(?:{'|'.join(FOLDERS)}|\.ci)/[\w./*-]*[\w*]", code):
            if not any(REPOSITORY.glob(path)):
                yield path


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    assert list(_broken(document)) == []


@each_document
def test_targets_commands_and_paths_exist(document: Path) -> None:
    assert list(_missing(document.read_text(encoding="utf-8"))) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# What is `here`, now\n", encoding="utf-8")
    document = tmp_path / "a.md"
    document.write_text(
        "[a](there.md#what-is-here-now) [b](there.md#gone) [c](gone.md) [d](#own)\n# Own\n", encoding="utf-8"
    )
    assert list(_broken(document)) == ["there.md#gone", "gone.md"]


def test_a_missing_name_is_found() -> None:
    text = """Do not make haste; `make setup`, `make haste`, `service/settings.py`, `service/gone.py`.
Or `requirements/*.lock`.

```sh
make test ARGS=tests/gone && curl http://127.0.0.1:8000/docs/service/gone
.venv/bin/python -m service keys list; .venv/bin/python -m service locks; python -m service --check
python -m training train --data docs/gone; python -m training learn; python -m benchmarks.gone; python -m pytest tests
```
"""
    assert list(_missing(text)) == [
        "make haste",
        "service/gone.py",
        "python -m service locks",
        "python -m training learn",
        "python -m benchmarks.gone",
        "tests/gone",
        "docs/gone",
    ]


def test_the_readme_is_short() -> None:
    assert len(_read("README.md").splitlines()) <= 150


def test_every_setting_has_its_row_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| `(KINDRED_[A-Z_]+)` \|", _read("docs/serving.md"))
    assert sorted(rows) == sorted(f"KINDRED_{name.upper()}" for name in Settings.model_fields)


def test_every_endpoint_has_its_row_and_no_other(tmp_path: Path) -> None:
    rows = re.findall(r"(?m)^\| `([A-Z]+ /\S*)` \|", _read("docs/api.md"))
    paths = create_app(make_settings(tmp_path, tmp_path)).openapi()["paths"]
    routes = [
        f"{method.upper()} {path.replace('{item_id}', '{id}')}" for path, those in paths.items() for method in those
    ]
    assert sorted(rows) == sorted(routes)


def test_every_folder_has_its_row_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| `([a-z_/]+/)` \|", _read("docs/code.md"))
    wings = [f"{wing.parent.name}/{wing.name}" for name in WINGED for wing in (REPOSITORY / name).iterdir()]
    # A folder that was moved away leaves its bytecode behind.
    there = [
        f"{name}/"
        for name in (*FOLDERS, *wings)
        if any(path.is_file() and "__pycache__" not in path.parts for path in (REPOSITORY / name).rglob("*"))
    ]
    assert sorted(rows) == sorted(there)
