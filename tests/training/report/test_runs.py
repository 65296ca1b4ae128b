"""Runs: made once, read afterwards, gone on with after an interruption; measured as training itself measures."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.reports import SMALL, Counting, make_bench, small_data
from tests.support.tiny_training import checkerboard
from training.baselines.base import cap_epochs
from training.baselines.hgn import Hgn, HgnSettings
from training.baselines.popularity import Popularity
from training.baselines.sasrec import SasRec
from training.config import PAPER
from training.evaluate.metrics import hit, summary
from training.evaluate.negatives import can_sample
from training.fit.progress import EpochReport, Progress
from training.fit.trainer import Trainer
from training.report.runs import never_trained

FOUR = SMALL.override({"epochs": 4})


def test_a_run_is_made_once_and_says_what_training_says(tmp_path: Path) -> None:
    said: list[str] = []
    bench = make_bench(tmp_path, said=said)
    run = bench.run_recipe(SMALL, 1, "tiny")
    assert bench.run_recipe(SMALL.override({"name": "renamed"}), 1, "again") == run
    assert len(said) == 1
    assert bench.run_recipe(SMALL, 2, "tiny").key != run.key
    assert len(said) == 2

    trainer = Trainer(small_data(), SMALL, seed=1, device=torch.device("cpu"))
    trainer.fit()
    for name, cases in (("valid", trainer.split.valid), ("test", trainer.split.test)):
        for protocol in ("full", "sampled"):
            assert run.figures[name][protocol] == summary(trainer.ranks(cases, protocol))
    stored = bench.store.ranks(run, "full")
    assert hit(stored, 10).mean() == pytest.approx(run.figures["test"]["full"]["hit@10"])
    low, high = run.intervals["test"]["full"]["hit@10"]
    assert low < run.figures["test"]["full"]["hit@10"] < high
    assert run.token_parameters is not None
    assert run.token_parameters["total"] == 3 * 8 * 8 + 120 * 8
    assert run.codebooks is not None
    assert len(run.codebooks["usage"]) == 3
    assert [run.epochs, len(run.curve), run.users, run.items, run.seed] == [1, 1, 60, 120, 1]
    arrays = bench.store.arrays(run)
    assert np.array_equal(arrays["codes"], trainer.model.codes.numpy())
    assert arrays["codewords"].shape == (3, 8, 8)
    assert arrays["id_embeddings"].shape == (120, 8)


class Killed(Exception):
    pass


def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    epochs: list[int] = []

    def watch(kill_after: int | None) -> Progress:
        def epoch(report: EpochReport) -> None:
            epochs.append(report.epoch)
            if report.epoch == kill_after:
                raise Killed

        return Progress(epoch=epoch)

    @contextmanager
    def killing(monitor: str) -> Iterator[Progress]:
        yield watch(1)

    @contextmanager
    def watching(monitor: str) -> Iterator[Progress]:
        yield watch(None)

    whole = make_bench(tmp_path / "whole").run_recipe(FOUR, 0)
    bench = make_bench(tmp_path / "cut")
    bench.display = killing
    with pytest.raises(Killed):
        bench.run_recipe(FOUR, 0)
    assert [path.suffix for path in bench.store.folder.iterdir()] == [".safetensors"]
    bench.display = watching
    resumed = bench.run_recipe(FOUR, 0)
    assert epochs == [0, 1, 2, 3]
    assert resumed.figures == whole.figures
    assert resumed.key == whole.key
    assert not bench.store.checkpoint(resumed.key).exists()


def test_a_baseline_is_measured_as_counted_by_hand(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    run = bench.run_baseline("popularity", 0)
    popularity = bench.popularity
    found = []
    for history, target in zip(bench.split.test.histories, bench.split.test.targets.tolist(), strict=True):
        rivals = [item for item in range(120) if item != target and item not in set(history.tolist())]
        above = sum(popularity[item] > popularity[target] for item in rivals)
        level = sum(popularity[item] == popularity[target] for item in rivals)
        found.append(np.clip((10 - above) / (level + 1), 0, 1))
    assert run.figures["test"]["full"]["hit@10"] == pytest.approx(np.mean(found))
    assert run.notes == {"epochs": 7, "best": 0.5}
    assert bench.run_baseline("popularity", 0) == run


def test_capped_runs_are_never_taken_for_whole_ones(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    whole = bench.run_baseline("popularity", 0)
    bench.max_epochs = 2
    capped = bench.run_baseline("popularity", 0)
    assert [whole.epochs, capped.epochs] == [7, 2]
    assert whole.key != capped.key
    ours = bench.run_recipe(FOUR, 0)
    assert ours.epochs == 2
    # Training for two epochs at most is what a recipe of two epochs asks for, too.
    bench.max_epochs = None
    assert bench.run_recipe(FOUR.override({"epochs": 2}), 0) == ours


def test_a_kept_run_is_known_by_the_settings_of_its_baseline(tmp_path: Path) -> None:
    bench = make_bench(tmp_path)
    kept = bench.run_baseline("popularity", 0)
    other = Counting()
    other.settings = replace(other.settings, epochs=5)
    bench.baselines = {"popularity": lambda: other}
    assert bench.run_baseline("popularity", 0).key != kept.key
    assert kept.settings == {"epochs": 7}


def test_epochs_are_capped_where_a_baseline_trains_in_epochs() -> None:
    neural = Hgn(HgnSettings(epochs=7))
    cap_epochs(neural, 3)
    assert neural.settings.epochs == 3
    cap_epochs(neural, 5)
    assert neural.settings.epochs == 3
    ours = SasRec(PAPER.override({"tokens": "id"}))
    cap_epochs(ours, 9)
    assert ours.recipe.epochs == 9
    counted = Popularity()
    cap_epochs(counted, 1)
    assert counted.config == {}


def test_an_unknown_baseline_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="method 'bert': known are popularity, text-nn, sasrec"):
        make_bench(tmp_path).run_baseline("bert", 0)


def test_a_catalogue_too_small_to_sample_from_is_measured_by_full_ranking(tmp_path: Path) -> None:
    dataset = checkerboard(n_items=40, n_users=30)
    assert not can_sample(dataset.sequences, 40)
    bench = make_bench(tmp_path, dataset)
    for run in (bench.run_recipe(SMALL, 0), bench.run_baseline("popularity", 0)):
        assert set(run.figures["test"]) == {"full"}
        assert run.test("sampled", "hit@10") is None


def test_targets_never_trained_are_ranked_among_the_items_never_trained(tmp_path: Path) -> None:
    dataset = small_data()
    # Two items that only the last purchases of two users hold.
    sequences = [row[row < 110] for row in dataset.sequences]
    sequences = [np.append(row, np.int32(at)) for row, at in zip(sequences, [110, 111] + [0] * 58, strict=True)]
    bench = make_bench(tmp_path, replace(dataset, sequences=sequences))
    rows, cases = never_trained(bench.split.test, bench.popularity)
    assert {110, 111} <= set(cases.targets.tolist())
    run = bench.run_recipe(SMALL, 0)
    arrays = bench.store.arrays(run)
    assert len(arrays["cold_greater"]) == len(rows)
    full = bench.store.ranks(run, "full").take(rows)
    unseen = int((bench.popularity == 0).sum())
    assert (arrays["cold_greater"] + arrays["cold_ties"] < unseen).all()
    assert (arrays["cold_greater"] <= full.greater).all()
