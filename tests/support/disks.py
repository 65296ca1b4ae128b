"""File systems of a test's own, where root may mount one: a small one to fill, and one whose power can be cut."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

# <linux/fs.h>: shut a file system down; without flushing its log, all that was not synchronised is gone.
_SHUTDOWN = 0x8004587D
_WITHOUT_FLUSHING = 2


class Disk:
    """An ext4 file system in a file; `path` is where it is mounted."""

    def __init__(self, folder: Path, megabytes: int = 64) -> None:
        self.path = folder / "disk"
        self._image = folder / "disk.img"
        self.path.mkdir()
        with self._image.open("wb") as image:
            image.truncate(megabytes * 2**20)
        _run("mkfs.ext4", "-q", "-F", str(self._image))
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.path))

    def cut(self) -> None:
        """As a power cut: what was not synchronised never reaches the disk, and every access fails from now on."""
        folder = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _WITHOUT_FLUSHING))
        finally:
            os.close(folder)

    def restore(self) -> None:
        """The power is back: mounted anew from what is on the disk."""
        self.remove()
        self._mount()

    def remove(self) -> None:
        _run("umount", str(self.path))


@contextmanager
def own_disk(folder: Path) -> Iterator[Disk]:
    """Skips the test where this user may not mount one."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("there is no mkfs.ext4")
    try:
        disk = Disk(folder)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted: {error.stderr.strip()}")
    try:
        yield disk
    finally:
        disk.remove()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A tmpfs of `size`, as mount takes it. Skips the test where this user may not mount one."""
    path = folder / "small"
    path.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system can be mounted: {error.stderr.strip()}")
    try:
        yield path
    finally:
        _run("umount", str(path))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
