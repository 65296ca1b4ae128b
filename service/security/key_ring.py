"""The keys that are good now: read at the start, and again whenever their file changes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

from service.security.keys import BadKeys, Key, parse_key, read_keys

log = logging.getLogger("kindred.keys")

_LOOK_EVERY = 1.0  # seconds


class KeyRing:
    """Finds the key of a token. Raises BadKeys if the file cannot be used at the start.

    Once a second, a request looks at the file first: a system call of two microseconds, and no thread. A signal would
    be quicker, but its sender has to know the process, and in a container nobody does.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._state = _state(path)
        self._keys = _by_id(read_keys(path))
        self._looked = clock()

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, token: str) -> Key | None:
        """The key of this id and secret, expired or not; None if there is none."""
        self._refresh()
        if (parts := parse_key(token)) is None:
            return None
        key_id, secret = parts
        key = self._keys.get(key_id)
        return key if key is not None and key.opens_with(secret) else None

    def _refresh(self) -> None:
        now = self._clock()
        if now - self._looked < _LOOK_EVERY:
            return
        self._looked = now
        # Taken before the file is read, so that the next look sees a change during the reading.
        state = _state(self._path)
        if state == self._state:
            return
        self._state = state
        try:
            self._keys = _by_id(read_keys(self._path))
        except BadKeys as error:
            log.error("the keys were not read again, the old ones stay", extra={"reason": str(error)})
        else:
            log.info("keys read again", extra={"keys": len(self._keys)})


def _by_id(keys: list[Key]) -> dict[str, Key]:
    return {key.id: key for key in keys}


def _state(path: Path) -> tuple[int, int, int] | None:
    """Differs after a change. The inode tells a file from another of the same size in its place."""
    try:
        found = path.stat()
    except OSError:
        return None  # reading it says why
    return found.st_mtime_ns, found.st_size, found.st_ino
