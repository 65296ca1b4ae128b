"""The files of an artifact root: written whole or not at all, read only when every byte is as it was written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from model.artifact import Artifact
from model.manifest import CARD, GOLDEN, ITEMS, MANIFEST, OPTIONAL_FILES, REQUIRED_FILES, Manifest
from model.store import (
    CURRENT,
    SEAL,
    ArtifactError,
    read_version,
    resolve_current,
    set_current,
    write_version,
)
from tests.support.artifacts import copy_of, edit_manifest

FILES = (*REQUIRED_FILES, *OPTIONAL_FILES)


@pytest.fixture
def folder(tiny_root: Path, tmp_path: Path) -> Path:
    """A version folder to damage."""
    return copy_of(tiny_root, tmp_path / "root")


def refused(folder: Path, *parts: str) -> str:
    """Reading must be refused with a message that holds every part; returns the message."""
    with pytest.raises(ArtifactError) as caught:
        read_version(folder)
    for part in parts:
        assert part in str(caught.value)
    return str(caught.value)


def test_what_was_written_is_read(tiny_artifact: Artifact, tmp_path: Path) -> None:
    manifest = tiny_artifact.manifest
    contents = {name: name.encode() * 3 for name in REQUIRED_FILES}
    folder = write_version(tmp_path / "new" / "root", manifest, contents)
    assert folder == tmp_path / "new" / "root" / manifest.version
    assert resolve_current(folder.parent) == resolve_current(folder) == folder
    read, files = read_version(folder)
    assert files == contents
    assert read == manifest.model_copy(update={"files": read.files})
    # Nothing temporary is left behind.
    assert {path.name for path in folder.parent.iterdir()} == {CURRENT, manifest.version}
    assert {path.name for path in folder.iterdir()} == {MANIFEST, SEAL, *REQUIRED_FILES}


def test_a_version_is_never_written_twice(tiny_artifact: Artifact, tmp_path: Path) -> None:
    contents = dict.fromkeys(REQUIRED_FILES, b"first")
    folder = write_version(tmp_path, tiny_artifact.manifest, contents)
    with pytest.raises(ArtifactError, match="already exists"):
        write_version(tmp_path, tiny_artifact.manifest, dict.fromkeys(REQUIRED_FILES, b"second"))
    assert read_version(folder)[1] == contents


def test_a_crash_while_writing_leaves_the_old_version_in_use(
    tiny_artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = dict.fromkeys(REQUIRED_FILES, b"x")
    first = write_version(tmp_path, tiny_artifact.manifest, contents)
    later = tiny_artifact.manifest.model_copy(update={"version": "later"})

    def crash(*_: Any) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(os, "rename", crash)
        with pytest.raises(OSError, match="disk full"):
            write_version(tmp_path, later, contents)
    assert not (tmp_path / "later").exists()
    assert resolve_current(tmp_path) == first
    # What the crash left does not keep the version from being written later.
    assert write_version(tmp_path, later, contents) == resolve_current(tmp_path) == tmp_path / "later"
    assert read_version(tmp_path / "later")[1] == contents


def test_set_current_switches_and_refuses(tiny_artifact: Artifact, tmp_path: Path) -> None:
    contents = dict.fromkeys(REQUIRED_FILES, b"x")
    names = ["one", "two"]
    for name in names:
        write_version(tmp_path, tiny_artifact.manifest.model_copy(update={"version": name}), contents)
    assert resolve_current(tmp_path).name == "two"
    set_current(tmp_path, "one")
    assert resolve_current(tmp_path).name == "one"
    for bad in ("three", "../one", "", ".writing-one", "one/", "/etc"):
        with pytest.raises(ArtifactError, match="has no version"):
            set_current(tmp_path, bad)
    assert resolve_current(tmp_path).name == "one"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"../elsewhere", "is not the name of a version"),
        (b"/etc", "is not the name of a version"),
        (b"..", "is not the name of a version"),
        (b".", "is not the name of a version"),
        (b"", "is not the name of a version"),
        (b"a/b", "is not the name of a version"),
        (b"a\x00b", "is not the name of a version"),
        (b"a\nb", "is not the name of a version"),
        (b"x" * 129, "is not the name of a version"),
        (b"\xff\xfe", "cannot be read"),
        (b"absent", "which does not exist"),
    ],
)
def test_current_cannot_name_anything_but_a_version_here(folder: Path, content: bytes, message: str) -> None:
    # A folder beside the root that a path trick would reach.
    copy_of(folder.parent, folder.parent.parent / "elsewhere")
    (folder.parent / CURRENT).write_bytes(content)
    with pytest.raises(ArtifactError, match=message) as caught:
        resolve_current(folder.parent)
    assert CURRENT in str(caught.value)


def test_a_place_without_an_artifact_is_named(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(ArtifactError, match=f"{path}: no artifact here"):
            resolve_current(path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot be read"):
        resolve_current(tmp_path / "file")
    (tmp_path / CURRENT).mkdir()
    with pytest.raises(ArtifactError, match="cannot be read"):
        resolve_current(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_anywhere_in_a_file_is_found(folder: Path, name: str) -> None:
    path = folder / name
    good = path.read_bytes()
    for at in (0, len(good) // 3, len(good) // 2, len(good) - 1):
        path.write_bytes(good[:at] + bytes([good[at] ^ 4]) + good[at + 1 :])
        refused(folder, str(path), "SHA-256")
    path.write_bytes(good)
    read_version(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_another_size_is_found(folder: Path, name: str) -> None:
    path = folder / name
    good = path.read_bytes()
    for damaged in (good[:-1], b"", good + b"\0"):
        path.write_bytes(damaged)
        refused(folder, str(path), f"{len(damaged)} bytes", str(len(good)))


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    refused(folder, f"{folder / name}: is missing")


@pytest.mark.parametrize("name", FILES)
def test_a_link_or_a_folder_in_place_of_a_file_is_refused(folder: Path, name: str) -> None:
    path = folder / name
    path.rename(folder.parent / "aside")
    path.symlink_to(folder.parent / "aside")
    refused(folder, f"{path}: is not a plain file")
    path.unlink()
    path.mkdir()
    refused(folder, f"{path}: is not a plain file")
    path.rmdir()
    os.mkfifo(path)  # reading it would wait for ever
    refused(folder, f"{path}: is not a plain file")


def test_the_manifest_may_be_no_link(folder: Path) -> None:
    (folder / MANIFEST).rename(folder.parent / "aside")
    (folder / MANIFEST).symlink_to(folder.parent / "aside")
    refused(folder, f"{folder / MANIFEST}: is not a plain file")


def test_a_changed_manifest_is_found_by_its_seal(folder: Path) -> None:
    good = (folder / MANIFEST).read_bytes()
    changed = good.replace(b'"seed": 0', b'"seed": 1')
    assert changed != good
    (folder / MANIFEST).write_bytes(changed)
    refused(folder, f"{folder / MANIFEST}: does not have the hash that {SEAL} gives")
    (folder / MANIFEST).write_bytes(good)
    read_version(folder)
    (folder / SEAL).unlink()
    refused(folder, f"{folder / SEAL}: is missing")


@pytest.mark.parametrize("name", ["weights.pkl", ".hidden", "zzz"])
def test_a_file_that_is_not_listed_is_refused(folder: Path, name: str) -> None:
    (folder / name).write_text("")
    refused(folder, f"{folder / name}: is not listed")


def test_a_huge_file_is_refused_unread(folder: Path) -> None:
    with (folder / ITEMS).open("r+b") as file:
        file.truncate(2**40)  # sparse: a terabyte that takes no space
    refused(folder, str(folder / ITEMS), str(2**40))
    with (folder / MANIFEST).open("r+b") as file:
        file.truncate(2**40)
    refused(folder, str(folder / MANIFEST), str(2**40), "at most")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"format_version": ' + b"9" * 5000 + b"}", "is not JSON"),
        (b"[]", "format_version None"),
        (b"null", "format_version None"),
        (b"{}", "format_version None"),
        (b'{"format_version": 1}', "format_version 1, this program reads 3; train again"),
        (b'{"format_version": "3"}', "format_version '3'"),
        (b'{"format_version": 3}', "version: Field required"),
    ],
)
def test_a_manifest_that_is_none_is_refused(folder: Path, raw: bytes, message: str) -> None:
    (folder / MANIFEST).write_bytes(raw)
    refused(folder, str(folder / MANIFEST), message)


def test_a_truncated_manifest_is_refused(folder: Path) -> None:
    good = (folder / MANIFEST).read_bytes()
    for size in range(0, len(good) - 1, 97):
        (folder / MANIFEST).write_bytes(good[:size])
        refused(folder, str(folder / MANIFEST))


def _set(keys: str, value: Any) -> Any:
    def edit(manifest: dict[str, Any]) -> None:
        *path, last = keys.split("/")
        for key in path:
            manifest = manifest[key]
        if value is ...:
            del manifest[last]
        else:
            manifest[last] = value

    return edit


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        ("format_version", 1, "format_version 1, this program reads 3; train again"),
        ("format_version", ..., "format_version None"),
        ("version", "../other", "version: "),
        ("version", "other", "version 'other', but the folder is named"),
        ("surprise", 1, "surprise: Extra inputs"),
        ("tokenizer/surprise", 1, "tokenizer.surprise: Extra inputs"),
        ("tokenizer", ..., "tokenizer: Field required"),
        ("tokenizer/metrics", ["manhattan"], "tokenizer.metrics.0"),
        ("recommender/heads", 5, "recommender: "),
        ("n_items", 0, "n_items"),
        ("n_items", "many", "n_items"),
        ("dataset/n_users", -1, "dataset.n_users"),
        (f"files/{ITEMS}", ..., f"{ITEMS} is missing from the list"),
        (f"files/{CARD}", ..., f"{CARD} is missing from the list"),
        (f"files/{GOLDEN}/sha256", "0" * 63, "64 lower-case"),
        (f"files/{GOLDEN}/sha256", "A" * 64, "64 lower-case"),
        (f"files/{GOLDEN}/size", -1, "size"),
        (f"files/{GOLDEN}/size", 10**18, "the manifest says"),
        ("files/extra.bin", {"sha256": "0" * 64, "size": 0}, "'extra.bin' is not a file of an artifact"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder: Path, keys: str, value: Any, message: str) -> None:
    edit_manifest(folder, _set(keys, value))
    refused(folder, message)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", "sub/file", "items.parquet/..", ""])
def test_the_list_of_files_cannot_lead_out_of_the_folder(folder: Path, name: str) -> None:
    (folder.parent / "outside").write_text("secret")
    edit_manifest(folder, _set("files", json.loads((folder / MANIFEST).read_text())["files"]))
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: {"sha256": "0" * 64, "size": 6}}))
    refused(folder, f"{name!r} is not a file of an artifact")


def test_a_folder_under_another_name_is_refused(folder: Path) -> None:
    moved = folder.rename(folder.parent / "renamed")
    refused(moved, "but the folder is named 'renamed'")


def test_a_manifest_survives_json(tiny_artifact: Artifact) -> None:
    manifest = tiny_artifact.manifest
    assert Manifest.model_validate_json(manifest.model_dump_json()) == manifest
