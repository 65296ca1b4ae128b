"""The image and `make serve` start the service with two malloc arenas. glibc itself counts what that gives."""

from __future__ import annotations

import platform
import re
import subprocess
import sys

import pytest

from benchmarks.service_process import REPOSITORY

COUNT = """
import ctypes, tempfile, threading
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
barrier = threading.Barrier(8)
def allocate():
    barrier.wait()
    for _ in range(100):
        libc.malloc(ctypes.c_size_t(1000))
    barrier.wait()
threads = [threading.Thread(target=allocate) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
"""


@pytest.mark.parametrize("name", ["Dockerfile", "Makefile"])
def test_the_service_starts_with_two_arenas(name: str) -> None:
    found = re.findall(r"MALLOC_ARENA_MAX *\??= *(\w+)", (REPOSITORY / name).read_text(encoding="utf-8"))
    assert found == ["2"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has arenas")
def test_two_are_what_eight_threads_share() -> None:
    def arenas(most: str) -> int:
        environment = {"PATH": "/usr/bin:/bin", "MALLOC_ARENA_MAX": most}
        command = [sys.executable, "-c", COUNT]
        return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)

    assert arenas("2") <= 2 < arenas("8")
