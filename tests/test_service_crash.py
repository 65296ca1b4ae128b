"""The service as a process: SIGKILL right after a 201 loses nothing; start-up messages and exit codes."""

from __future__ import annotations

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

from tests.service_support import Client, make_artifact

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    make_artifact(folder)
    return folder


def environment_of(root: Path, folder: Path, **more: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("KINDRED_")}
    settings = {
        "KINDRED_ARTIFACTS": str(root),
        "KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db",
        "KINDRED_PORT": "0",
    }
    return own | settings | more


@contextmanager
def process(environment: Mapping[str, str], errors: Path) -> Iterator[tuple[subprocess.Popen[str], Client]]:
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
        client = Client(urlsplit(urls[0]).port or 0)
        try:
            yield server, client.until_ready()
        finally:
            client.close()
    finally:
        server.kill()
        server.wait()
        if server.stdout:
            server.stdout.close()


@pytest.mark.slow
def test_what_was_acknowledged_survives_a_kill(root: Path, tmp_path: Path) -> None:
    environment = environment_of(root, tmp_path)
    registered: list[str] = []
    for attempt in range(4):
        with process(environment, tmp_path / "log") as (server, client):
            # All that was acknowledged before is there, and is an item like any other.
            recommended = [item["item_id"] for item in client.recommend("item-1", k=500)["items"]]
            for item_id in registered:
                assert client.get(f"/items/{item_id}").status == 200
                assert item_id in recommended
                assert client.recommend(item_id, k=1)["strategy"] == "model"
            if registered:
                with_new = client.recommend("item-3", registered[-1])["items"]
                assert with_new != client.recommend("item-3")["items"]
                similar = client.get("/items/item-8/similar?k=100").json()["items"]
                assert registered[-1] in [item["item_id"] for item in similar]
            title = client.get("/items/item-8").json()["attributes"]["title"]
            reply = client.post("/items", {"item_id": f"new-{attempt}", "title": title})
            server.send_signal(signal.SIGKILL)
            assert reply.status == 201
            registered.append(f"new-{attempt}")
            assert server.wait(10) == -signal.SIGKILL


@pytest.mark.slow
def test_replacing_and_deleting_survive_a_kill(root: Path, tmp_path: Path) -> None:
    environment = environment_of(root, tmp_path)
    with process(environment, tmp_path / "log") as (server, client):
        client.post("/items", {"item_id": "a", "title": "soap"})
        assert client.put("/items/a", {"title": "lamp"}).status == 200
        assert client.delete("/items/item-5").status == 204
        server.send_signal(signal.SIGKILL)
    with process(environment, tmp_path / "log") as (_, client):
        assert client.get("/items/a").json()["attributes"] == {"title": "lamp"}
        assert client.get("/items/item-5").status == 404
        assert client.recommend("item-5")["unknown_history"] == ["item-5"]


@pytest.mark.slow
def test_sigterm_ends_it_cleanly(root: Path, tmp_path: Path) -> None:
    with process(environment_of(root, tmp_path), tmp_path / "log") as (server, client):
        client.recommend("item-1")
        server.terminate()
        assert server.wait(20) in (0, -signal.SIGTERM)
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert "WARNING" not in log


@pytest.mark.slow
def test_an_address_beyond_loopback_is_warned_of(root: Path, tmp_path: Path) -> None:
    with process(environment_of(root, tmp_path, KINDRED_HOST="0.0.0.0"), tmp_path / "log"):
        pass
    assert "WARNING: 0.0.0.0 can be reached from other machines and there is no authentication" in (
        (tmp_path / "log").read_text()
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


@pytest.mark.slow
def test_a_port_in_use_is_an_error(root: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = run(environment_of(root, tmp_path), "--port", str(taken.getsockname()[1]))
    assert done.returncode != 0
    assert "address already in use" in done.stderr
