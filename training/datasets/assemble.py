"""Turns a reader's raw rows into a `Dataset`: stable order of time, duplicates, k-core, numbering, report."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from model.items import Item
from training.datasets.base import Dataset, DatasetReport, Indices
from training.datasets.collect import ITEM_ROWS_UNSEEN, RawData
from training.datasets.measure import measure
from training.datasets.problems import DatasetError, ProblemLog, printable, quoted
from training.datasets.values import MICROSECONDS

_UNMATCHED_SHARE = 0.5
_Scalar = TypeVar("_Scalar", bound=np.generic)


def assemble(raw: RawData, problems: ProblemLog, *, name: str, core: int, keep_unseen: bool) -> Dataset:
    """Order, filter and number `raw`; raises `DatasetError` if nothing remains.

    Items keep the order of the items file, followed by those that only interactions name. Users keep the order of first
    sight. Ties in time keep the order of the file.
    """
    log = raw.log
    _refuse_empty(raw, problems, len(log), "no interactions were found")
    users = np.frombuffer(log.user_numbers, dtype=np.int32)
    items = np.frombuffer(log.item_numbers, dtype=np.int32)
    times = np.frombuffer(log.times, dtype=np.int64) if log.timed else np.zeros(len(log), np.int64)
    weights = np.frombuffer(log.weights, dtype=np.float32) if log.weighted else None

    # lexsort is stable: rows of one user and one moment keep the order of the file.
    order = np.lexsort((times, users))
    seconds = times // MICROSECONDS
    dropped = dict(raw.dropped)
    dropped["item rows that repeat another"] = raw.catalogue.repeated_rows
    if log.timed:
        kept = order[_first_of_each(users[order], items[order], seconds[order])]
        dropped["duplicate interactions (same user, item and second)"] = len(order) - len(kept)
        order = kept
    users, items = users[order], items[order]
    core_mask = _core_mask(users, items, core)
    if core:
        dropped[f"interactions outside the {core}-core"] = int((~core_mask).sum())
        dropped[f"users below the {core}-core"] = len(np.unique(users)) - len(np.unique(users[core_mask]))
        dropped[f"items below the {core}-core"] = len(np.unique(items)) - len(np.unique(items[core_mask]))
    order, users, items = order[core_mask], users[core_mask], items[core_mask]
    _refuse_empty(raw, problems, len(order), f"no interactions are left in the {core}-core")

    catalogue, new_numbers, unlisted = _number_items(raw, items, keep_unseen)
    unmatched = _unmatched(raw, [item.item_id for item in catalogue[len(catalogue) - unlisted :]], items)
    if not keep_unseen:
        unseen = len(raw.catalogue.items) - (len(catalogue) - unlisted)
        dropped[ITEM_ROWS_UNSEEN] = dropped.get(ITEM_ROWS_UNSEEN, 0) + unseen
    # `users` is sorted by number, and numbers follow the order of first sight, so groups have that order, too.
    present, starts = np.unique(users, return_index=True)
    all_ids = list(log.users.numbers)
    report = DatasetReport(
        format=raw.format,
        recognised=printable(raw.recognised),
        files=[printable(str(path)) for path in raw.files],
        core=core,
        unlisted_items=unlisted,
        dropped=dropped,
        columns=list(raw.columns),
        warnings=[printable(warning) for warning in (*raw.warnings, *unmatched)],
        notes=[printable(note) for note in raw.notes],
        problem_counts=dict(problems.counts),
        problem_groups=problems.groups,
        problems=list(problems.problems),
    )
    dataset = Dataset(
        name=name,
        user_ids=[all_ids[number] for number in present.tolist()],
        items=catalogue,
        sequences=_groups(new_numbers[items], starts),
        timestamps=_groups(seconds[order], starts) if log.timed else None,
        weights=_groups(weights[order], starts) if weights is not None else None,
        report=report,
    )
    measure(dataset)
    return dataset


def _refuse_empty(raw: RawData, problems: ProblemLog, remaining: int, reason: str) -> None:
    if remaining:
        return
    files = ", ".join(str(path) for path in raw.files)
    bad = sum(problems.counts.values())
    rows = f"; rows that could not be used: {bad}, the first: {problems.problems[0]}" if bad else ""
    raise DatasetError(f"the data set is empty: {reason} in {files}{rows}", problems)


def _unmatched(raw: RawData, unlisted: list[str], items: Indices) -> list[str]:
    """Warn if the items file has no row for more than half of the items in the interactions."""
    named = len(np.unique(items))
    if len(raw.files) < 2 or len(unlisted) <= _UNMATCHED_SHARE * named:
        return []
    other = next((item_id for item_id in raw.catalogue.items if item_id not in raw.log.items.numbers), None)
    theirs = "" if other is None else f", while the items file has rows such as {quoted(other)}"
    return [
        f"{len(unlisted):,} of the {named:,} items in the interactions have no row in the items file, so the model "
        f"knows nothing about them. {quoted(unlisted[0])} is one{theirs}. Do both files use the same identifiers?"
    ]


def _groups(values: npt.NDArray[_Scalar], starts: npt.NDArray[np.int64]) -> list[npt.NDArray[_Scalar]]:
    return list(np.split(values, starts[1:]))


def _first_of_each(users: Indices, items: Indices, seconds: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Positions, ascending, of the first row of every (user, item, second)."""
    order = np.lexsort((seconds, items, users))
    same = np.zeros(len(order), dtype=bool)
    if len(order) > 1:
        before, after = order[:-1], order[1:]
        same[1:] = (
            (users[before] == users[after]) & (items[before] == items[after]) & (seconds[before] == seconds[after])
        )
    return np.sort(order[~same])


def _core_mask(users: Indices, items: Indices, core: int) -> npt.NDArray[np.bool_]:
    """Rows of the k-core: drop users and items with fewer than `core` rows until all have enough."""
    mask = np.ones(len(users), dtype=bool)
    while core:
        few_users = np.bincount(users[mask], minlength=int(users.max(initial=0)) + 1) < core
        few_items = np.bincount(items[mask], minlength=int(items.max(initial=0)) + 1) < core
        smaller = mask & ~few_users[users] & ~few_items[items]
        if smaller.sum() == mask.sum():
            break
        mask = smaller
    return mask


def _number_items(raw: RawData, items: Indices, keep_unseen: bool) -> tuple[list[Item], Indices, int]:
    """The catalogue, the item_index of each number in the log, and how many items have no row."""
    seen_ids = list(raw.log.items.numbers)
    present = np.unique(items).tolist()
    present_ids = {seen_ids[number] for number in present}
    listed = raw.catalogue.items
    catalogue = [item for item_id, item in listed.items() if keep_unseen or item_id in present_ids]
    unlisted = [item_id for number in present if (item_id := seen_ids[number]) not in listed]
    catalogue += [Item(item_id) for item_id in unlisted]
    index_of = {item.item_id: index for index, item in enumerate(catalogue)}
    new_numbers = np.full(len(seen_ids), -1, dtype=np.int32)
    new_numbers[present] = [index_of[seen_ids[number]] for number in present]
    return catalogue, new_numbers, len(unlisted)
