"""Where the service listens: taken first of all, or said in one line; and whom `make serve` welcomes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.server.sockets import CannotListen, listen
from tests.support.paths import REPOSITORY
from tests.support.service import make_settings, serving

SERVE = [sys.executable, "-m", "service"]
WELCOMED = [sys.executable, "scripts/welcome.py", *SERVE]


def environment(root: Path, folder: Path, port: int) -> dict[str, str]:
    return os.environ | {
        "KINDRED_ARTIFACTS": str(root),
        "KINDRED_DATABASE_URL": f"sqlite:///{folder}/registry.db",
        "KINDRED_HOST": "127.0.0.1",
        "KINDRED_PORT": str(port),
        "KINDRED_KEYS": "",
        "KINDRED_DRAIN": "0",
    }


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield other.getsockname()[1]


def test_a_port_in_use_is_said_before_anything_is_touched(root: Path, tmp_path: Path, taken: int) -> None:
    done = subprocess.run(
        SERVE, cwd=REPOSITORY, env=environment(root, tmp_path, taken), capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"port {taken} of 127.0.0.1 is in use: set KINDRED_PORT to another\n"
    assert not list(tmp_path.iterdir())


def test_another_service_on_the_port_is_not_welcomed(root: Path, tmp_path: Path) -> None:
    with serving(make_settings(root, tmp_path)) as client:
        done = subprocess.run(
            WELCOMED,
            cwd=REPOSITORY,
            env=environment(root, tmp_path, client.port),
            capture_output=True,  # ends once the welcoming child has closed it too
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert "is in use" in done.stderr


def test_its_own_service_is_welcomed_wherever_it_listens(root: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        service = subprocess.Popen(
            WELCOMED,
            cwd=REPOSITORY,
            env=environment(root, tmp_path, 0) | {"http_proxy": "http://127.0.0.1:9", "no_proxy": ""},  # not asked
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert service.stdout is not None
    said = ""
    try:
        for line in service.stdout:
            said += line
            if "Ctrl-C" in line:
                break
    finally:
        service.terminate()
        rest = service.stdout.read()
        assert service.wait(60) in (0, -15)
        service.stdout.close()
    assert rest.strip() == ""
    (address,) = re.findall(r"Kindred listens on (http://127\.0\.0\.1:\d+);", said)
    assert f"Ready. Try in a browser: {address}/" in said
    assert '"history": ["item-0", "item-1"]' in said


def test_one_socket_an_address(taken: int) -> None:
    for host in ("127.0.0.1", "localhost"):
        sockets = listen(host, 0)
        assert sockets
        for each in sockets:
            with socket.create_connection(each.getsockname()[:2], timeout=5):
                pass
            each.close()
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        with pytest.raises(CannotListen, match=rf"^port {taken} of {host} is in use: set KINDRED_PORT to another$"):
            listen(host, taken)


def test_two_do_not_share_a_port_though_neither_has_taken_anybody_in() -> None:
    (first,) = listen("127.0.0.1", 0)
    with first, pytest.raises(CannotListen, match="is in use"):
        listen("127.0.0.1", first.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "no host"])
def test_an_address_of_another_machine_is_refused(host: str) -> None:
    with pytest.raises(CannotListen, match=r"is no address of this machine .*: set KINDRED_HOST"):
        listen(host, 0)
