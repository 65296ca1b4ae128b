"""python -m training baselines: one method, trained and measured, its figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.tiny_training import checkerboard
from tests.training.test_command_line import Command
from training.baselines import baseline_ranks
from training.baselines.popularity import Popularity
from training.datasets import write_dataset
from training.evaluate.metrics import summary
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.splits import leave_one_out
from training.fit.progress import Progress


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(checkerboard(n_users=40), tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_the_figures_are_those_of_the_api(command: Command, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    done = command("baselines", "--data", data, "--method", "popularity", "--json", output)
    assert done.code == 0, done.error
    figures = json.loads(output.read_text(encoding="utf-8"))["figures"]
    dataset = checkerboard(n_users=40)
    split = leave_one_out(dataset)
    baseline = Popularity()
    baseline.fit(dataset, split, 0, Progress())
    for name, cases in (("valid", split.valid), ("test", split.test)):
        ranks = baseline_ranks(baseline, cases, evaluation_negatives(dataset, cases))
        # The file may number the items otherwise, and then other negatives are drawn: the full ranking is the same.
        assert figures[name]["full"] == pytest.approx(summary(ranks["full"]))
    assert "popularity test sampled" in done.out


@pytest.mark.parametrize("method", ["hgn", "sasrec"])
def test_epochs_are_capped(command: Command, data: Path, tmp_path: Path, method: str) -> None:
    output, checkpoint = tmp_path / "out.json", tmp_path / "run.safetensors"
    options: list[str | Path] = ["--data", data, "--method", method, "--epochs", "2", "--json", output]
    done = command("baselines", *options, "--checkpoint", checkpoint)
    assert done.code == 0, done.error
    assert checkpoint.exists()
    notes = json.loads(output.read_text(encoding="utf-8"))["notes"]
    assert (notes["epochs"], len(notes["curve"]), notes["settings"]["epochs"]) == (2, 2, 2)


def test_data_is_read_as_by_the_other_commands(command: Command, tmp_path: Path) -> None:
    """Columns that go by another name, and rows that cannot be used, dropped."""
    rows = [f"{user},{item % 30},{user * 9 + item}" for user in range(20) for item in range(user, user + 6)]
    (tmp_path / "sales.csv").write_text("who,asin,timestamp\n" + "\n".join(rows) + "\n19,1,never\n")
    options: list[str | Path] = [
        "--data",
        tmp_path / "sales.csv",
        "--column",
        "user_id=who",
        "--column",
        "item_id=asin",
    ]
    found = command("baselines", *options, "--method", "popularity", "--json", tmp_path / "out.json")
    assert found.code == 2
    assert "sales.csv:122:" in found.error
    options += ["--on-error", "drop"]
    found = command("baselines", *options, "--method", "popularity", "--json", tmp_path / "out.json")
    assert found.code == 0, found.error
    assert set(json.loads((tmp_path / "out.json").read_bytes())["figures"]["test"]) == {"full"}  # 25 items


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--method", "magic"), "known methods are popularity"),
        (("--data", "nowhere"), "nowhere"),
        (("--json", "nowhere/out.json"), "nowhere/out.json: expected a file in a folder that is there"),
        (("--seed", "4294967296"), "should be less than or equal to 4294967287"),
        (("--on-error", "drop", "--format", "xml"), "xml"),
    ],
)
def test_what_a_user_can_put_right_is_said_in_a_line(
    command: Command, data: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    # Of an option that is given twice, the last counts.
    usual = ("--data", data, "--method", "popularity", "--json", tmp_path / "out.json")
    done = command("baselines", *usual, *options)
    assert done.code == 2
    assert message in " ".join(done.error.replace("│", " ").split())
    assert "Traceback" not in done.error


def test_figures_that_could_not_be_written_are_not_computed(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    done = command("baselines", "--data", "nowhere", "--method", "popularity", "--json", tmp_path / "out.json")
    assert done.code == 2
    assert "cannot write to" in " ".join(done.error.replace("│", " ").split())


def test_users_too_short_to_measure_are_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\nu,b\n")
    done = command("baselines", "--data", tmp_path, "--method", "item-knn", "--json", tmp_path / "out.json")
    assert done.code == 2
    assert "no user has three interactions" in done.error
