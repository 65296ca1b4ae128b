"""Reads which version an artifact root names, and the state of its files, so that a change can be seen."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from model.artifact import ArtifactError, resolve_current
from model.manifest import MANIFEST


@dataclass(frozen=True)
class CurrentVersion:
    """The version that `current` names. Two equal ones have the same content.

    folder: the version's folder; None where `current` names none, and `reason` says why. files: names, inodes, sizes
    and times of last change (ns) in the folder.
    """

    folder: Path | None
    reason: str = ""
    files: tuple[tuple[str, int, int, int], ...] = ()


def read_current(root: Path) -> CurrentVersion:
    """The version that `root` names now. Raises nothing."""
    try:
        folder = resolve_current(root)
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except ArtifactError as error:
        return CurrentVersion(None, str(error))
    except OSError as error:
        return CurrentVersion(None, f"{root}: cannot be read: {error}")
    return CurrentVersion(folder, files=tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found)))


def is_pinned(path: Path) -> bool:
    """Whether `path` is one version, which never changes, rather than a root."""
    return (path / MANIFEST).is_file()
