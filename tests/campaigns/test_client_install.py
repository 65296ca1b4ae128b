"""`pip install '.[client]'` in an empty environment brings the client's two packages and what these need, alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.paths import REPOSITORY

# Prints the installed packages, and those that httpx and pydantic require, directly or not.
_PACKAGES = """
import json
from importlib.metadata import distribution, distributions
from pip._vendor.packaging.requirements import Requirement
from pip._vendor.packaging.utils import canonicalize_name as name_of

needed, new = set(), ["httpx", "pydantic"]
while new:
    name = name_of(new.pop())
    if name not in needed:
        needed.add(name)
        lines = map(Requirement, distribution(name).requires or [])
        new += [one.name for one in lines if one.marker is None or one.marker.evaluate({"extra": ""})]
print(json.dumps([[name_of(one.metadata["Name"]) for one in distributions()], sorted(needed)]))
"""


def test_the_client_installs_alone(tmp_path: Path) -> None:
    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    source = tmp_path / "source"  # a copy, because building a wheel writes into the folder that it builds
    for folder in ("model", "service", "training"):
        shutil.copytree(REPOSITORY / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / file, source)
    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    python = str(tmp_path / "venv" / "bin" / "python")
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"{source}[client]")
    installed, needed = json.loads(run(python, "-c", _PACKAGES))
    assert set(installed) - {"pip", "setuptools"} == {"kindred", *needed}
    made = run(python, "-c", "from service.client import Client; print(Client('http://127.0.0.1:8000'))")
    assert made == "Client(URL('http://127.0.0.1:8000'))\n"
