"""The console's files: served to everybody, from here alone, with a policy under which nothing but them can run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.service import Client, make_artifact, make_settings, refused, serving

FOLDER = Path(__file__).resolve().parents[2] / "service" / "console"
FILES = sorted(path.name for path in FOLDER.iterdir())
TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".html": "text/html; charset=utf-8",
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("console")
    make_artifact(folder / "artifacts")
    with serving(make_settings(folder / "artifacts", folder)) as client:
        yield client


@pytest.mark.parametrize("path", ["", *(f"console/{name}" for name in FILES)])
def test_files_are_served_as_they_are(client: Client, path: str) -> None:
    file = FOLDER / (path.removeprefix("console/") or "index.html")
    reply = client.get(f"/{path}")
    assert (reply.status, reply.body) == (200, file.read_bytes())
    assert reply.headers["content-type"] == TYPES[file.suffix]
    assert reply.headers["x-content-type-options"] == "nosniff"
    policy = dict(part.strip().split(" ", 1) for part in reply.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert set(policy.values()) == {"'none'", "'self'"}  # nothing inline, no other host
    again = client.get(f"/{path}", **{"If-None-Match": reply.headers["etag"]})
    assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    "name", ["nothing.js", "..%2Fapp.py", "..%2f..%2fpyproject.toml", "%2e%2e", "", "a/b", "index.html%00"]
)
def test_nothing_else_is(client: Client, name: str) -> None:
    refused(client.get(f"/console/{name}"), 404, "not-found")


def test_it_needs_nobody_else() -> None:
    for name in FILES:
        content = (FOLDER / name).read_text(encoding="utf-8")
        assert set(re.findall(r"https?://[\w./]*", content)) <= {"http://www.w3.org/2000/svg"}, name
        for module in re.findall(r'from "([^"]*)"', content):
            assert (FOLDER / module.removeprefix("./")).is_file(), module


def test_the_page_names_its_files_and_holds_no_script_or_style_of_its_own() -> None:
    page = (FOLDER / "index.html").read_text(encoding="utf-8")
    for name in re.findall(r'(?:src|href)="console/([^"]*)"', page):
        assert (FOLDER / name).is_file()
    assert not re.search(r'<style|style="|\bon\w+="|<script(?![^>]* src=)', page)


def test_scripts_make_no_markup_of_text() -> None:
    for path in FOLDER.glob("*.js"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", path.read_text()
        )
