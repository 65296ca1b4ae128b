"""`make audit AUDIT_SERVICE=latest`: known vulnerabilities of those packages whose newest release is the one locked.

For where PyPI's page of a project can be had and its pages of releases, which pip-audit reads, cannot: mirrors often
hold no more. A project's page names the vulnerabilities of its newest release alone, so older ones are named and not
passed over.

`python scripts/audit_latest.py <requirements>`. Exit code 1: something is known, or something could not be looked up.
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
    """newest: the project's. known: vulnerabilities of that, with what mends them."""

    name: str
    locked: Version
    newest: Version
    known: list[str]

    @property
    def is_newest(self) -> bool:
        return self.newest == Version(self.locked.public)


def pinned(requirements: str) -> list[tuple[str, Version]]:
    """The packages of a requirements file, each with its exact version; hashes and markers are passed over."""
    lines = (line.split("\\")[0].strip() for line in requirements.splitlines())
    entries = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return [(one.name, Version(next(iter(one.specifier)).version)) for one in entries]


def look_up(name: str, locked: Version) -> Found:
    """What PyPI says of a project now; raises OSError where it says nothing."""
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
        print(f"{one.name} {one.locked}: not looked up, since the newest is {one.newest}")
    return int(bool(findings or older))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
