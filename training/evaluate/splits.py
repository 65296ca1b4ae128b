"""Leave-one-out splits, and the cold hold-out that removes items from training altogether."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from model.items import Item
from training.datasets.base import Dataset, Indices
from training.datasets.measure import measure

MIN_EVALUATED_LENGTH = 3


@dataclass(frozen=True, eq=False)
class EvaluationCases:
    """Predict `targets[c]` from `histories[c]` (item indices in order of time).

    `users`, `targets`: int32 `[cases]`. Histories are views into the data set, not copies.
    """

    users: Indices
    histories: list[Indices]
    targets: Indices

    def __len__(self) -> int:
        return len(self.targets)

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> EvaluationCases:
        """The cases that a mask [cases] or row numbers name."""
        numbers = np.arange(len(self))[rows].tolist()
        return EvaluationCases(self.users[rows], [self.histories[row] for row in numbers], self.targets[rows])


@dataclass(frozen=True, eq=False)
class Split:
    """`train[u]` is the part of user `u` that training may see: the sequence without its last two interactions.

    Validation predicts the second-to-last interaction from all before it, test predicts the last. Users with fewer
    than three interactions have no cases and give their whole sequence to training; `training_only_users` counts them.
    """

    train: list[Indices]
    valid: EvaluationCases
    test: EvaluationCases
    training_only_users: int


def leave_one_out(dataset: Dataset) -> Split:
    """Split every sequence as the paper does: train `[:-2]`, validation target `[-2]`, test target `[-1]`."""
    sequences = dataset.sequences
    evaluated = [user for user, row in enumerate(sequences) if len(row) >= MIN_EVALUATED_LENGTH]
    users = np.array(evaluated, dtype=np.int32)

    def cases(from_end: int) -> EvaluationCases:
        targets = np.array([sequences[user][-from_end] for user in evaluated], dtype=np.int32)
        return EvaluationCases(users, [sequences[user][:-from_end] for user in evaluated], targets)

    return Split(
        train=[row[:-2] if len(row) >= MIN_EVALUATED_LENGTH else row for row in sequences],
        valid=cases(2),
        test=cases(1),
        training_only_users=len(sequences) - len(evaluated),
    )


def training_popularity(split: Split, n_items: int) -> NDArray[np.int64]:
    """Interactions of each item in the training part of the sequences, int64 [n_items]."""
    return np.bincount(np.concatenate(split.train), minlength=n_items).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ColdCase:
    """A test case by identifiers, because the training set has no numbers for held-out items.

    `history` is the user's sequence without its last item; it may contain held-out items.
    """

    user_id: str
    history: tuple[str, ...]
    target: str


@dataclass(frozen=True, eq=False)
class ColdHoldout:
    """`train` has no `held_out` item, neither in its catalogue nor in a sequence.

    `cases` are the users whose test target is held out. `warm_cases` are the other users who keep three interactions
    or more; their targets stay the same. Users who keep fewer have no case, because `train` holds their whole sequence,
    the target included. `valid_cases` are the users whose validation target is held out, to choose settings by. Users
    who keep no interaction are not in `train`.
    """

    train: Dataset
    held_out: list[Item]
    cases: list[ColdCase]
    warm_cases: list[ColdCase]
    valid_cases: list[ColdCase]


def cold_holdout(dataset: Dataset, fraction: float = 0.05, seed: int = 0) -> ColdHoldout:
    """Hold out `fraction` of the distinct test targets (at least one), drawn with `seed`.

    Raises `ValueError` for a fraction outside 0 to 1, or if no user has three interactions.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction {fraction}: expected a number between 0 and 1")
    split = leave_one_out(dataset)
    targets = np.unique(split.test.targets)
    if not len(targets):
        raise ValueError("no user has three interactions, so there is no test target to hold out")
    count = max(1, round(fraction * len(targets)))
    chosen = np.sort(np.random.default_rng(seed).choice(targets, size=count, replace=False))
    is_held_out = np.zeros(dataset.n_items, dtype=bool)
    is_held_out[chosen] = True

    left = np.array([int((~is_held_out[row]).sum()) for row in dataset.sequences])
    still_evaluated = split.test.take(left[split.test.users] >= MIN_EVALUATED_LENGTH)
    cold, _ = _by_target(dataset, split.test, is_held_out)
    _, warm = _by_target(dataset, still_evaluated, is_held_out)
    return ColdHoldout(
        train=_without(dataset, is_held_out),
        held_out=[dataset.items[index] for index in chosen.tolist()],
        cases=cold,
        warm_cases=warm,
        valid_cases=_by_target(dataset, split.valid, is_held_out)[0],
    )


def _by_target(
    dataset: Dataset, cases: EvaluationCases, is_held_out: NDArray[np.bool_]
) -> tuple[list[ColdCase], list[ColdCase]]:
    """Cases whose target is held out, and the others, by identifiers."""
    ids = [item.item_id for item in dataset.items]
    cold: list[ColdCase] = []
    warm: list[ColdCase] = []
    for user, history, target in zip(cases.users.tolist(), cases.histories, cases.targets.tolist(), strict=True):
        case = ColdCase(dataset.user_ids[user], tuple(ids[index] for index in history.tolist()), ids[target])
        (cold if is_held_out[target] else warm).append(case)
    return cold, warm


def _without(dataset: Dataset, removed: NDArray[np.bool_]) -> Dataset:
    new_index = np.where(removed, -1, np.cumsum(~removed) - 1).astype(np.int32)
    masks = [~removed[row] for row in dataset.sequences]
    users = [user for user, mask in enumerate(masks) if mask.any()]
    timestamps, weights = dataset.timestamps, dataset.weights
    train = replace(
        dataset,
        name=f"{dataset.name} without {int(removed.sum())} held-out items",
        user_ids=[dataset.user_ids[user] for user in users],
        items=[item for item, gone in zip(dataset.items, removed.tolist(), strict=True) if not gone],
        sequences=[new_index[dataset.sequences[user][masks[user]]] for user in users],
        timestamps=None if timestamps is None else [timestamps[user][masks[user]] for user in users],
        weights=None if weights is None else [weights[user][masks[user]] for user in users],
        report=replace(dataset.report, notes=[*dataset.report.notes, f"{int(removed.sum())} items held out"]),
    )
    measure(train)
    return train
