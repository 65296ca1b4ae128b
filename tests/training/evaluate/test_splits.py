"""Leave-one-out by hand, and the cold hold-out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.datasets import Dataset, load_dataset
from training.evaluate.splits import cold_holdout, leave_one_out


def make(folder: Path, sequences: list[str], extra: str = "") -> Dataset:
    """A data set in which user n bought the items named by the letters of `sequences[n]`, one a second."""
    rows = [f"u{n},{item},{time}" for n, row in enumerate(sequences) for time, item in enumerate(row)]
    letters = sorted(set("".join(sequences)) | set(extra))
    items = "".join(f"{letter},Item {letter}\n" for letter in letters)
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows), encoding="utf-8")
    (folder / "items.csv").write_text(f"item_id,title\n{items}", encoding="utf-8")
    return load_dataset(folder)


def test_leave_one_out_by_hand(tmp_path: Path) -> None:
    dataset = make(tmp_path, ["abcde", "ba", "cab", "d"])
    split = leave_one_out(dataset)
    assert [row.tolist() for row in split.train] == [[0, 1, 2], [1, 0], [2], [3]]
    assert split.valid.users.tolist() == split.test.users.tolist() == [0, 2]
    assert split.valid.targets.tolist() == [3, 0]
    assert [row.tolist() for row in split.valid.histories] == [[0, 1, 2], [2]]
    assert split.test.targets.tolist() == [4, 1]
    assert [row.tolist() for row in split.test.histories] == [[0, 1, 2, 3], [2, 0]]
    assert split.training_only_users == dataset.report.training_only_users == 2
    assert len(split.test) == 2


def test_leave_one_out_of_short_users_only(tmp_path: Path) -> None:
    split = leave_one_out(make(tmp_path, ["a", "bc"]))
    assert len(split.valid) == len(split.test) == 0
    assert split.training_only_users == 2


def many(folder: Path) -> Dataset:
    random = np.random.default_rng(5)
    letters = "abcdefghijklmnopqrstuvwxyz"
    rows = ["".join(random.choice(list(letters), size=length, replace=False)) for length in [1, 2, *[6] * 60]]
    return make(folder, rows, extra="XY")


def test_the_cold_holdout_leaves_no_trace_in_training(tmp_path: Path) -> None:
    dataset = many(tmp_path)
    hold = cold_holdout(dataset, fraction=0.2, seed=1)
    held = {item.item_id for item in hold.held_out}
    test = leave_one_out(dataset).test
    targets = {dataset.items[index].item_id for index in test.targets.tolist()}
    assert len(held) == round(0.2 * len(targets))
    assert held < targets

    assert [item.item_id for item in hold.train.items] == [
        item.item_id for item in dataset.items if item.item_id not in held
    ]
    original = {
        user: [dataset.items[index].item_id for index in row.tolist()]
        for user, row in zip(dataset.user_ids, dataset.sequences, strict=True)
    }
    assert hold.train.timestamps is not None
    for user, row, times in zip(hold.train.user_ids, hold.train.sequences, hold.train.timestamps, strict=True):
        kept = [(time, item) for time, item in enumerate(original[user]) if item not in held]
        assert [hold.train.items[index].item_id for index in row.tolist()] == [item for _, item in kept]
        assert times.tolist() == [time for time, _ in kept]
        assert row.dtype == np.int32
    left = {user for user, row in original.items() if set(row) - held}
    assert set(hold.train.user_ids) == left

    cases = hold.cases + hold.warm_cases
    assert len(cases) == len(test) == 60
    assert {case.target for case in hold.cases} == held
    assert not {case.target for case in hold.warm_cases} & held
    for case in cases:
        assert [*case.history, case.target] == original[case.user_id]
    assert {case.user_id for case in hold.valid_cases} == {
        user for user, row in original.items() if len(row) > 2 and row[-2] in held
    }
    for case in hold.valid_cases:
        assert [*case.history, case.target] == original[case.user_id][:-1]
    report = hold.train.report
    assert (report.n_items, report.n_interactions) == (hold.train.n_items, hold.train.n_interactions)
    assert dataset.report.n_items == dataset.n_items  # the original report is untouched
    assert hold.train.fingerprint() != dataset.fingerprint()


def test_no_warm_target_is_trained_on(tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    rows = ["".join(random.choice(list("abcdefghijklmnop"), size=3 + n % 3, replace=False)) for n in range(60)]
    hold = cold_holdout(make(tmp_path, rows), fraction=0.3, seed=1)
    held = {item.item_id for item in hold.held_out}
    trained = dict(zip(hold.train.user_ids, leave_one_out(hold.train).train, strict=True))
    assert leave_one_out(hold.train).training_only_users > 10  # users left with fewer than three items
    for case in hold.warm_cases:
        place = sum(item not in held for item in case.history)  # the target's, in what is left of the sequence
        assert len(trained[case.user_id]) < place
    warm = {case.user_id for case in hold.warm_cases}
    for user, row in enumerate(rows):
        left = [item for item in row if item not in held]
        assert (f"u{user}" in warm) == (row[-1] not in held and len(left) > 2)


def test_the_cold_holdout_follows_its_seed(tmp_path: Path) -> None:
    dataset = many(tmp_path)
    drawn = [[item.item_id for item in cold_holdout(dataset, 0.2, seed).held_out] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(cold_holdout(dataset, 0.001).held_out) == 1


def test_the_cold_holdout_refuses(tmp_path: Path) -> None:
    dataset = make(tmp_path, ["ab", "c"])
    for fraction in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="expected a number between 0 and 1"):
            cold_holdout(dataset, fraction)
    with pytest.raises(ValueError, match="no user has three interactions"):
        cold_holdout(dataset)
