"""How many heaps the C library keeps: few, so that what one thread gives back another can use."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping

_M_ARENA_MAX = -8  # of glibc's malloc.h
_ARENAS = 2


def share_heaps(environment: Mapping[str, str] = os.environ) -> bool:
    """Let all threads share two heaps (glibc's arenas); for the beginning of a process. True where that was done.

    By itself glibc makes up to eight for each processor, one for each thread that comes, and memory that is free in
    one is of no use to the others: under mixed load the process grows for hours (docs/operations.md has the figures).
    Nothing is done where MALLOC_ARENA_MAX says otherwise, and with other C libraries, which have no arenas.
    """
    if "MALLOC_ARENA_MAX" in environment:
        return False
    mallopt = getattr(ctypes.pythonapi, "mallopt", None)  # of this process: no library is loaded
    return mallopt is not None and bool(mallopt(_M_ARENA_MAX, _ARENAS))
