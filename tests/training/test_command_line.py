"""The command line: each command does what its help says, and what a user can put right is said in one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from model.artifact import Artifact
from model.golden import check_golden
from tests.support.artifacts import copy_of
from tests.support.paths import REPOSITORY
from tests.support.tiny_training import checkerboard
from training.__main__ import main
from training.datasets import load_dataset, write_dataset
from training.datasets.demo import generate_demo

TINY_OPTIONS = (
    *("--epochs", "2", "--codebook-size", "8", "--id-dim", "4", "--threads", "1"),
    *(part for text in ("semantic_dim=8", "hidden=16", "text_dim=8", "max_length=8") for part in ("--set", text)),
)


class Outcome(NamedTuple):
    code: int
    out: str
    error: str


class Command:
    """Runs `python -m training …` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setenv("COLUMNS", "400")
        monkeypatch.setenv("TERMINAL_WIDTH", "400")

    def __call__(self, *arguments: str | Path) -> Outcome:
        self.monkeypatch.setattr(sys, "argv", ["training", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, error = self.capsys.readouterr()
        code = caught.value.code
        return Outcome(code if isinstance(code, int) else 0, out, re.sub(r"\x1b\[[0-9;]*m", "", error))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "board"
    write_dataset(checkerboard(n_users=60), folder)
    return folder


def test_demo_writes_a_data_set_that_can_be_read(command: Command, tmp_path: Path) -> None:
    outcome = command("demo", "--output", tmp_path / "demo")
    assert outcome.code == 0
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {"interactions.csv", "items.jsonl", "README.md"}
    assert "synthetic" in (tmp_path / "demo" / "README.md").read_text().lower()
    demo = generate_demo()
    assert load_dataset(tmp_path / "demo").fingerprint() == demo.fingerprint()
    assert f"{demo.n_users:,} users, {demo.n_items:,} items" in outcome.out
    assert command("demo", "--output", tmp_path / "demo").code == 0


@pytest.mark.parametrize("name", ["README.md", "items.jsonl", "interactions.csv"])
def test_demo_writes_over_no_file_of_others(command: Command, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    outcome = command("demo", "--output", tmp_path)
    assert outcome.code == 2
    assert f"already holds {name}; choose another folder" in " ".join(re.sub("[│╭╮╰╯─]", " ", outcome.error).split())
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [(name, "mine")]


def test_validate_counts_and_names_problems_with_file_and_line(command: Command, data: Path, tmp_path: Path) -> None:
    outcome = command("validate", "--data", data)
    assert outcome.code == 0
    assert re.search(r"^users +60$", outcome.out, re.MULTILINE)
    assert re.search(r"^problems +0$", outcome.out, re.MULTILINE)

    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "items.csv").write_text("item_id,title,price\na,Apple,1\nb,Bread,much\n")
    (bad / "interactions.csv").write_text("user_id,item_id,timestamp\nu,a,1\nu,,2\nu,a,never\n")
    outcome = command("validate", "--data", bad)
    assert outcome.code == 1
    for place in (bad / "items.csv", 3), (bad / "interactions.csv", 3), (bad / "interactions.csv", 4):
        assert f"{place[0]}:{place[1]}:" in outcome.out
    report = json.loads(command("validate", "--data", bad, "--json").out)
    assert sum(report["problem_counts"].values()) == len(report["problems"]) == 3
    assert {problem["line"] for problem in report["problems"]} == {3, 4}

    # Training on it stops at once with the same places.
    outcome = command("train", "--data", bad, "--output", tmp_path / "out")
    assert outcome.code == 2
    assert f"{bad / 'interactions.csv'}:4:" in outcome.error
    assert not (tmp_path / "out").exists()


def test_validate_lists_the_problems_of_a_file_without_one_good_row(command: Command, tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "u,a,1262304000123\n" * 9)
    outcome = command("validate", "--data", tmp_path)
    assert outcome.code == 1
    assert "the data set is empty" in outcome.out
    assert f"{tmp_path / 'interactions.csv'}:4: invalid_timestamp: " in outcome.out
    assert "add --time-unit ms" in outcome.out
    assert "and 6 more invalid_timestamp of timestamp" in outcome.out
    report = json.loads(command("validate", "--data", tmp_path, "--json").out)
    assert report["problem_counts"] == {"invalid_timestamp": 9}
    assert report["problem_groups"][0]["count"] == len(report["problems"]) == 9
    # Without a row at all there is nothing to list.
    (tmp_path / "interactions.csv").write_text("user_id,item_id\n")
    assert command("validate", "--data", tmp_path).code == 2


def test_train_opens_with_dates_warnings_and_losses(command: Command, data: Path, tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    header, *rows = (data / "interactions.csv").read_text().splitlines()
    timed = [f"{header},timestamp", *(f"{row},{1262304000 + n}" for n, row in enumerate(rows)), "u,,1"]
    (shop / "interactions.csv").write_text("\n".join(timed) + "\n")
    (shop / "items.jsonl").write_text((data / "items.jsonl").read_text().replace('"item-', '"ITEM-'))
    options = ("--on-error", "drop", *TINY_OPTIONS)
    outcome = command("train", "--data", shop, "--output", tmp_path / "out", *options)
    assert outcome.code == 0, outcome.error
    assert "interactions, 2010-01-01 to 2010-01-01; recipe" in outcome.error
    assert re.search(r"^WARNING: .*have no row in the items file.*'ITEM-\d", outcome.error, re.MULTILINE)
    assert outcome.error.count("with problems") == 1


def test_train_evaluate_and_inspect(command: Command, data: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    outcome = command("train", "--data", data, "--output", root, "--seed", "3", *TINY_OPTIONS)
    assert outcome.code == 0, outcome.error
    artifact = Artifact.load(root)
    check_golden(artifact)
    assert str(artifact.path) in outcome.out
    assert "recipe default, seed 3" in outcome.error
    assert "epoch   2" in outcome.error
    assert (artifact.manifest.seed, artifact.manifest.tokenizer.codebook_size) == (3, 8)
    assert artifact.manifest.recipe["hidden"] == [16]
    assert artifact.manifest.training["epochs"] == 2
    assert not list(root.glob(".training/*"))  # the checkpoint has done its work

    # The artifact alone gives the figures of its manifest.
    outcome = command("evaluate", "--artifact", root, "--protocol", "both", "--json", "--threads", "1")
    assert outcome.code == 0
    results = json.loads(outcome.out)
    assert results["version"] == artifact.version
    for protocol in ("full", "sampled"):
        found = results["test"][protocol]
        expected = artifact.manifest.metrics[f"test/{protocol}"]
        assert {name: found[name] for name in expected} == pytest.approx(expected)
        assert found["users"] == 60
    assert sum(values["users"] for name, values in results["test"].items() if name.startswith("full, ")) == 60

    assert artifact.path is not None
    table = command("evaluate", "--artifact", artifact.path, "--protocol", "full").out
    row = next(line for line in table.splitlines() if line.startswith("full "))
    assert f"{artifact.manifest.metrics['test/full']['hit@10']:.4f}" in row.split()
    assert not any(line.startswith("sampled") for line in table.splitlines())

    # …and so does the data set that it came from.
    again = json.loads(command("evaluate", "--artifact", root, "--data", data, "--protocol", "full", "--json").out)
    assert again["test"]["full"]["mrr"] == pytest.approx(results["test"]["full"]["mrr"])

    card = command("inspect", "--artifact", root)
    assert card.code == 0
    assert artifact.version in card.out
    assert "codewords in use, by level" in card.out
    assert "- tokenizer.safetensors:" in card.out


def test_options_reach_the_recipe(command: Command, data: Path, tmp_path: Path) -> None:
    outcome = command(
        *("train", "--data", data, "--output", tmp_path, "--recipe", "paper", "--tokens", "semantic"),
        *("--metrics", "cosine,euclidean", "--no-reconstruction", "--no-evaluation-data", *TINY_OPTIONS),
    )
    assert outcome.code == 0, outcome.error
    manifest = Artifact.load(tmp_path).manifest
    assert manifest.recipe["loss"] == "bce"
    assert manifest.recipe["reconstruction"] is False
    assert manifest.tokenizer.tokens == "semantic"
    assert manifest.tokenizer.metrics == ("cosine", "euclidean")
    outcome = command("evaluate", "--artifact", tmp_path)
    assert outcome.code == 2
    assert "carries no evaluation data; name the data set with --data" in outcome.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--recipe", "best"), "'best': known recipes are default, paper"),
        (("--tokens", "both"), "tokens: Input should be 'hybrid', 'id' or 'semantic', got 'both'"),
        (("--metrics", "cosine,manhattan"), "metrics.1: Input should be 'cosine' or 'euclidean'"),
        (("--codebook-size", "1"), "codebook_size: Input should be greater than or equal to 2"),
        (("--id-dim", "wide"), "'--id-dim': Input should be a valid integer"),
        (("--epochs", "0"), "'--epochs': Input should be greater than or equal to 1"),
        (("--seed", "-1"), "'--seed': Input should be greater than or equal to 0"),
        (("--core", "-1"), "'--core': Input should be greater than or equal to 0"),
        (("--set", "depth=3"), "'depth=3': expected field=value; fields: tokens"),
        (("--set", "dropout"), "'dropout': expected field=value"),
        (("--set", "dropout=lots"), "dropout: Input should be a valid number"),
        (("--set", "hidden=16,x"), "hidden.1: Input should be a valid integer"),
        (("--set", "heads=5"), "heads: 5 does not divide dim"),
        (("--set", "name=mine"), "'name=mine': expected field=value"),
        (("--format", "xml"), "xml"),
        (("--column", "asin"), "asin"),
        (("--time-unit", "h"), "'h': expected s or ms"),
        (("--on-error", "ignore"), "'ignore' is not one of"),
        (("--device", "banana"), "'banana': expected cpu or cuda"),
        (("--device", "meta"), "'meta': expected cpu or cuda"),
        (("--device", "cuda:99"), "'cuda:99': this machine, or this build of torch, has no such GPU"),
        (("--seed", str(2**32)), "'--seed': Input should be less than or equal to 4294967287"),
        (("--set", "learning_rate=1e30"), "no longer finite; try a lower learning rate"),
        (("--nonsense",), "No such option"),
    ],
)
def test_a_bad_option_is_said_in_a_line(
    command: Command, data: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    outcome = command("train", "--data", data, "--output", tmp_path / "out", *TINY_OPTIONS, *options)
    assert outcome.code == 2
    assert message in " ".join(re.sub("[│╭╮╰╯─]", " ", outcome.error).split())
    assert "Traceback" not in outcome.error
    assert not (tmp_path / "out" / "current").exists()


def test_an_output_that_cannot_be_made_is_refused_before_anything_is_read(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    for output, place in (("file", "file"), ("file/sub/folder", "file"), ("link", "link")):
        for name in ("train", "report"):
            outcome = command(name, "--data", tmp_path / "absent", "--output", tmp_path / output)
            assert outcome.code == 2
            said = " ".join(re.sub("[│╭╮╰╯─]", " ", outcome.error).split())
            assert f"{tmp_path / output}: {tmp_path / place} is not a folder" in said
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / ".training").write_text("x")
    outcome = command("train", "--data", tmp_path / "absent", "--output", tmp_path / "root")
    assert (outcome.code, outcome.error.count("is not a folder")) == (2, 1)
    assert (tmp_path / "file").read_text() == "x"


def test_what_is_not_there_is_named(command: Command, tmp_path: Path, tiny_root: Path) -> None:
    for arguments, message in (
        (("train", "--data", tmp_path / "absent", "--output", tmp_path), "absent"),
        (("validate", "--data", tmp_path / "absent"), "absent"),
        (("evaluate", "--artifact", tmp_path / "absent"), "no artifact here"),
        (("inspect", "--artifact", tmp_path), "no artifact here"),
        (("evaluate", "--artifact", tiny_root, "--protocol", "half"), "'half': expected full, sampled or both"),
        (("evaluate", "--artifact", tiny_root, "--data", tmp_path / "absent"), "absent"),
    ):
        outcome = command(*arguments)
        assert outcome.code == 2, arguments
        assert message in outcome.error
        assert "Traceback" not in outcome.error


def test_a_damaged_artifact_and_unusable_data_are_named(command: Command, tmp_path: Path, tiny_root: Path) -> None:
    folder = copy_of(tiny_root, tmp_path / "root")
    short = tmp_path / "short"
    short.mkdir()
    (short / "interactions.csv").write_text("user_id,item_id\n" + "u,item-1\nu,item-2\nw,item-3\nw,item-4\n")
    (short / "items.csv").write_text("item_id,title\n" + "".join(f"item-{n},Item {n}\n" for n in range(1, 5)))
    outcome = command("evaluate", "--artifact", folder, "--data", short)
    assert outcome.code == 2
    assert "no user has three interactions" in outcome.error
    outcome = command("train", "--data", short, "--output", tmp_path / "out", *TINY_OPTIONS)
    assert outcome.code == 2
    assert "no user has three interactions" in outcome.error
    (folder / "items.parquet").write_bytes(b"")
    for name in ("evaluate", "inspect"):
        outcome = command(name, "--artifact", folder)
        assert outcome.code == 2
        assert "items.parquet: has 0 bytes" in outcome.error
        assert len(outcome.error.strip().splitlines()) == 1


def test_a_text_encoder_that_is_not_installed_is_named(
    command: Command, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    outcome = command("train", "--data", data, "--output", tmp_path, *TINY_OPTIONS, "--text-encoder", "some-model")
    assert outcome.code == 2
    assert "'some-model' needs sentence-transformers" in outcome.error


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "training", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in ("demo", "validate", "train", "evaluate", "inspect"):
        assert name in done.stdout
