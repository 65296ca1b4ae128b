"""The locks in requirements/: every package by its hash, torch the one that pyproject.toml pins, and no other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import canonicalize_name

from tests.support.paths import REPOSITORY

LOCKS = sorted((REPOSITORY / "requirements").glob("*.lock"))
TORCH = REPOSITORY / "requirements" / "torch.lock"


def locked(path: Path) -> list[tuple[Requirement, list[str]]]:
    """The requirements of a lock, each with its hashes."""
    found = []
    for entry in path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines():
        if entry.strip() and not entry.startswith("#"):
            name, *hashes = entry.split("--hash=sha256:")
            found.append((Requirement(name.strip()), [each.strip() for each in hashes]))
    return found


def pinned() -> dict[str, str]:
    """The exact versions that pyproject.toml asks for, extras included, by name."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    every = [*project["dependencies"], *(each for extra in project["optional-dependencies"].values() for each in extra)]
    requirements = map(Requirement, every)
    return {one.name: str(one.specifier)[2:] for one in requirements if str(one.specifier).startswith("==")}


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_every_package_is_locked_by_version_and_hash(path: Path) -> None:
    entries = locked(path)
    assert entries
    for requirement, hashes in entries:
        assert [each.operator for each in requirement.specifier] == ["=="], requirement
        assert hashes, requirement
        assert all(len(each) == 64 and int(each, 16) for each in hashes), requirement


def required(extras: set[str]) -> list[Requirement]:
    """What pyproject.toml asks for with these extras. `kindred[…]` stands for more of them."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    known, new = set[str](), set(extras)
    found = list(map(Requirement, project["dependencies"]))
    while new:
        known |= new
        here = [Requirement(line) for extra in new for line in project["optional-dependencies"][extra]]
        found += [one for one in here if one.name != "kindred"]
        new = {extra for one in here if one.name == "kindred" for extra in one.extras} - known
    return found


@pytest.mark.parametrize(
    ("lock", "extras"),
    [("run", {"serve", "postgres", "train"}), ("dev", {"dev"}), ("sentence", {"dev", "sentence"})],
)
def test_a_lock_holds_what_its_extras_ask_for(lock: str, extras: set[str]) -> None:
    text = (REPOSITORY / "scripts" / "install.sh").read_text(encoding="utf-8")
    (listed,) = re.findall(rf"(?m)^ *{lock}\) extras=(\S+)", text)
    assert set(listed.split(",")) == extras
    versions = {one.name: one.specifier for path in (TORCH, TORCH.with_stem(lock)) for one, _ in locked(path)}
    for requirement in required(extras):
        (version,) = (each.version for each in versions[canonicalize_name(requirement.name)])
        assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.stem)
def test_a_lock_holds_the_versions_of_the_project(path: Path) -> None:
    pins = pinned()
    for requirement, _ in locked(path):
        (version,) = (each.version for each in requirement.specifier)
        assert version.partition("+")[0] == pins.get(requirement.name, version), requirement


def test_torch_is_locked_for_linux_and_macos_and_nowhere_else() -> None:
    def named(path: Path, platform: str) -> list[str]:
        entries = (one for one, _ in locked(path) if one.name == "torch")
        return [
            str(one.specifier) for one in entries if not one.marker or one.marker.evaluate({"sys_platform": platform})
        ]

    torch = REPOSITORY / "requirements" / "torch.lock"
    version = pinned()["torch"]
    assert named(torch, "linux") == [f"=={version}+cpu"]
    assert named(torch, "darwin") == [f"=={version}"]
    assert [path.stem for path in LOCKS if named(path, "linux")] == ["torch"]


@pytest.mark.skipif(sys.platform != "linux", reason="the wheel is made up for Linux")
def test_another_torch_of_that_name_is_refused(tmp_path: Path) -> None:
    tag = next(iter(sys_tags()))
    name = f"torch-{pinned()['torch']}+cpu"
    with zipfile.ZipFile(tmp_path / f"{name}-{tag}.whl", "w") as wheel:
        wheel.writestr(f"{name}.dist-info/METADATA", "Metadata-Version: 2.1\nName: torch\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-index", "--find-links", str(tmp_path)]
    command += [
        "--dest",
        str(tmp_path / "taken"),
        "--require-hashes",
        "-r",
        str(REPOSITORY / "requirements/torch.lock"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    done = subprocess.run(
        command, env=environment | {"PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not list(tmp_path.glob("taken/*.whl"))
