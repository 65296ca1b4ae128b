"""The training loop: it learns a known pattern, repeats itself by seed, stops early, and survives being killed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from model.items import Item
from model.packing import Run
from tests.support.tiny_training import TINY, checkerboard
from training.config import Recipe
from training.datasets import Dataset
from training.datasets.base import DatasetReport
from training.evaluate.splits import leave_one_out, training_popularity
from training.fit.checkpoint import CheckpointError, load_checkpoint, locked
from training.fit.progress import EpochReport, Progress
from training.fit.trainer import Trainer

# Dropout and cold masking stay on: a resumed run must draw the same random numbers.
SMALL = TINY.override({"epochs": 4, "hidden": (16,), "text_dim": 8, "dropout": 0.3, "cold_probability": 0.2})


def small(seed: int = 0) -> Dataset:
    return checkerboard(n_items=40, n_users=60, seed=seed)


def make(dataset: Dataset | None = None, recipe: Recipe = SMALL, seed: int = 0) -> Trainer:
    return Trainer(dataset or small(), recipe, seed=seed, device=torch.device("cpu"))


def weights(trainer: Trainer) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}


def differing(first: dict[str, Tensor], second: dict[str, Tensor]) -> list[str]:
    assert first.keys() == second.keys()
    return [name for name in first if not torch.equal(first[name], second[name])]


def on_epoch(call: Callable[[EpochReport], Any]) -> Progress:
    return Progress(epoch=lambda report: call(report))


class Killed(Exception):
    pass


def kill_after(epoch: int) -> Progress:
    def epoch_done(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Killed

    return on_epoch(epoch_done)


@pytest.mark.parametrize("changes", [{}, {"loss": "bce", "negatives": 1}, {"loss": "sampled_softmax", "negatives": 16}])
def test_equal_seeds_give_equal_weights_and_others_do_not(changes: dict[str, Any]) -> None:
    recipe = SMALL.override({"epochs": 2} | changes)
    runs = []
    for seed in (0, 0, 1):
        trainer = make(recipe=recipe, seed=seed)
        torch.rand(7)  # what others draw must make no difference
        trainer.fit()
        runs.append(weights(trainer))
    assert differing(runs[0], runs[1]) == []
    assert "tokenizer.encoder.0.weight" in differing(runs[0], runs[2])


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "bce"])
def test_mixed_precision_computes_nearly_the_same_and_leaves_the_tokenizer_exact(loss: str) -> None:
    """What a GPU does, in bfloat16 on the CPU."""
    recipe = SMALL.override({"loss": loss, "negatives": 4, "dropout": 0.0, "cold_probability": 0.0})
    exact, mixed = make(recipe=recipe), make(recipe=recipe)
    mixed.mixed_precision = True
    batch = next(exact.batches.epoch(np.random.default_rng(0)))
    found = []
    for trainer in (exact, mixed):
        trainer._initialise_tokenizer(Progress())
        trainer.model.train()
        torch.manual_seed(1)
        found.append(trainer._step(batch))
    assert found[1].recommendation.item() == pytest.approx(found[0].recommendation.item(), rel=0.02)
    assert found[1].recommendation.item() != found[0].recommendation.item()  # it did round
    assert found[1].commitment.item() == found[0].commitment.item()
    assert torch.equal(mixed.model.codes, exact.model.codes)
    assert {parameter.dtype for parameter in mixed.model.parameters()} == {torch.float32}
    mixed.fit()
    assert all(np.isfinite(entry["total"]) for entry in mixed.history)


@pytest.mark.parametrize(
    "changes",
    [{}, {"decay": True}, {"loss": "bce", "negatives": 1, "tokens": "id"}, {"joint": False, "warmup_epochs": 1}],
)
def test_a_run_killed_after_the_second_epoch_ends_as_one_that_was_not(changes: dict[str, Any], tmp_path: Path) -> None:
    recipe = SMALL.override(changes)
    whole = make(recipe=recipe)
    whole.fit()
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        make(recipe=recipe).fit(path, kill_after(1))
    assert load_checkpoint(path)[1]["loop"]["epoch"] == 1
    resumed = make(recipe=recipe)
    epochs: list[int] = []
    resumed.fit(path, on_epoch(lambda report: epochs.append(report.epoch)))
    assert epochs == [2, 3]
    assert differing(weights(whole), weights(resumed)) == []

    def curve(trainer: Trainer) -> list[Any]:
        return [{key: value for key, value in entry.items() if key != "seconds"} for entry in trainer.history]

    assert curve(resumed) == curve(whole)
    # A run that had ended already is not trained any further.
    again = make(recipe=recipe)
    again.fit(path, on_epoch(lambda report: epochs.append(report.epoch)))
    assert epochs == [2, 3]
    assert differing(weights(whole), weights(again)) == []


@pytest.mark.parametrize(
    ("dataset", "changes", "seed"), [(1, {}, 0), (0, {"epochs": 5}, 0), (0, {"loss": "bce"}, 0), (0, {}, 1)]
)
def test_a_checkpoint_of_another_run_is_refused(
    dataset: int, changes: dict[str, Any], seed: int, tmp_path: Path
) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        make().fit(path, kill_after(0))
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match=f"{path}: belongs to a run with other data, recipe or seed"):
        make(small(dataset), SMALL.override(changes), seed).fit(path)
    assert path.read_bytes() == before


def test_a_checkpoint_that_another_process_trains_into_is_refused(tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(CheckpointError, match="another process is training"):
        make().fit(tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    path.write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="delete it to train from the start"):
        make().fit(path)


def follow(
    monkeypatch: pytest.MonkeyPatch, values: list[float], patience: int, decay: bool = False
) -> tuple[Trainer, list[EpochReport]]:
    """Train with a monitored metric of the given values; returns the trainer and what it reported."""
    changes = {"epochs": len(values), "patience": patience, "decay": decay, "learning_rate": 0.01}
    trainer = make(recipe=SMALL.override(changes))
    script = iter(values)
    monkeypatch.setattr(trainer, "validate", lambda: next(script))
    reports: list[EpochReport] = []
    trainer.fit(progress=on_epoch(reports.append))
    return trainer, reports


def test_training_ends_after_patience_epochs_without_a_better_one(monkeypatch: pytest.MonkeyPatch) -> None:
    _, reports = follow(monkeypatch, [0.1, 0.3, 0.3, 0.2, 0.9, 0.9], patience=2)
    assert [report.best for report in reports] == [True, True, False, False]
    _, reports = follow(monkeypatch, [0.1, 0.3, 0.2, 0.4, 0.3, 0.2, 0.9], patience=2)
    assert [report.epoch for report in reports if report.best] == [0, 1, 3]
    assert len(reports) == 6


def test_a_falling_learning_rate_is_not_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    _, reports = follow(monkeypatch, [0.1, 0.3, 0.2, 0.2, 0.2, 0.4], patience=2, decay=True)
    assert [report.best for report in reports] == [True, True, False, False, False, True]


def test_scores_that_are_not_finite_end_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FloatingPointError, match="epoch 0: scores are no longer finite"):
        follow(monkeypatch, [float("nan")], patience=2)


def test_the_best_weights_are_kept_and_not_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    best, _ = follow(monkeypatch, [0.1, 0.3, 0.2, 0.2], patience=9)
    until_then, _ = follow(monkeypatch, [0.1, 0.3, 0.4, 0.5], patience=9)
    assert differing(weights(best), weights(until_then))
    recipe = SMALL.override({"epochs": 4, "patience": 9, "decay": False, "learning_rate": 0.01})
    second: dict[str, Tensor] = {}
    trainer = make(recipe=recipe)
    trainer.fit(progress=on_epoch(lambda report: second.update(weights(trainer)) if report.epoch == 1 else None))
    assert differing(weights(best), second) == []


def recommended(trainer: Trainer, k: int = 10) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Top items [users, k] after the test histories, these masked, and each user's colour."""
    catalogue = trainer.model.catalogue()
    test = trainer.split.test
    top = []
    for history in test.histories:
        kept = torch.from_numpy(history[-8:].astype(np.int64))
        with torch.no_grad():
            scores = catalogue @ trainer.model.recommender(catalogue[kept], (Run(1, len(kept)),))[-1]
        scores[torch.from_numpy(history.astype(np.int64))] = float("-inf")
        top.append(scores.topk(k).indices.numpy())
    return np.stack(top), test.targets % 4


