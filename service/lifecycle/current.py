"""What an artifact root names at a moment, and the files of that version: what is looked at to see a change."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from model.artifact import ArtifactError, resolve_current
from model.manifest import MANIFEST


@dataclass(frozen=True)
class Named:
    """`folder` is that of the version, None where `current` names none: `reason` says why.

    `files`: names, inodes, sizes and times of last change (ns) in the folder. Two that are equal name the same content.
    """

    folder: Path | None
    reason: str = ""
    files: tuple[tuple[str, int, int, int], ...] = ()


def named(root: Path) -> Named:
    """What `root` names now; raises nothing."""
    try:
        folder = resolve_current(root)
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except ArtifactError as error:
        return Named(None, str(error))
    except OSError as error:
        return Named(None, f"{root}: cannot be read: {error}")
    return Named(folder, files=tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in found)))


def is_pinned(path: Path) -> bool:
    """Whether `path` is one version, which never becomes another, rather than a root."""
    return (path / MANIFEST).is_file()
