"""The neural baselines learn a known pattern, repeat themselves by seed, stop early, and never see what is held out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.baselines import dataset_of
from tests.support.tiny_training import checkerboard
from training.baselines import Baseline, baseline_ranks
from training.baselines.bert4rec import Bert4Rec, Bert4RecSettings
from training.baselines.caser import Caser, CaserSettings
from training.baselines.fm import FactorizationMachine, FmSettings
from training.baselines.gru4rec import Gru4Rec, Gru4RecSettings
from training.baselines.hgn import Hgn, HgnSettings
from training.baselines.neural import Neural
from training.baselines.sasrec import BCE, SOFTMAX, SasRec
from training.evaluate.metrics import monitored, summary
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.splits import Split, leave_one_out
from training.fit.checkpoint import CheckpointError, locked
from training.fit.progress import EpochReport, Progress

CPU = torch.device("cpu")
SMALL: dict[str, Any] = {"dim": 16, "dropout": 0.1, "learning_rate": 5e-3, "batch_size": 64, "monitor": "full_ndcg@10"}


def make(name: str, epochs: int) -> Baseline:
    """A baseline made small, to train in seconds."""
    small: dict[str, Any] = SMALL | {"epochs": epochs}
    if name == "fm":
        return FactorizationMachine(FmSettings(**small | {"dropout": 0.0, "length": 8}), CPU)
    if name == "gru4rec":
        return Gru4Rec(
            Gru4RecSettings(**small | {"length": 8, "batch_size": 16, "hidden": 32, "learning_rate": 0.02}), CPU
        )
    if name == "caser":
        return Caser(CaserSettings(**small), CPU)
    if name == "hgn":
        return Hgn(HgnSettings(**small), CPU)
    if name == "bert4rec":
        few = {"length": 9, "batch_size": 16, "dropout": 0.0, "masked": 0.3, "patience": 30}  # it begins slowly
        return Bert4Rec(Bert4RecSettings(**small | few), CPU)
    recipe = SOFTMAX.override({"negatives": 64}) if name == "sasrec-softmax" else BCE
    changes = {"id_dim": 16, "dropout": 0.1, "learning_rate": 5e-3, "max_length": 8, "batch_size": 32}
    return SasRec(recipe.override(changes | {"epochs": epochs, "monitor": "full_ndcg@10"}), CPU)


NEURAL = ("fm", "gru4rec", "caser", "hgn", "bert4rec")
EVERY = (*NEURAL, "sasrec", "sasrec-softmax")


def scores_of(baseline: Baseline, split: Split) -> Tensor:
    return baseline.scores(split.test, slice(None))


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("fm", 15),
        ("gru4rec", 25),
        ("caser", 15),
        ("hgn", 15),
        ("bert4rec", 30),
        ("sasrec-softmax", 15),  # bce: tests/training/fit/test_trainer.py
    ],
)
def test_it_learns_the_checkerboard(name: str, epochs: int) -> None:
    dataset = checkerboard()
    split = leave_one_out(dataset)
    baseline = make(name, epochs)
    notes = baseline.fit(dataset, split, 0, Progress())
    figures = summary(baseline_ranks(baseline, split.test, None)["full"])
    top = scores_of(baseline, split).topk(10).indices.numpy() % 4
    found = float((top == (split.test.targets % 4)[:, None]).mean())
    print(f"{name}: share of the user's colour {found:.3f}, HIT@10 {figures['hit@10']:.3f}, {notes['epochs']} epochs")
    # Chance: a quarter of the items has the user's colour, and 10 of 120 items hold the target 8 times in a hundred.
    assert found > 0.7
    assert figures["hit@10"] > 0.3
    valid = baseline_ranks(baseline, split.valid, None)["full"]
    assert monitored(valid, "full_ndcg@10") == pytest.approx(notes["best"], rel=1e-6)


@pytest.mark.parametrize("name", EVERY)
def test_equal_seeds_give_equal_scores_and_others_do_not(name: str) -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    split = leave_one_out(dataset)
    scores = []
    for seed in (0, 0, 1):
        baseline = make(name, 2)
        torch.rand(7)  # what others draw must make no difference
        baseline.fit(dataset, split, seed, Progress())
        scores.append(scores_of(baseline, split))
    assert torch.equal(scores[0], scores[1])
    assert not torch.equal(scores[0], scores[2])


@pytest.mark.parametrize("name", EVERY)
def test_what_is_held_out_makes_no_difference_to_training(name: str) -> None:
    """Other validation and test items, the same training: the same scores after the same histories."""
    dataset = checkerboard(n_items=40, n_users=40)
    rng = np.random.default_rng(1)
    others = dataset_of([[*row[:-2].tolist(), *rng.integers(0, 40, 2).tolist()] for row in dataset.sequences], 40)
    cases = leave_one_out(dataset).test
    scores = []
    for data in (dataset, replace(others, items=dataset.items)):
        baseline = make(name, 1)
        baseline.fit(data, leave_one_out(data), 0, Progress())
        scores.append(baseline.scores(cases, slice(None)))
    assert torch.equal(*scores)


@pytest.mark.parametrize("name", EVERY)
def test_scores_of_a_slice_and_of_all(name: str) -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    split = leave_one_out(dataset)
    baseline = make(name, 1)
    baseline.fit(dataset, split, 0, Progress())
    whole = scores_of(baseline, split)
    assert whole.shape == (40, 40)
    assert whole.dtype == torch.float32
    assert torch.allclose(baseline.scores(split.test, slice(7, 19)), whole[7:19], atol=1e-6)


def small_neural(settings: dict[str, Any]) -> Neural[Any, Any]:
    return Hgn(HgnSettings(**SMALL | settings), CPU)


def test_early_stopping_keeps_the_best_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    split = leave_one_out(dataset)

    def follow(figures: list[float]) -> tuple[dict[str, Any], Any]:
        script = iter(figures)
        monkeypatch.setattr("training.baselines.loop.monitored", lambda ranks, monitor: next(script))
        baseline = small_neural({"epochs": len(figures), "patience": 2})
        reports: list[EpochReport] = []
        notes = baseline.fit(dataset, split, 0, Progress(epoch=reports.append))
        assert [report.monitored for report in reports] == figures[: len(reports)]
        return notes, scores_of(baseline, split)

    stopped, scores = follow([0.1, 0.3, 0.3, 0.2, 0.9])
    assert (stopped["epochs"], stopped["best_epoch"], stopped["best"]) == (4, 1, 0.3)
    rising, until_the_second = follow([0.1, 0.3])
    assert rising["best_epoch"] == 1
    assert torch.equal(scores, until_the_second)


class Killed(Exception):
    pass


@pytest.mark.parametrize("name", EVERY)
def test_a_run_killed_after_the_second_epoch_ends_as_one_that_was_not(name: str, tmp_path: Path) -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    split = leave_one_out(dataset)
    path = tmp_path / "run.safetensors"

    def kill(report: EpochReport) -> None:
        if report.epoch == 1:
            raise Killed

    whole = make(name, 4)
    notes = whole.fit(dataset, split, 0, Progress())
    with pytest.raises(Killed):
        make(name, 4).fit(dataset, split, 0, Progress(epoch=kill), path)
    epochs: list[int] = []
    resumed = make(name, 4)
    resumed_notes = resumed.fit(dataset, split, 0, Progress(epoch=lambda report: epochs.append(report.epoch)), path)
    assert epochs == [2, 3]
    assert torch.equal(scores_of(whole, split), scores_of(resumed, split))
    assert (notes["best"], notes["best_epoch"]) == (resumed_notes["best"], resumed_notes["best_epoch"])
    with pytest.raises(CheckpointError, match="belongs to a run with"):
        make(name, 4).fit(dataset, split, 1, Progress(), path)
    with locked(path), pytest.raises(CheckpointError, match="another process is training"):
        make(name, 4).fit(dataset, split, 0, Progress(), path)


@pytest.mark.parametrize("monitor", ["sampled_mrr", "full_ndcg@10"])
def test_the_monitored_figure_is_the_one_that_is_measured(monitor: str) -> None:
    dataset = checkerboard(n_users=40)
    split = leave_one_out(dataset)
    baseline = small_neural({"epochs": 1, "monitor": monitor})
    notes = baseline.fit(dataset, split, 0, Progress())
    ranks = baseline_ranks(baseline, split.valid, evaluation_negatives(dataset, split.valid))
    metric = summary(ranks[monitor.split("_")[0]])[monitor.split("_")[1]]
    assert notes["best"] == pytest.approx(metric, rel=1e-6)


def test_a_loss_that_is_no_number_ends_training() -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    with pytest.raises(FloatingPointError, match=r"hgn, epoch \d: the loss is no longer finite"):
        small_neural({"epochs": 3, "learning_rate": 1e38}).fit(dataset, leave_one_out(dataset), 0, Progress())


@pytest.mark.parametrize("name", ["fm", "gru4rec", "caser", "hgn", "sasrec"])
def test_one_trained_item_is_refused_where_negatives_are_drawn(name: str) -> None:
    dataset = dataset_of([[0, 0, 1, 2]] * 4, 3)
    with pytest.raises(ValueError, match="data: training has one item only"):
        make(name, 1).fit(dataset, leave_one_out(dataset), 0, Progress())


def test_sasrec_is_refused_another_split_and_other_tokens() -> None:
    dataset = checkerboard(n_items=40, n_users=40)
    split = leave_one_out(dataset)
    with pytest.raises(ValueError, match="not the leave-one-out split of checkerboard"):
        make("sasrec", 1).fit(dataset, replace(split, train=[row[:-1] for row in split.train]), 0, Progress())
    with pytest.raises(ValueError, match="tokens are 'hybrid'"):
        SasRec(BCE.override({"tokens": "hybrid"}))


def test_sasrec_is_in_its_published_form() -> None:
    form = {"tokens": "id", "id_dim": 64, "blocks": 2, "heads": 2, "dropout": 0.5, "max_length": 50, "batch_size": 256}
    assert form.items() <= BCE.model_dump().items()
    assert (BCE.loss, BCE.negatives) == ("bce", 1)
    assert form.items() <= SOFTMAX.model_dump().items()
    assert (SOFTMAX.loss, SOFTMAX.negatives) == ("sampled_softmax", 256)
