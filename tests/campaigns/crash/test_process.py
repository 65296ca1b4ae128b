"""The service as a process: SIGKILL right after a 201 loses nothing; start-up messages and exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.client import Client, NotFound
from service.security import keys
from service.security.redaction import redact
from tests.support.paths import REPOSITORY
from tests.support.service import Client as RawClient


def environment_of(root: Path, folder: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("KINDRED_")}
    settings = {
        "KINDRED_ARTIFACTS": str(root),
        "KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db",
        "KINDRED_PORT": "0",
    }
    return own | settings | more


@contextmanager
def process(environment: Mapping[str, str], errors: Path) -> Iterator[tuple[subprocess.Popen[str], RawClient]]:
    """A real server, ready; killed at the end unless it is gone by then."""
    with errors.open("ab") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "service"],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    try:
        assert server.stdout
        line = server.stdout.readline()
        urls = [word.rstrip(";") for word in line.split() if word.startswith("http://")]
        assert urls, errors.read_text()
        client = RawClient(urlsplit(urls[0]).port or 0)
        try:
            yield server, client.until_ready()
        finally:
            client.close()
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


def test_what_was_acknowledged_survives_a_kill(root: Path, tmp_path: Path) -> None:
    environment = environment_of(root, tmp_path)
    registered: list[str] = []
    for attempt in range(4):
        with process(environment, tmp_path / "log") as (server, raw), Client(raw.url) as client:
            # All that was acknowledged before is there, and is an item like any other.
            recommended = [item.item_id for item in client.recommend(["item-1"], k=500).items]
            for item_id in registered:
                assert client.get_item(item_id).item_id == item_id
                assert item_id in recommended
                assert client.recommend([item_id], k=1).strategy == "model"
            if registered:
                with_new = client.recommend(["item-3", registered[-1]]).items
                assert with_new != client.recommend(["item-3"]).items
                similar = client.similar("item-8", k=100).items
                assert registered[-1] in [item.item_id for item in similar]
            title = str(client.get_item("item-8").attributes["title"])
            added = client.add_item(f"new-{attempt}", title=title)
            server.send_signal(signal.SIGKILL)
            assert added.outcome == "created"
            registered.append(added.item_id)
            assert server.wait(10) == -signal.SIGKILL


def test_replacing_and_deleting_survive_a_kill(root: Path, tmp_path: Path) -> None:
    environment = environment_of(root, tmp_path)
    with process(environment, tmp_path / "log") as (server, raw), Client(raw.url) as client:
        client.add_item("a", title="soap")
        assert client.replace_item("a", title="lamp").outcome == "replaced"
        client.delete_item("item-5")
        server.send_signal(signal.SIGKILL)
    with process(environment, tmp_path / "log") as (_, raw), Client(raw.url) as client:
        assert client.get_item("a").attributes == {"title": "lamp"}
        with pytest.raises(NotFound):
            client.get_item("item-5")
        assert client.recommend(["item-5"]).unknown_history == ["item-5"]


def test_sigterm_ends_it_cleanly(root: Path, tmp_path: Path) -> None:
    with process(environment_of(root, tmp_path), tmp_path / "log") as (server, client):
        client.recommend("item-1")
        server.terminate()
        assert server.wait(20) in (0, -signal.SIGTERM)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "WARNING" not in log


def test_ctrl_c_ends_it_without_a_traceback(root: Path, tmp_path: Path) -> None:
    with process(environment_of(root, tmp_path), tmp_path / "errors") as (server, _):
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 0
    assert "Traceback" not in (tmp_path / "errors").read_text(encoding="utf-8")


def test_without_keys_it_says_at_the_start_who_can_come_in(root: Path, tmp_path: Path) -> None:
    with process(environment_of(root, tmp_path), tmp_path / "log"):
        pass
    assert "every program on this machine can read, add and delete items" in (tmp_path / "log").read_text()
    with process(environment_of(root, tmp_path, KINDRED_HOST="0.0.0.0", KINDRED_OPEN="true"), tmp_path / "open"):
        pass
    warnings = [json.loads(line) for line in (tmp_path / "open").read_text().splitlines() if '"warning"' in line]
    assert [(entry["host"], "anyone who reaches the port" in entry["message"]) for entry in warnings] == [
        ("0.0.0.0", True)
    ]


def test_with_keys_it_serves_other_machines_too(root: Path, tmp_path: Path) -> None:
    key = keys.create(tmp_path / "keys.json", "test", "read")
    environment = environment_of(root, tmp_path, KINDRED_HOST="0.0.0.0", KINDRED_KEYS=str(tmp_path / "keys.json"))
    with process(environment, tmp_path / "log") as (_, client):
        assert client.get("/version").status == 401
        client.key = key
        assert client.get("/version").status == 200
        client.get("/livez")  # a request is logged once it is answered, but before the next one on its connection
    log = (tmp_path / "log").read_text()
    assert "no API keys" not in log
    assert redact(log) == log
    assert key.split("_")[1] in log


def test_open_beyond_loopback_has_to_be_said(root: Path, tmp_path: Path) -> None:
    done = run(environment_of(root, tmp_path, KINDRED_HOST="0.0.0.0"))
    assert done.returncode == 2
    assert done.stderr.startswith("KINDRED_OPEN: 0.0.0.0 can be reached from other machines")
    assert "set KINDRED_KEYS" in done.stderr
    assert "KINDRED_OPEN=true" in done.stderr


@pytest.mark.parametrize(
    ("settings", "code", "said"),
    [
        ({"KINDRED_HOST": "0.0.0.0"}, 2, "KINDRED_OPEN: 0.0.0.0 can be reached"),
        ({"KINDRED_HOST": "0.0.0.0", "KINDRED_KEYS": "/none.json"}, 2, "KINDRED_KEYS: /none.json: cannot be read"),
        ({"KINDRED_HOST": "0.0.0.0", "KINDRED_OPEN": "true"}, 0, ""),
    ],
)
def test_a_container_refuses_its_settings_before_it_trains(
    tmp_path: Path, settings: dict[str, str], code: int, said: str
) -> None:
    """The entrypoint, with a `python` that only notes what else than the check it is asked for."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text(
        f'#!/bin/sh\nif [ "$3" = --check ]; then exec {sys.executable} "$@"; fi\necho "$*" >>"{tmp_path}/asked"\n'
    )
    python.chmod(0o755)
    environment = environment_of(tmp_path / "nothing", tmp_path, **settings)
    environment["PATH"] = f"{tmp_path}/bin:{environment['PATH']}"
    done = subprocess.run(
        ["sh", "scripts/entrypoint.sh", "python", "-m", "service"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr.startswith(said)) == (code, True), done.stderr
    asked = (tmp_path / "asked").read_text().splitlines() if (tmp_path / "asked").exists() else []
    assert [line.split()[1] for line in asked] == ([] if code else ["training", "service"])


def test_keys_that_cannot_be_used_are_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text('[{"id": "a"}]')
    done = run(environment_of(root, tmp_path, KINDRED_KEYS=str(tmp_path / "keys.json")))
    assert (done.returncode, done.stderr) == (
        2,
        f"KINDRED_KEYS: {tmp_path}/keys.json: entry 0: hash: Field required\n",
    )


def run(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "service", *arguments],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_setting_that_is_refused_is_named(root: Path, tmp_path: Path) -> None:
    done = run(environment_of(root, tmp_path, KINDRED_K_MAX="many"), "--port", "99999")
    assert done.returncode == 2
    assert "KINDRED_PORT: Input should be less than or equal to 65535 (got 99999)" in done.stderr
    assert "KINDRED_K_MAX: Input should be a valid integer" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_an_error(root: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run(environment_of(root, tmp_path), "--port", str(port))
    assert (done.returncode, done.stderr) == (1, f"port {port} of 127.0.0.1 is in use: set KINDRED_PORT to another\n")
