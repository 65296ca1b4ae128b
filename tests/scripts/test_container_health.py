"""The container's health checks ask the service itself, whatever proxy the container's environment names."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import REPOSITORY
from tests.support.service import make_artifact, make_settings, serving

CHECKS = [
    (name, json.loads(found))
    for name, pattern in (
        ("Dockerfile", r"(?s)^HEALTHCHECK[^\[]*(\[.*?\])$"),
        ("docker-compose.yml", r"^ *test: (\[.*/readyz.*\])$"),
    )
    for found in re.findall(pattern, (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE)
]


def test_every_check_of_the_service_is_found() -> None:
    assert [name for name, _ in CHECKS] == ["Dockerfile", "docker-compose.yml", "docker-compose.yml"]


@pytest.mark.parametrize("check", [check for _, check in CHECKS])
def test_a_check_asks_no_proxy(tmp_path: Path, check: list[str]) -> None:
    proxy = dict.fromkeys(("http_proxy", "HTTP_PROXY", "all_proxy"), "http://127.0.0.1:9")
    kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    with serving(make_settings(tmp_path / "a", tmp_path, watch=0.02), ready=False) as client:
        kind, *command = [re.sub(r":80[08]0/", f":{client.port}/", part) for part in check]
        if kind == "CMD-SHELL":
            command = ["sh", "-c", *command]
            if shutil.which("curl") is None:
                pytest.skip("there is no curl")
        elif kind == "CMD":
            assert command[0] == "python"
            command[0] = sys.executable
        else:
            command = [sys.executable, *command]
        environment = {**kept, **proxy, "KINDRED_PORT": str(client.port)}

        def status() -> int:
            return subprocess.run(command, env=environment, capture_output=True, check=False, timeout=60).returncode

        assert status() != 0  # there is no artifact yet
        make_artifact(tmp_path / "a")
        client.until_ready()
        assert status() == 0
