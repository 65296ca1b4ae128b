"""python -m service artifacts: lists the versions of an artifact root, and says which one to serve.

    python -m service artifacts list
    python -m service artifacts use 20261122-015237-default-5005a668
    python -m service artifacts rollback

Before it names a version in `current`, it loads the version and replays its golden samples.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from model.artifact import Artifact, ArtifactError, current_name, set_current
from model.golden import check_golden
from model.manifest import MANIFEST, is_version
from service.lifecycle.current import is_pinned


@dataclass(frozen=True, order=True)
class Version:
    """A version, as its manifest describes it, unverified. Versions sort by the time of their making."""

    created: str  # UTC, ISO 8601; empty where the manifest cannot be read
    name: str
    n_items: int | None
    size: int  # bytes on disk


def versions(root: Path) -> list[Version]:
    """All versions of a root, oldest first. Raises ArtifactError where there is no root."""
    if is_pinned(root):
        raise ArtifactError(f"{root}: is one version; name the folder that holds the versions and `current`")
    try:
        folders = [path for path in root.iterdir() if is_version(path.name) and (path / MANIFEST).is_file()]
    except OSError as error:
        raise ArtifactError(f"{root}: cannot be read: {error.strerror}") from None
    return sorted(map(_describe, folders))


def _describe(folder: Path) -> Version:
    try:
        found = json.loads((folder / MANIFEST).read_bytes())
    except (OSError, ValueError, RecursionError):
        found = None
    data = found if isinstance(found, dict) else {}
    n_items = data.get("n_items")
    return Version(
        created=str(data.get("created", "")),
        name=folder.name,
        n_items=n_items if isinstance(n_items, int) else None,
        size=sum(path.lstat().st_size for path in folder.iterdir()),
    )


def use(root: Path, name: str) -> None:
    """Make a version the current one. Raises ArtifactError, and changes nothing, where it cannot be served."""
    known = [version.name for version in versions(root)]
    if name not in known:
        raise ArtifactError(f"{root}: has no version {name!r}, only {', '.join(known) or 'none at all'}")
    check_golden(Artifact.load(root / name))
    try:
        set_current(root, name)
    except OSError as error:
        raise ArtifactError(f"{root}: `current` cannot be written: {error.strerror}") from None


def before_current(root: Path) -> str:
    """The version that was made before the current one. Raises ArtifactError where there is none.

    The current one may be damaged or gone. Names begin with the time of making, so its name is enough.
    """
    found = versions(root)
    current = current_name(root)
    known = next((version for version in found if version.name == current and version.created), None)
    older = [each.name for each in found if (each < known if known else each.created and each.name < current)]
    if not older:
        raise ArtifactError(f"{root}: no version is older than {current!r}, which is in use")
    return older[-1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 2: refused, nothing was changed."""
    options = _parse(arguments)
    root: Path = options.artifacts
    try:
        if options.command == "list":
            print(*_lines(root), sep="\n")
            return 0
        name = before_current(root) if options.command == "rollback" else options.version
        before = _current(root)
        use(root, name)
    except ArtifactError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{name} loads, gives its golden samples, and is current now (before: {before or 'none'}).")
    print(
        "A running service loads it and then swaps; GET /version says which version serves.\n"
        "Restart a service that runs with KINDRED_WATCH=0."
    )
    return 0


def _current(root: Path) -> str | None:
    try:
        return current_name(root)
    except ArtifactError:
        return None  # `use` mends that


def _lines(root: Path) -> Iterator[str]:
    current = _current(root)
    found = versions(root)
    width = max([len(version.name) for version in found] + [7])
    yield f"  {'version':<{width}}  {'created':<26}{'items':>10}{'MiB':>8}"
    for version in found:
        mark = "*" if version.name == current else " "
        items = "?" if version.n_items is None else str(version.n_items)
        created = version.created[:25] or "unreadable"
        yield f"{mark} {version.name:<{width}}  {created:<26}{items:>10}{version.size / 2**20:>8.1f}"


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service artifacts", description="Versions of an artifact root.")
    commands = parser.add_subparsers(dest="command", required=True)
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument(
        "--artifacts",
        type=Path,
        default=Path(os.environ.get("KINDRED_ARTIFACTS") or "artifacts"),
        help="the artifact root (default KINDRED_ARTIFACTS, or ./artifacts)",
    )
    commands.add_parser("list", parents=[root], help="show the versions, oldest first; * is the current one")
    used = commands.add_parser("use", parents=[root], help="verify a version and make it the current one")
    used.add_argument("version", help="its name, as `list` shows it")
    commands.add_parser("rollback", parents=[root], help="use the version that was made before the current one")
    return parser.parse_args(arguments)
