"""The command `report`: what it makes, that it goes on where it was, and what it refuses in one line."""

from __future__ import annotations

import builtins
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.reports import Counting, Words, small_data
from tests.training.test_command_line import Command
from training.datasets import write_dataset

SMALL_OPTIONS = (
    *("--threads", "1", "--epochs", "1", "--seeds", "3"),
    *(
        part
        for text in ("semantic_dim=8", "hidden=16", "text_dim=8", "max_length=8", "codebook_size=8", "id_dim=4")
        for part in ("--set", text)
    ),
)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "board"
    write_dataset(small_data(), folder)
    return folder


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"popularity": Counting, "text-nn": lambda: Words("text-nn")}
    monkeypatch.setattr("training.report.command.BASELINES", made)


def test_a_part_alone_and_then_another(command: Command, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    done = command("report", "--data", data, "--output", output, "--part", "distances", *SMALL_OPTIONS)
    assert done.code == 0, done.error
    assert done.out == f"{output / 'index.html'}  (1 parts, 3 runs)\n"
    assert done.error.count("training (") == 3
    again = command("report", "--data", data, "--output", output, "--part", "distances", *SMALL_OPTIONS)
    assert "training (" not in again.error
    both = command("report", "--data", data, "--output", output, "--part", "overall", *SMALL_OPTIONS)
    assert both.code == 0, both.error
    report = json.loads((output / "report.json").read_bytes())
    assert [section["name"] for section in report["sections"]] == ["overall", "distances"]
    run = next(iter(report["runs"].values()))
    assert [run["seed"], run["epochs"], run["data"]] == [3, 1, "board"]
    assert run["command"].startswith("python -m training report --data ")
    page = (output / "index.html").read_text(encoding="utf-8")
    assert "ours, default" in page
    assert "60 users, 120 items" in page


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--seeds", "0,x"), "'0,x': expected numbers with commas"),
        (("--seeds", "1,1"), "'1,1': expected distinct seeds"),
        (("--seeds=-1",), "'-1': expected distinct seeds"),
        (("--seeds", "4294967296"), "'4294967296': expected seeds of at most 4294967287"),
        (("--part", "tables"), "'tables' is not one of"),
        (("--method", "bert"), "'bert': known are popularity, text-nn"),
        (("--set", "width=3"), "'width=3': expected field=value"),
        (("--set", "heads=7"), "heads: "),
        (("--epochs", "0"), "Invalid value for '--epochs'"),
        (("--device", "tpu"), "'tpu': expected cpu or cuda"),
    ],
)
def test_bad_options_are_refused_in_a_line_before_data_is_read(
    command: Command, tmp_path: Path, options: tuple[str, ...], expected: str
) -> None:
    done = command("report", "--data", tmp_path / "nowhere", "--output", tmp_path / "out", *options)
    assert done.code == 2
    assert expected in " ".join(done.error.replace("│", " ").split())
    assert "Traceback" not in done.error
    assert not (tmp_path / "out").exists()


def test_data_that_cannot_be_measured_is_refused(command: Command, tmp_path: Path) -> None:
    missing = command("report", "--data", tmp_path / "nowhere", "--output", tmp_path / "out")
    assert missing.code == 2
    assert "nowhere" in missing.error
    folder = tmp_path / "short"
    dataset = small_data()
    dataset.sequences[:] = [row[:2] for row in dataset.sequences]
    write_dataset(dataset, folder)
    short = command("report", "--data", folder, "--output", tmp_path / "out")
    assert short.code == 2
    assert "no user has three interactions" in short.error


def test_a_report_of_other_data_is_not_written_over(command: Command, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "report"
    command("report", "--data", data, "--output", output, "--part", "distances", *SMALL_OPTIONS)
    before = (output / "report.json").read_bytes()
    other = tmp_path / "other"
    write_dataset(small_data(n_users=50), other)
    done = command("report", "--data", other, "--output", output, "--part", "distances", *SMALL_OPTIONS)
    assert done.code == 2
    assert "is a report of other data (board); choose another --output" in done.error
    assert (output / "report.json").read_bytes() == before


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_without_the_extra_it_says_what_to_install(
    command: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    original = builtins.__import__

    def without(name: str, *arguments: Any, **options: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=package)
        return original(name, *arguments, **options)

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    done = command("report", "--data", data, "--output", tmp_path / "out")
    assert done.code == 2
    assert done.error == f"error: report: {package} is missing; install the extra: pip install -e '.[train,report]'\n"
