"""API keys, and the file that holds their hashes. `python -m service keys` makes, lists and revokes them.

A key is `kindred_<id>_<secret>`. The prefix lets a scanner find a leaked key. The id names it in logs and in the file.
The secret is 256 random bits, and shown once.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from service.security.redaction import PREFIX, redact
from service.security.scopes import SCOPES, KeyScope, level

_FILE_MAX = 2**20  # bytes; some four thousand keys

_FORM = re.compile(rf"{PREFIX}_([0-9a-z]{{1,32}})_([0-9a-f]{{64}})")


class BadKeys(ValueError):
    """The file of keys cannot be used. The message names the file, the entry and the field."""

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))  # somebody may have given a key in place of a path or an id


class Key(BaseModel):
    """One entry of the file. Without `expires` it is good until it is revoked."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    id: Annotated[str, Field(pattern=r"^[0-9a-z]{1,32}$")]
    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    scopes: Annotated[list[KeyScope], Field(min_length=1)]
    name: Annotated[str, Field(max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")] = ""
    created: AwareDatetime
    expires: AwareDatetime | None = None

    @cached_property
    def level(self) -> int:
        """The level of its widest scope."""
        return max(level(scope) for scope in self.scopes)

    def opens_with(self, secret: str) -> bool:
        # This comparison takes the same time wherever the first difference is, so its time tells nothing of the hash.
        return hmac.compare_digest(hash_of(secret), self.hash)

    def is_live(self, now: float) -> bool:
        """`now` in seconds since 1970."""
        return self.expires is None or now < self.expires.timestamp()


_KEYS = TypeAdapter(list[Key])


def hash_of(secret: str) -> str:
    # One round of SHA-256. Slow hashes protect passwords, which can be guessed. Nobody guesses 256 random bits, and a
    # slow hash would take longer than the recommendation.
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def parse_key(token: str) -> tuple[str, str] | None:
    """(id, secret) of a token that has the form of a key; else None."""
    found = _FORM.fullmatch(token)
    return (found[1], found[2]) if found else None


def read_keys(path: Path) -> list[Key]:
    """The keys of a file; raises BadKeys."""
    try:
        with path.open("rb") as file:
            content = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise BadKeys(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > _FILE_MAX:
        raise BadKeys(f"{path}: is larger than {_FILE_MAX} bytes")
    try:
        keys = _KEYS.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        entry, *field = first["loc"] or ("",)
        where = f"entry {entry}: " if isinstance(entry, int) else ""
        where += f"{'.'.join(map(str, field))}: " if field else ""
        raise BadKeys(f"{path}: {where}{first['msg']}") from None
    seen: dict[str, int] = {}
    for place, key in enumerate(keys):
        if (first_place := seen.setdefault(key.id, place)) != place:
            raise BadKeys(f"{path}: entry {place}: id: {key.id!r} is taken by entry {first_place}")
    return keys


def create(path: Path, name: str, scope: KeyScope, days: int | None = None) -> str:
    """Add a new key to the file, and make the file if there is none. Returns the key itself, which nobody stores."""
    with _changing(path) as keys:
        taken = {key.id for key in keys}
        while (key_id := secrets.token_hex(6)) in taken:
            continue
        secret = secrets.token_hex(32)
        now = datetime.now(UTC).replace(microsecond=0)
        expires = None if days is None else now + timedelta(days=days)
        key = {"id": key_id, "hash": hash_of(secret), "scopes": [scope], "name": name}
        try:
            keys.append(Key.model_validate({**key, "created": now, "expires": expires}))
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            raise BadKeys(f"{first['loc'][0]}: {first['msg']}") from None
    return f"{PREFIX}_{key_id}_{secret}"


def revoke(path: Path, key_id: str) -> None:
    """Take a key out of the file. Raises BadKeys if the file does not hold it."""
    with _changing(path) as keys:
        kept = [key for key in keys if key.id != key_id]
        if len(kept) == len(keys):
            raise BadKeys(f"{path}: holds no key {key_id!r}")
        keys[:] = kept


@contextmanager
def _changing(path: Path) -> Iterator[list[Key]]:
    """The keys of a file, to be changed. Writes them when the block ends, and writes nothing when it fails.

    Two commands at once take turns. The lock is on the folder, because a lock on the file would go with the old file.
    """
    path = path.resolve()
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise BadKeys(f"{path.parent}: {error.strerror}") from None
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read_keys(path) if path.exists() else []
        yield keys
        try:
            _write(path, _KEYS.dump_json(keys, indent=2) + b"\n")
            os.fsync(folder)
        except OSError as error:
            raise BadKeys(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        os.close(folder)


def _write(path: Path, content: bytes) -> None:
    """Replace a file at once: a reader sees the old or the new one. It gets mode 0600 and keeps its owner."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if path.exists() and (old := path.stat()).st_uid != os.geteuid():
                # Root changes the file of the service's user, who still has to read it.
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 2: a file or an argument is refused."""
    options = _parse(arguments)
    try:
        if options.command == "create":
            print(create(options.file, options.name, options.scope, options.days))
            print("This is shown once; the file holds its hash.", file=sys.stderr)
        elif options.command == "revoke":
            revoke(options.file, options.id)
        else:
            print(*_lines(read_keys(options.file)), sep="\n")
    except BadKeys as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _lines(keys: Sequence[Key]) -> Iterator[str]:
    now = datetime.now(UTC).timestamp()
    yield f"{'id':<14}{'scopes':<8}{'created':<22}{'expires':<22}name"
    for key in keys:
        expires = _second(key.expires) if key.expires else "never"
        expired = "" if key.is_live(now) else "  (expired)"
        yield f"{key.id:<14}{','.join(key.scopes):<8}{_second(key.created):<22}{expires:<22}{key.name}{expired}"


def _second(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service keys", description="API keys of the service.")
    commands = parser.add_subparsers(dest="command", required=True)
    file = argparse.ArgumentParser(add_help=False)
    default = os.environ.get("KINDRED_KEYS") or None
    file.add_argument(
        "--file", type=Path, default=default, required=default is None, help="the file of keys (default KINDRED_KEYS)"
    )
    made = commands.add_parser("create", parents=[file], help="make a key, print it once and store its hash")
    made.add_argument("--name", default="", help="who it is for")
    made.add_argument("--scope", choices=SCOPES, required=True, help="each includes those before it")
    made.add_argument("--days", type=_days, help="days until it expires (default: never)")
    commands.add_parser("list", parents=[file], help="show the keys, without their secrets")
    gone = commands.add_parser("revoke", parents=[file], help="take a key out of the file")
    gone.add_argument("id", help="the part of the key between its underscores")
    return parser.parse_args(arguments)


def _days(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 36_500):
        raise argparse.ArgumentTypeError("expected a number from 1 to 36500")
    return int(text)
