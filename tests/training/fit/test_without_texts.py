"""A data set of interactions alone: ID tokens are trained, exported and served; other tokens are refused in a line."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.artifact import Artifact
from model.items import Item
from service.engine.engine import Engine
from tests.support.service import add, ask, ids, make_settings
from tests.support.tiny_training import checkerboard
from tests.training.test_command_line import TINY_OPTIONS, Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Interactions alone: no file says what the items are."""
    dataset = checkerboard(n_users=60)
    rows = [
        f"{user},{dataset.items[item].item_id}"
        for user, row in zip(dataset.user_ids, dataset.sequences, strict=True)
        for item in row.tolist()
    ]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "interactions.csv").write_text("user_id,item_id\n" + "\n".join(rows), encoding="utf-8")
    return tmp_path / "data"


def test_id_tokens_are_trained_and_served(command: Command, data: Path, tmp_path: Path) -> None:
    root = tmp_path / "artifacts"
    done = command("train", "--data", data, "--output", root, "--tokens", "id", *TINY_OPTIONS)
    assert done.code == 0, done.error
    artifact = Artifact.load(root)
    assert (artifact.text_encoder.kind, artifact.manifest.tokenizer.tokens) == ("none", "id")
    assert command("evaluate", "--artifact", root, "--protocol", "full").code == 0
    engine = Engine.start(make_settings(root, tmp_path))
    try:
        assert len(ids(ask(engine, "item-1", "item-5", k=10))) == 10
        written = add(engine, Item("soap", title="red soap", brand="Alba", price=3.0))
        assert (written.outcome, written.quantization_error_percentile, written.unusual) == ("created", 0, False)
        assert engine.get("soap").semantic_id == []
        assert "soap" in ids(ask(engine, "item-1", k=500))
        assert len(ids(ask(engine, "soap", k=5))) == 5
        assert len(engine.similar("soap", 3).items) == 3
    finally:
        engine.close()


@pytest.mark.parametrize("tokens", ["hybrid", "semantic"])
def test_tokens_that_read_texts_need_one(command: Command, data: Path, tmp_path: Path, tokens: str) -> None:
    done = command("train", "--data", data, "--output", tmp_path / "out", "--tokens", tokens, *TINY_OPTIONS)
    assert done.code == 2
    expected = "error: no item has a text: give an items file, or train ID tokens alone with --tokens id\n"
    assert done.error.endswith(expected)
