"""Keys in their file: making, listing and revoking them, rotation, expiry, files that are broken, reading again."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.security.key_ring import KeyRing
from service.security.keys import BadKeys, create, hash_of, main, read_keys, revoke
from service.security.redaction import PREFIX

GOOD: dict[str, Any] = {
    "id": "a1",
    "hash": hash_of("0" * 64),
    "scopes": ["read"],
    "created": "2026-01-01T00:00:00Z",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys.json"


def write(file: Path, *entries: Any) -> Path:
    file.write_text(json.dumps(list(entries)))
    return file


def test_create_prints_the_key_once_and_keeps_its_hash(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create", "--file", str(file), "--name", "shop", "--scope", "read"]) == 0
    token = capsys.readouterr().out.strip()
    assert re.fullmatch(r"kindred_[0-9a-f]{12}_[0-9a-f]{64}", token)
    key_id, secret = token.split("_")[1:]
    (entry,) = json.loads(file.read_text())
    assert entry.items() >= {"id": key_id, "name": "shop", "scopes": ["read"], "expires": None}.items()
    assert entry["hash"] == hash_of(secret)
    assert secret not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [name.name for name in file.parent.iterdir()] == ["keys.json"]


def test_list_shows_keys_without_secrets(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    token = create(file, "shop", "write", days=30)
    write(file, *json.loads(file.read_text()), GOOD | {"expires": "2026-01-02T00:00:00+02:00"})
    assert main(["list", "--file", str(file)]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split() == ["id", "scopes", "created", "expires", "name"]
    assert first.split()[:2] == [token.split("_")[1], "write"]
    assert first.endswith("shop")
    assert second.split() == ["a1", "read", "2026-01-01T00:00:00Z", "2026-01-01T22:00:00Z", "(expired)"]
    assert PREFIX not in first + second


def test_revoke_takes_one_key_away(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept, gone = create(file, "kept", "read"), create(file, "gone", "read")
    assert main(["revoke", "--file", str(file), gone.split("_")[1]]) == 0
    assert [key.id for key in read_keys(file)] == [kept.split("_")[1]]
    assert main(["revoke", "--file", str(file), gone.split("_")[1]]) == 2
    # Whoever gives the whole key in place of its id does not find it in the terminal's log.
    assert main(["revoke", "--file", str(file), kept]) == 2
    assert kept.split("_")[2] not in capsys.readouterr().err
    assert len(read_keys(file)) == 1


@pytest.mark.parametrize("arguments", [["--scope", "all"], [], ["--scope", "read", "--days", "0"]])
def test_create_refuses_what_is_no_scope_or_no_time(file: Path, arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["create", "--file", str(file), *arguments])
    assert not file.exists()


def test_a_name_that_would_break_a_line_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["create", "--file", str(file), "--scope", "read", "--name", "a\nb"]) == 2
    assert capsys.readouterr().err.startswith("error: name: ")
    assert not file.exists()


def test_the_file_may_come_from_the_environment(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_KEYS", str(file))
    assert main(["create", "--scope", "admin"]) == 0
    assert read_keys(file)[0].scopes == ["admin"]


def test_a_change_that_fails_leaves_the_file_as_it_was(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(file, "first", "read")
    before = file.read_bytes()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(BadKeys, match=r"keys\.json: cannot be written: No space left on device"):
        create(file, "second", "read")
    assert file.read_bytes() == before
    assert [name.name for name in file.parent.iterdir()] == ["keys.json"]


def test_a_link_is_followed_not_replaced(file: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    file.symlink_to(tmp_path / "real" / "keys.json")
    create(file, "first", "read")
    assert file.is_symlink()
    assert len(read_keys(tmp_path / "real" / "keys.json")) == 1


def test_commands_at_the_same_time_lose_no_key(file: Path) -> None:
    made: list[str] = []
    threads = [threading.Thread(target=lambda: made.append(create(file, "", "read"))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.id for key in read_keys(file)} == {token.split("_")[1] for token in made}
    assert len(made) == 12


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([GOOD, GOOD], "entry 1: id: 'a1' is taken by entry 0"),
        ([GOOD | {"id": "A_1"}], "entry 0: id: String should match"),
        ([GOOD, GOOD | {"id": "b", "hash": "f" * 64}], "entry 1: hash: String should match"),
        ([GOOD | {"scopes": []}], "entry 0: scopes: List should have at least 1 item"),
        ([GOOD | {"scopes": ["root"]}], "entry 0: scopes.0: Input should be 'read', 'write' or 'admin'"),
        ([GOOD | {"scopes": "read"}], "entry 0: scopes: Input should be a valid array"),
        ([GOOD | {"created": "yesterday"}], "entry 0: created: Input should be a valid datetime"),
        ([GOOD | {"created": "2026-01-01T00:00:00"}], "entry 0: created: Input should have timezone info"),
        ([GOOD | {"expires": "2026-01-01T00:00:00"}], "entry 0: expires: Input should have timezone info"),
        ([GOOD | {"secret": "x"}], "entry 0: secret: Extra inputs are not permitted"),
        ([{"id": "a1"}], "entry 0: hash: Field required"),
        ([7], "entry 0: Input should be"),
    ],
)
def test_a_broken_entry_is_named(file: Path, entries: list[Any], message: str) -> None:
    with pytest.raises(BadKeys, match=f"^{re.escape(str(file))}: {re.escape(message)}"):
        KeyRing(write(file, *entries))


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": "a1"}', b"\xff\xfe", b"[" * 100_000, b" " * 2**20 + b"[]"])
def test_a_file_that_is_no_list_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(BadKeys, match=re.escape(str(file))):
        KeyRing(file)
    with pytest.raises(BadKeys):
        create(file, "", "read")
    assert file.read_bytes() == content


def test_a_file_that_is_missing_is_refused(file: Path) -> None:
    with pytest.raises(BadKeys, match=r"keys\.json: cannot be read: No such file"):
        KeyRing(file)


def test_an_error_repeats_no_secret(file: Path) -> None:
    token = create(file, "", "read")
    secret = token.split("_")[2]
    for path, entries in [(file, [GOOD | {"hash": token}]), (file, [GOOD | {token: 1}]), (file.parent / token, None)]:
        if entries is not None:
            write(path, *entries)
        with pytest.raises(BadKeys) as caught:
            KeyRing(path)
        assert secret not in str(caught.value)


def test_a_key_opens_by_all_of_it_alone(file: Path) -> None:
    token, other = create(file, "", "read"), create(file, "", "read")
    ring = KeyRing(file)
    found = ring.find(token)
    assert found is not None
    assert found.id == token.split("_")[1]
    assert len(ring) == 2
    last = "0" if token[-1] != "0" else "1"
    prefix, key_id, secret = token.split("_")
    wrong = [
        token[:-1] + last,
        token[:-1],
        token + "0",
        token.upper(),
        f" {token}",
        f"{token}\n",
        secret,
        "",
        f"{prefix}_{key_id}_{other.split('_')[2]}",
        f"{prefix}_nobody_{secret}",
        f"{prefix}_{key_id}_{hash_of(secret)}",
        f"{prefix}_{key_id}_{hash_of(secret).removeprefix('sha256:')}",
    ]
    assert [ring.find(each) for each in wrong] == [None] * len(wrong)


def test_comparison_takes_constant_time(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = create(file, "", "read")
    compared: list[tuple[str, str]] = []

    def compare(one: str, other: str) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr("hmac.compare_digest", compare)
    wrong = token[:-64] + "0" * 64
    assert KeyRing(file).find(wrong) is not None  # nothing but that comparison decides
    assert compared == [(hash_of("0" * 64), hash_of(token[-64:]))]


def test_an_expired_key_is_dead_to_the_second(file: Path) -> None:
    write(file, GOOD | {"expires": "1970-01-01T00:16:40Z"})
    (key,) = read_keys(file)
    assert key.is_live(999.9)
    assert not key.is_live(1000.0)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rotation_two_keys_live_then_the_old_one_goes(file: Path) -> None:
    clock = Clock()
    old = create(file, "shop", "read")
    ring = KeyRing(file, clock)
    new = create(file, "shop", "read")
    assert ring.find(new) is None  # looked at no more than once a second
    clock.now += 1
    assert ring.find(old)
    assert ring.find(new)
    revoke(file, old.split("_")[1])
    clock.now += 0.9
    assert ring.find(old)
    clock.now += 0.1
    assert ring.find(old) is None
    assert ring.find(new)


@pytest.mark.parametrize("spoil", [lambda file: file.write_text("[{"), os.unlink, lambda file: write(file, GOOD, GOOD)])
def test_a_file_that_breaks_keeps_the_old_keys_and_is_logged_once(
    file: Path, spoil: Callable[[Path], Any], caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    token = create(file, "", "read")
    ring = KeyRing(file, clock)
    spoil(file)
    for _ in range(5):
        clock.now += 1
        assert ring.find(token)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert str(file) in vars(record)["reason"]
    file.unlink(missing_ok=True)
    again = create(file, "", "read")
    clock.now += 1
    assert ring.find(again)
    assert ring.find(token) is None


def test_a_file_that_stays_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    token = create(file, "", "read")
    ring = KeyRing(file, clock)

    def fail(path: Path) -> None:
        raise AssertionError(path)

    monkeypatch.setattr("service.security.key_ring.read_keys", fail)
    for _ in range(5):
        clock.now += 1
        assert ring.find(token)