@pytest.mark.parametrize(
    ("changes", "share", "hits"),
    # Chance: a quarter of the items has the user's colour, and 10 of 120 items hold the target 8 times in a hundred.
    [
        ({}, 0.9, 0.4),
        ({"loss": "sampled_softmax", "negatives": 64}, 0.9, 0.4),
        ({"loss": "bce", "negatives": 1, "epochs": 12}, 0.8, 0.3),
        ({"tokens": "semantic"}, 0.9, 0.25),
        ({"tokens": "id", "epochs": 20, "id_dim": 16}, 0.7, 0.3),
    ],
)
def test_it_learns_the_checkerboard(changes: dict[str, Any], share: float, hits: float) -> None:
    # By embeddings alone: neighbours would find most of it without any training.
    trainer = make(checkerboard(), TINY.override(changes | {"together_weight": 0, "alike_weight": 0}))
    trainer.fit()
    top, colours = recommended(trainer)
    found = float((top % 4 == colours[:, None]).mean())
    hit = float((top == trainer.split.test.targets[:, None]).any(1).mean())
    print(f"{changes}: share of the user's colour {found:.3f}, HIT@10 {hit:.3f}")
    assert found > share
    assert hit > hits


def test_untrained_items_keep_their_id_embedding() -> None:
    dataset = small()
    extra = [Item(f"extra-{n}", title=f"red extra {n}") for n in range(3)]
    more = Dataset("more", dataset.user_ids, [*dataset.items, *extra], dataset.sequences, None, dataset.report)
    trainer = make(more)
    before = trainer.model.tokenizer.id_embeddings.weight.detach().clone()
    trainer.fit()
    after = trainer.model.tokenizer.id_embeddings.weight.detach()
    assert trainer.popularity[-3:].tolist() == [0, 0, 0]
    assert torch.equal(after[-3:], before[-3:])
    assert not torch.equal(after[:-3], before[:-3])


