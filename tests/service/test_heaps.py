"""Threads share two heaps: counted by glibc itself, in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from service.heaps import share_heaps

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="heaps of glibc")

COUNT = """
import ctypes, sys, tempfile, threading
from service.heaps import share_heaps
done = share_heaps({environment!r})
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.fopen.restype = ctypes.c_void_p
together = threading.Barrier(8)
def take():
    together.wait()
    for _ in range(100):
        libc.malloc(ctypes.c_size_t(1000))
    together.wait()
threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with tempfile.NamedTemporaryFile() as file:
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(done, file.read().count(b"<heap nr="))
"""


def counted(environment: dict[str, str]) -> tuple[str, int]:
    """Whether `share_heaps` did something, and how many heaps eight threads had."""
    code = COUNT.format(environment=environment)
    done, heaps = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    ).stdout.split()
    return done, int(heaps)


def test_threads_share_two_heaps() -> None:
    done, heaps = counted({})
    assert done == "True"
    assert heaps <= 2


def test_the_environment_has_the_last_word() -> None:
    done, heaps = counted({"MALLOC_ARENA_MAX": "8"})
    assert done == "False"
    assert heaps > 2


def test_it_says_that_it_left_things_alone() -> None:
    assert not share_heaps({"MALLOC_ARENA_MAX": "1"})
