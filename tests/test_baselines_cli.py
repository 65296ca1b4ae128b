"""python -m training.baselines: one method, trained and measured, its figures as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tests.conftest import checkerboard
from training.baselines import baseline_ranks, evaluation_negatives
from training.baselines.__main__ import run
from training.baselines.popularity import Popularity
from training.datasets import write_dataset
from training.datasets.splits import leave_one_out
from training.metrics import summary
from training.trainer import Progress


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write_dataset(checkerboard(n_users=40), tmp_path / "data")
    return tmp_path / "data"


def invoke(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(run)
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.output


def test_the_figures_are_those_of_the_api(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.json"
    code, text = invoke("--data", str(data), "--method", "popularity", "--json", str(output))
    assert code == 0, text
    figures = json.loads(output.read_text(encoding="utf-8"))["figures"]
    dataset = checkerboard(n_users=40)
    split = leave_one_out(dataset)
    baseline = Popularity()
    baseline.fit(dataset, split, 0, Progress())
    for name, cases in (("valid", split.valid), ("test", split.test)):
        ranks = baseline_ranks(baseline, cases, evaluation_negatives(dataset, cases))
        # The file may number the items otherwise, and then other negatives are drawn: the full ranking is the same.
        assert figures[name]["full"] == pytest.approx(summary(ranks["full"]))
    assert "popularity test sampled" in text


@pytest.mark.parametrize("method", ["hgn", "sasrec"])
def test_epochs_are_capped(data: Path, tmp_path: Path, method: str) -> None:
    output, checkpoint = tmp_path / "out.json", tmp_path / "run.safetensors"
    options = ["--data", str(data), "--method", method, "--epochs", "2", "--json", str(output)]
    code, text = invoke(*options, "--checkpoint", str(checkpoint))
    assert code == 0, text
    assert checkpoint.exists()
    notes = json.loads(output.read_text(encoding="utf-8"))["notes"]
    assert (notes["epochs"], len(notes["curve"]), notes["settings"]["epochs"]) == (2, 2, 2)


def test_an_unknown_method_is_refused(data: Path, tmp_path: Path) -> None:
    code, text = invoke("--data", str(data), "--method", "magic", "--json", str(tmp_path / "out.json"))
    assert code == 2
    assert "known methods are popularity" in " ".join(text.replace("│", " ").split())