def test_the_test_and_validation_items_are_not_trained_on() -> None:
    dataset = small()
    split = leave_one_out(dataset)
    expected = np.bincount(np.concatenate([row[:-2] for row in dataset.sequences]), minlength=40)
    assert np.array_equal(training_popularity(split, 40), expected)
    trainer = make(dataset)
    trained: list[tuple[int, int]] = []
    for batch in trainer.batches.epoch(np.random.default_rng(0)):
        trained += zip(batch.inputs.tolist(), batch.targets.tolist(), strict=True)
    expected_pairs = [
        pair for row in dataset.sequences for pair in zip(row[:-3].tolist(), row[1:-2].tolist(), strict=True)
    ]
    assert sorted(trained) == sorted(expected_pairs)


def test_the_default_warm_up_improves_the_reconstruction() -> None:
    messages: list[str] = []
    trainer = make(recipe=SMALL.override({"warmup_epochs": 5, "epochs": 1}))
    trainer.fit(progress=Progress(message=messages.append))
    losses = [float(text.rsplit(" ", 1)[1]) for text in messages if text.startswith("tokenizer warm-up")]
    assert len(losses) == 5
    assert losses[-1] < losses[0]


def test_a_frozen_tokenizer_keeps_encoder_and_codes() -> None:
    trainer = make(recipe=SMALL.override({"joint": False, "warmup_epochs": 2}))
    states: list[dict[str, Tensor]] = []
    trainer.fit(progress=on_epoch(lambda report: states.append(weights(trainer))))
    changed = differing(states[0], states[-1])
    assert "recommender.positions.weight" in changed
    assert not [name for name in changed if "encoder" in name or "quantizer" in name or name == "codes"]


def test_an_epoch_s_report_and_a_loss_that_is_no_number() -> None:
    reports: list[EpochReport] = []
    steps: list[tuple[int, int]] = []
    progress = Progress(step=lambda done, total, loss: steps.append((done, total)), epoch=reports.append)
    make(recipe=SMALL.override({"epochs": 1})).fit(progress=progress)
    assert steps == [(1, 2), (2, 2)]
    parts = reports[0].losses
    assert set(parts) == {"total", "recommendation", "commitment", "codebook", "reconstruction"}
    assert parts["total"] == pytest.approx(sum(parts.values()) - parts["total"], rel=1e-4)
    with pytest.raises(FloatingPointError, match="no longer finite; try a lower learning rate"):
        make(recipe=SMALL.override({"learning_rate": 1e30})).fit()


def test_a_data_set_with_nothing_to_hold_out_is_refused() -> None:
    dataset = small()
    short = [row[:2] for row in dataset.sequences]
    with pytest.raises(ValueError, match="no user has three interactions"):
        make(Dataset("short", dataset.user_ids, dataset.items, short, None, DatasetReport("test", "test", [])))


def test_a_data_set_with_one_trained_item_is_refused_by_bce() -> None:
    items = [Item("a", title="one red"), Item("b", title="two blue"), Item("c", title="three red")]
    rows = [np.array([0, 0, 1, 2], dtype=np.int32)] * 4
    dataset = Dataset("one", list("wxyz"), items, rows, None, DatasetReport("test", "test", []))
    with pytest.raises(ValueError, match="data: training has one item only"):
        make(dataset, SMALL.override({"loss": "bce"}))
