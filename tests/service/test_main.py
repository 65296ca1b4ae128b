"""`python -m service COMMAND`, and the old spelling of each command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from service.__main__ import COMMANDS
from tests.support.paths import REPOSITORY


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_and_its_old_spelling_do_the_same(command: str) -> None:
    now, old = run("service", command, "--help"), run(f"service.{command}", "--help")
    assert now.returncode == old.returncode == 0
    assert now.stdout.startswith(f"usage: python -m service {command}")
    assert old.stdout == now.stdout
    assert now.stderr == ""
    assert old.stderr == f"python -m service.{command} is now spelled: python -m service {command}\n"


def test_the_exit_code_is_that_of_the_command() -> None:
    assert run("service", "keys", "list", "--file", "/nonexistent/keys.json").returncode == 2
    assert run("service.keys", "list", "--file", "/nonexistent/keys.json").returncode == 2


def test_help_names_the_commands() -> None:
    assert "keys | artifacts | migrate | backup" in " ".join(run("service", "--help").stdout.split())
