"""What the documents say is there: links and their anchors, every setting, every endpoint, every file of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api.app import create_app
from service.settings import Settings
from tests.support.paths import REPOSITORY
from tests.support.service import make_settings

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")])
_CODE = re.compile(r"```.*?```", re.DOTALL)


def _anchors(document: Path) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", _CODE.sub("", document.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def _broken(document: Path) -> Iterator[str]:
    for target in re.findall(r"\]\(([^)\s]+)\)", _CODE.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = document.parent / path if path else document
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in _anchors(file)):
            yield target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_links_lead_somewhere(document: Path) -> None:
    assert list(_broken(document)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# What is `here`, now\n", encoding="utf-8")
    document = tmp_path / "a.md"
    document.write_text(
        "[a](there.md#what-is-here-now) [b](there.md#gone) [c](gone.md) [d](#own)\n# Own\n", encoding="utf-8"
    )
    assert list(_broken(document)) == ["there.md#gone", "gone.md"]


def test_every_setting_has_its_row_and_no_other() -> None:
    text = (REPOSITORY / "docs" / "serving.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(KINDRED_[A-Z_]+)` \|", text)
    assert sorted(rows) == sorted(f"KINDRED_{name.upper()}" for name in Settings.model_fields)


def test_every_endpoint_has_its_row_and_no_other(tmp_path: Path) -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `([A-Z]+ /\S*)` \|", text)
    paths = create_app(make_settings(tmp_path, tmp_path)).openapi()["paths"]
    routes = [
        f"{method.upper()} {path.replace('{item_id}', '{id}')}" for path, those in paths.items() for method in those
    ]
    assert sorted(rows) == sorted(routes)


@pytest.mark.parametrize("package", ["model", "training", "service", "benchmarks"])
def test_every_file_stands_in_the_tree_and_no_other(package: str) -> None:
    """Of a package in a package, the folder is enough."""
    tree = (REPOSITORY / "docs" / "code.md").read_text(encoding="utf-8").partition("```\n")[2].partition("```")[0]
    (section,) = re.findall(rf"(?ms)^{package}/ .*?(?=^\S|\Z)", tree)
    named = set(re.findall(r"[\w/]+\.py\b", section))
    folders = set(re.findall(r"(?<![\w/])([a-z_]+)/(?=[ ,:])", section.partition("\n")[2]))
    files = {path.name for path in (REPOSITORY / package).glob("*.py")} - {"__init__.py"}
    inside = {path.parent.name for path in (REPOSITORY / package).glob("*/*.py")}
    assert files - named == set(), "not in the tree"
    assert inside - folders == set(), "not in the tree"
    known = {path.name for path in (REPOSITORY / package).rglob("*.py")}
    assert {name.rpartition("/")[2] for name in named} - known == set(), "in the tree and not there"
