"""Catalogues too small for what is chosen by default: what cannot be measured gives way, and says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from model.artifact import Artifact
from tests.support.reports import make_plan
from tests.support.tiny_training import checkerboard
from tests.training.test_command_line import TINY_OPTIONS, Command
from training.baselines import BASELINES
from training.baselines.base import cap_epochs
from training.baselines.neural import Neural
from training.config import DEFAULT, DEMO, PAPER
from training.datasets import Dataset, write_dataset
from training.evaluate.negatives import NOT_SAMPLED
from training.evaluate.splits import leave_one_out
from training.fit.progress import Progress
from training.report.make import make_report
from training.report.parts import PARTS


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def small() -> Dataset:
    """40 items: nobody leaves 99 untouched."""
    return checkerboard(n_items=40, n_users=40)


def test_paper_is_validated_by_full_ranking(command: Command, tmp_path: Path) -> None:
    data, root = tmp_path / "data", tmp_path / "artifacts"
    write_dataset(small(), data)
    done = command("train", "--data", data, "--output", root, "--recipe", "paper", *TINY_OPTIONS)
    assert done.code == 0, done.error
    assert NOT_SAMPLED in done.error
    assert "full_ndcg@10 0." in done.error
    manifest = Artifact.load(root).manifest
    assert manifest.recipe["monitor"] == "full_ndcg@10"
    assert set(manifest.metrics) == {"valid/full", "test/full"}

    sampled = command("evaluate", "--artifact", root, "--protocol", "sampled")
    assert sampled.code == 2
    assert "use full ranking instead (--protocol full)" in sampled.error
    assert command("evaluate", "--artifact", root).code == 0


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_choose_by_full_ranking(name: str) -> None:
    dataset = small()
    said: list[str] = []
    baseline = BASELINES[name]()
    cap_epochs(baseline, 1)
    notes = baseline.fit(dataset, leave_one_out(dataset), 0, Progress(message=said.append))
    chosen = isinstance(baseline, Neural) or name in ("item-knn", "text-nn", "sasrec", "sasrec-softmax")
    assert notes.get("monitor") == ("full_ndcg@10" if chosen else None)
    assert (NOT_SAMPLED in said) == (chosen and name != "sasrec-softmax")  # that one goes by full ranking anyway


def test_a_report_leaves_the_sampled_columns_out(tmp_path: Path) -> None:
    plan = replace(make_plan(tmp_path, small()), seeds=(0,))
    make_report(plan, tmp_path, list(PARTS))
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert [section["name"] for section in report["sections"]] == list(PARTS)
    overall = report["sections"][0]
    assert any("sampled protocol is left out" in note for note in overall["notes"])
    for run in report["runs"].values():
        assert "sampled" not in run["figures"]["test"]
    assert {run["settings"].get("monitor") for run in report["runs"].values()} == {"full_ndcg@10", None}
    # Kept runs are found again under their keys.
    said: list[str] = []
    again = replace(make_plan(tmp_path, small(), said), seeds=(0,))
    make_report(again, tmp_path, ["overall"])
    assert not any("training (" in line for line in said)


def test_codebooks_are_bounded_by_the_catalogue() -> None:
    sizes = {DEFAULT.bounded(items).codebook_size: items for items in (30, 63, 64, 282, 4095, 4096, 10**6)}
    assert sizes == {8: 63, 16: 64, 64: 282, 512: 4095, 1024: 10**6}
    # What the published figures were made with stays as it is: Beauty, sports, toys, and the demo.
    for recipe, items in ((DEFAULT, 11_924), (DEFAULT, 12_101), (PAPER, 11_924), (DEMO, 3_000)):
        assert recipe.bounded(items) is recipe
    id_only = DEFAULT.override({"tokens": "id"})
    assert id_only.bounded(50) is id_only


def test_train_says_how_many_codewords_it_takes(command: Command, tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_dataset(checkerboard(n_items=160, n_users=40), data)
    options = ("train", "--data", data, "--epochs", "1", "--threads", "1", "--set", "hidden=16", "--set", "text_dim=8")
    done = command(*options, "--output", tmp_path / "bounded")
    assert done.code == 0, done.error
    assert "160 items: 32 codewords per level instead of the recipe's 1,024" in done.error
    manifest = Artifact.load(tmp_path / "bounded").manifest
    assert (manifest.recipe["codebook_size"], manifest.tokenizer.codebook_size) == (32, 32)
    for number, given in enumerate((("--codebook-size", "64"), ("--set", "codebook_size=64"))):
        done = command(*options, "--output", tmp_path / str(number), *given)
        assert done.code == 0, done.error
        assert "codewords per level" not in done.error
        assert Artifact.load(tmp_path / str(number)).manifest.tokenizer.codebook_size == 64
