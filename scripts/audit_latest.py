"""`make audit AUDIT_SERVICE=latest`: known vulnerabilities of the packages that are locked at their newest release.

Use it with a mirror that serves PyPI's page of each project but not its pages of single releases, which pip-audit
reads. A project's page names the vulnerabilities of its newest release only. The script therefore lists the packages
that are locked at an older release, and does not pass them over.

`python scripts/audit_latest.py <requirements>`. Exit code 1: there is a vulnerability, or a package was not looked up.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement
from packaging.version import Version

PAGE = "https://pypi.org/pypi/{}/json"


class Found(NamedTuple):
    """newest: the project's newest release. known: the vulnerabilities of that release, each with its fix."""

    name: str
    locked: Version
    newest: Version
    known: list[str]

    @property
    def is_newest(self) -> bool:
        return self.newest == Version(self.locked.public)


def pinned(requirements: str) -> list[tuple[str, Version]]:
    """Return the packages of a requirements file with their exact versions, without hashes and markers."""
    lines = (line.split("\\")[0].strip() for line in requirements.splitlines())
    entries = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return [(one.name, Version(next(iter(one.specifier)).version)) for one in entries]


def look_up(name: str, locked: Version) -> Found:
    """Ask PyPI about a project. Raises OSError if PyPI does not answer."""
    with urllib.request.urlopen(PAGE.format(name), timeout=30) as response:
        page: dict[str, Any] = json.load(response)
    known = [
        f"{each['id']} ({', '.join(each.get('aliases') or [])}), fixed in {', '.join(each['fixed_in']) or 'none'}"
        for each in page["vulnerabilities"]
        if not each.get("withdrawn")
    ]
    return Found(name, locked, Version(page["info"]["version"]), known)


def main(path: Path) -> int:
    packages = pinned(path.read_text(encoding="utf-8"))
    with ThreadPoolExecutor(8) as pool:
        every = list(pool.map(look_up, *zip(*packages, strict=True)))
    looked_up = [one for one in every if one.is_newest]
    older = [one for one in every if not one.is_newest]
    findings = [f"{one.name} {one.locked}: {known}" for one in looked_up for known in one.known]
    print(*findings, f"{len(looked_up)} of {len(every)} packages looked up, {len(findings)} findings", sep="\n")
    for one in older:
        print(f"{one.name} {one.locked}: not looked up, because the newest release is {one.newest}")
    return int(bool(findings or older))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
