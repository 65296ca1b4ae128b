"""Same-day order, the effect of ties, the order of methods under both protocols, and the tree's telling words."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from model.items import Item
from model.telling_words import TellingWords
from tests.support.reports import small_data
from tests.support.tiny_training import checkerboard
from tests.training.report.test_store import made as made_result
from training.report.parts.honesty import DAY, sampled_note, shuffle_days
from training.report.result import RunResult
from training.report.tree import semantic_tree


def test_purchases_of_one_day_are_shuffled_and_no_others() -> None:
    dataset = small_data(timed=True)
    assert dataset.timestamps is not None
    shuffled, share = shuffle_days(dataset, seed=0)
    assert shuffled.timestamps is not None
    same = [int((np.diff(times // DAY) == 0).sum()) for times in dataset.timestamps]
    assert share == pytest.approx(sum(same) / sum(len(times) - 1 for times in dataset.timestamps))
    moved = 0
    rows = zip(dataset.sequences, shuffled.sequences, dataset.timestamps, shuffled.timestamps, strict=True)
    for before, after, times, new_times in rows:
        assert np.array_equal(times, new_times)
        for day in np.unique(times // DAY):
            inside = times // DAY == day
            assert Counter(before[inside].tolist()) == Counter(after[inside].tolist())
        moved += int((before != after).sum())
    total = sum(map(len, dataset.sequences))
    print(f"{moved} of {total} places changed")
    assert 0.4 < moved / total < 0.8  # of three in random order, two thirds move
    assert shuffled.fingerprint() != dataset.fingerprint()
    assert shuffle_days(dataset, 0)[0].fingerprint() == shuffled.fingerprint()
    assert shuffle_days(dataset, 1)[0].fingerprint() != shuffled.fingerprint()


def test_a_day_of_its_own_for_every_purchase_stays_as_it_is() -> None:
    dataset = small_data(timed=True)
    apart = replace(dataset, timestamps=[np.arange(len(row), dtype=np.int64) * DAY for row in dataset.sequences])
    shuffled, share = shuffle_days(apart, 0)
    assert share == 0
    assert all(map(np.array_equal, shuffled.sequences, dataset.sequences))


def test_weights_go_with_their_purchases() -> None:
    dataset = small_data(timed=True)
    weighted = replace(dataset, weights=[row.astype(np.float32) for row in dataset.sequences])
    shuffled, _ = shuffle_days(weighted, 0)
    assert shuffled.weights is not None
    assert all(map(np.array_equal, shuffled.sequences, shuffled.weights))


def test_without_timestamps_no_day_is_known() -> None:
    with pytest.raises(ValueError, match="checkerboard has no timestamps"):
        shuffle_days(checkerboard(), 0)


def run_with(sampled: float, full: float) -> RunResult:
    return made_result(figures={"test": {"sampled": {"ndcg@10": sampled}, "full": {"ndcg@10": full}}})


def test_the_note_counts_the_pairs_that_turn_round() -> None:
    runs = {"a": run_with(0.1, 0.1), "b": run_with(0.2, 0.3), "c": run_with(0.3, 0.2)}
    note = sampled_note(runs)
    assert "1 of 3 pairs are in opposite order: b and c." in note
    assert "τ = 0.33" in note  # (2 − 1) / 3
    assert "ρ = 0.50" in note  # 1 − 6 · (0 + 1 + 1) / (3 · 8)
    agreed = sampled_note({"a": run_with(0.1, 0.1), "b": run_with(0.2, 0.2), "c": run_with(0.3, 0.3)})
    assert "0 of 3 pairs are in opposite order." in agreed
    assert "There are too few methods" in sampled_note({"a": run_with(0.1, 0.1), "b": run_with(0.2, 0.2)})
    assert "There are too few methods" in sampled_note({name: run_with(0.1, 0.1) for name in "abc"})


def test_telling_words_are_those_of_the_prefix_and_not_of_all() -> None:
    telling = TellingWords(["soap, bar, rose", "soap bar", "lamp bar", "bar"])
    # soap: 1 · log(1 / .5) = .69; rose: .5 · log(.5 / .25) = .35; bar is everywhere and says nothing.
    assert telling.words(np.arange(2), 3) == ["soap", "rose"]


def test_the_tree_shows_the_crowded_prefixes_and_few_titles() -> None:
    items = [Item(f"i{n}", title=f"{'red soap' if n < 6 else 'blue lamp'} {n}" + "x" * 80) for n in range(10)]
    codes = np.array([[0, n % 2] if n < 6 else [1, 0] for n in range(10)], dtype=np.int32)
    tree = semantic_tree(codes, items, widths=(2, 1), words=2, examples=1)
    assert [(node.code, node.items) for node in tree] == [([0], 6), ([1], 4)]
    assert set(tree[0].words) == {"red", "soap"}
    assert [(node.code, node.items) for node in tree[0].branches] == [([0, 0], 3)]
    assert [len(node.examples) for node in tree] == [1, 0]
    assert tree[0].examples[0].endswith("…")
    assert len(tree[0].examples[0]) == 60
    assert semantic_tree(codes, items, widths=(1,))[0].branches == []
