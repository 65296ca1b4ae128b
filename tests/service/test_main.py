"""`python -m service COMMAND`, and the old spelling of each command."""

from __future__ import annotations

import runpy
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
def test_a_command_and_its_old_spelling_do_the_same(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def help_of(module: str, *arguments: str) -> tuple[str, str]:
        """What `python -m MODULE ARGUMENTS --help` prints on both streams, run in this process."""
        monkeypatch.setattr(sys, "argv", [f"{module}.py", *arguments, "--help"])
        monkeypatch.delitem(sys.modules, module, raising=False)  # runpy warns of a module that is loaded already
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        assert ended.value.code == 0
        return capsys.readouterr()

    now, old = help_of("service.__main__", command), help_of(f"service.{command}")
    assert now[0].startswith(f"usage: python -m service {command}")
    assert old[0] == now[0]
    assert now[1] == ""
    assert old[1] == f"python -m service.{command} is now spelled: python -m service {command}\n"


def test_the_exit_code_is_that_of_the_command() -> None:
    assert run("service", "keys", "list", "--file", "/nonexistent/keys.json").returncode == 2
    assert run("service.keys", "list", "--file", "/nonexistent/keys.json").returncode == 2


def test_help_names_the_commands() -> None:
    assert "keys | artifacts | migrate | backup" in " ".join(run("service", "--help").stdout.split())
