"""What is written reads back to the same content."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.items import InvalidItem, Item, check_item_id
from training.datasets import Dataset, DatasetReport, load_dataset, write_dataset


def is_id(text: str) -> bool:
    try:
        check_item_id(text)
    except InvalidItem:
        return False
    return True


IDS = st.text(min_size=1, max_size=12).filter(is_id)
VALUES = st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
FREE = st.none() | st.text(max_size=30)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    item_ids = draw(st.lists(IDS, min_size=1, max_size=6, unique=True))
    items = [
        Item.from_dict(
            {
                "item_id": item_id,
                "title": draw(FREE),
                "description": draw(FREE),
                "price": draw(st.none() | st.floats(0, 1e12)),
                "categories": draw(st.lists(st.text(max_size=8), max_size=3)),
                "attributes": draw(
                    st.dictionaries(st.sampled_from(["brand", "colour", "item_id", "x y"]), VALUES, max_size=3)
                ),
            }
        )
        for item_id in item_ids
    ]
    users = draw(st.lists(IDS, min_size=1, max_size=5, unique=True))
    lengths = [draw(st.integers(1, 6)) for _ in users]
    timed, weighted = draw(st.booleans()), draw(st.booleans())
    sequences = [
        np.array([draw(st.integers(0, len(items) - 1)) for _ in range(length)], np.int32) for length in lengths
    ]
    starts = [draw(st.integers(-(10**9), 10**10)) for _ in users]
    # Steps of a second or more: equal times of one item would rightly be dropped as duplicates.
    times = [np.array([start + 7 * n for n in range(length)]) for start, length in zip(starts, lengths, strict=True)]
    weights = [
        np.array([draw(st.floats(2**-20, 2**20, width=32)) for _ in range(length)], np.float32) for length in lengths
    ]
    return Dataset(
        name="any",
        user_ids=users,
        items=items,
        sequences=sequences,
        timestamps=times if timed else None,
        weights=weights if weighted else None,
        report=DatasetReport("made", "made", []),
    )


@settings(max_examples=150, deadline=None)
@given(dataset=datasets())
def test_round_trip(dataset: Dataset) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(dataset, Path(folder) / "new")
        again = load_dataset(Path(folder) / "new")
    assert again.user_ids == dataset.user_ids
    assert again.items == dataset.items
    assert (again.timestamps is None) == (dataset.timestamps is None)
    assert (again.weights is None) == (dataset.weights is None)
    assert again.fingerprint() == dataset.fingerprint()


def test_writing_leaves_no_partial_files_and_replaces(tmp_path: Path) -> None:
    sequences = [np.array([0, 0], dtype=np.int32)]
    report = DatasetReport("made", "made", [])
    for title in ("First", "Second"):
        dataset = Dataset("any", ["u"], [Item("a", title=title)], sequences, None, report)
        write_dataset(dataset, tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.jsonl"]
        assert load_dataset(tmp_path).items[0].title == title
    assert (tmp_path / "interactions.csv").read_bytes() == b"user_id,item_id\nu,a\nu,a\n"


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    report = DatasetReport("made", "made", [])
    good = Dataset("any", ["u"], [Item("a")], [np.array([0], dtype=np.int32)], None, report)
    write_dataset(good, tmp_path)
    bad = Dataset("any", ["u"], [Item("a")], [np.array([9], dtype=np.int32)], None, report)
    with pytest.raises(IndexError):
        write_dataset(bad, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["interactions.csv", "items.jsonl"]
    assert load_dataset(tmp_path).fingerprint() == good.fingerprint()
