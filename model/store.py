"""Files of an artifact root: each version is written completely or not at all, and `current` is swapped atomically.

The reader takes every file into memory once and checks its hash there. So the checked bytes are the bytes in use.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from model.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    OPTIONAL_FILES,
    REQUIRED_FILES,
    FileEntry,
    Manifest,
    is_version,
)

CURRENT = "current"
SEAL = "manifest.sha256"  # the manifest's own hash, as `sha256sum -c` reads it
_MANIFEST_LIMIT = 16 * 2**20


class ArtifactError(Exception):
    """An artifact is unusable. The message names the file, tensor or field at fault and what was expected."""


def set_current(root: Path, version: str) -> None:
    """Make `version` the current one, atomically. Raises ArtifactError if the root has no such version."""
    if not is_version(version) or not (root / version / MANIFEST).is_file():
        raise ArtifactError(f"{root}: has no version {version!r}")
    temporary = root / f".{CURRENT}.{os.getpid()}"
    _write(temporary, (version + "\n").encode())
    os.replace(temporary, root / CURRENT)
    _sync_folder(root)


def resolve_current(path: Path) -> Path:
    """The version folder of `path`: `path` itself if it has a manifest, else the version that its `current` names.

    Raises ArtifactError if there is neither.
    """
    if (path / MANIFEST).is_file():
        return path
    version = current_name(path)
    if not (path / version / MANIFEST).is_file():
        raise ArtifactError(f"{path / CURRENT}: names {version!r}, which does not exist in {path}")
    return path / version


def current_name(root: Path) -> str:
    """The version that `current` of a root names, which need not exist. Raises ArtifactError if it names none."""
    try:
        version = (root / CURRENT).read_text(encoding="utf-8").strip()
    except FileNotFoundError as error:
        raise ArtifactError(f"{root}: no artifact here: neither {MANIFEST} nor {CURRENT} exists") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{root / CURRENT}: cannot be read: {error}") from error
    if not is_version(version):
        raise ArtifactError(f"{root / CURRENT}: {version!r} is not the name of a version")
    return version


def write_version(root: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write a version with its files, make it current and return its folder. Fills in `manifest.files`.

    It writes the folder under a temporary name, syncs it to disk and renames it. So a crash leaves no unfinished
    version under the final name. Raises ArtifactError if the version exists.
    """
    final = root / manifest.version
    if final.exists():
        raise ArtifactError(f"{final}: already exists; a version is never written twice")
    root.mkdir(parents=True, exist_ok=True)
    temporary = root / f".writing-{manifest.version}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    entries = {name: FileEntry(sha256=hashlib.sha256(data).hexdigest(), size=len(data)) for name, data in files.items()}
    complete = manifest.model_copy(update={"files": entries})
    for name, data in files.items():
        _write(temporary / name, data)
    written = complete.model_dump_json(indent=2).encode()
    _write(temporary / MANIFEST, written)
    _write(temporary / SEAL, seal(written))
    _sync_folder(temporary)
    os.rename(temporary, final)
    _sync_folder(root)
    set_current(root, manifest.version)
    return final


def seal(manifest: bytes) -> bytes:
    """The content of the seal of a manifest."""
    return f"{hashlib.sha256(manifest).hexdigest()}  {MANIFEST}\n".encode()


def read_version(folder: Path) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a version folder, and the verified content of every other file.

    Raises ArtifactError for an invalid manifest, another format version, and a file that is missing, unexpected, a
    link, or different from the manifest in size or hash.
    """
    manifest = _read_manifest(folder)
    names = set(manifest.files)
    if missing := sorted(set(REQUIRED_FILES) - names):
        raise ArtifactError(f"{folder / MANIFEST}: files: {missing[0]} is missing from the list")
    if unknown := sorted(names - {*REQUIRED_FILES, *OPTIONAL_FILES}):
        raise ArtifactError(f"{folder / MANIFEST}: files: {unknown[0]!r} is not a file of an artifact")
    if strange := sorted({entry.name for entry in folder.iterdir()} - names - {MANIFEST, SEAL}):
        raise ArtifactError(f"{folder / strange[0]}: is not listed in the manifest")
    return manifest, {name: _read_checked(folder / name, entry) for name, entry in manifest.files.items()}


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    raw = _read_plain(path, _MANIFEST_LIMIT)
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: is not JSON: {error}") from error
    found = data.get("format_version") if isinstance(data, dict) else None
    if found != FORMAT_VERSION:
        raise ArtifactError(f"{path}: format_version {found!r}, this program reads {FORMAT_VERSION}; train again")
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArtifactError(f"{path}: {where or 'manifest'}: {first['msg']}") from error
    # Last, so that a flaw of the manifest is named first where there is one.
    if _read_plain(folder / SEAL, 256) != seal(raw):
        raise ArtifactError(f"{path}: does not have the hash that {SEAL} gives")
    if manifest.version != folder.name:
        raise ArtifactError(f"{path}: version {manifest.version!r}, but the folder is named {folder.name!r}")
    return manifest


def _read_checked(path: Path, entry: FileEntry) -> bytes:
    data = _read_plain(path, entry.size)
    if len(data) != entry.size:
        raise ArtifactError(f"{path}: has {len(data)} bytes, the manifest says {entry.size}")
    found = hashlib.sha256(data).hexdigest()
    if found != entry.sha256:
        raise ArtifactError(f"{path}: SHA-256 {found}, the manifest says {entry.sha256}")
    return data


def _read_plain(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most `limit` bytes. Refuses a link, a folder or a larger file unread."""
    try:
        status = path.lstat()
        if not stat.S_ISREG(status.st_mode):
            raise ArtifactError(f"{path}: is not a plain file")
        if status.st_size > limit:
            raise ArtifactError(f"{path}: has {status.st_size} bytes, at most {limit} are expected")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: is missing") from error
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error}") from error


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
