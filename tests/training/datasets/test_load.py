"""The plain form: every kind of table, columns by other names, order, duplicates, k-core, catalogue."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.datasets import ColumnMap, Dataset, DatasetError, load_dataset

ROWS = [("u1", "a", 30), ("u2", "b", 10), ("u1", "b", 10), ("u1", "c", 20), ("u2", "c", 10)]
ITEMS: list[dict[str, object]] = [
    {"item_id": "c", "title": "Cream", "price": 2.5, "categories": ["Skin", "Face"], "colour": "red"},
    {"item_id": "a", "title": "Apple"},
    {"item_id": "b", "brand": "Bee"},
]


def ids(dataset: Dataset) -> dict[str, list[str]]:
    return {
        user: [dataset.items[index].item_id for index in sequence.tolist()]
        for user, sequence in zip(dataset.user_ids, dataset.sequences, strict=True)
    }


def write_delimited(folder: Path, suffix: str, sign: str) -> None:
    lines = [sign.join(["user_id", "item_id", "timestamp"])]
    lines += [sign.join([user, item, str(time)]) for user, item, time in ROWS]
    columns = ["item_id", "title", "brand", "price", "categories", "colour"]
    items = [sign.join(columns)]
    for item in ITEMS:
        cells = {**item, "categories": "|".join(item.get("categories", []))}  # type: ignore[arg-type]
        items.append(sign.join(str(cells.get(column, "")) for column in columns))
    (folder / f"interactions.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / f"items.{suffix}").write_text("\n".join(items) + "\n", encoding="utf-8")


def write_csv(folder: Path) -> None:
    write_delimited(folder, "csv", ",")


def write_tsv(folder: Path) -> None:
    write_delimited(folder, "tsv", "\t")


def write_gzip(folder: Path) -> None:
    write_delimited(folder, "csv", ",")
    for path in list(folder.iterdir()):
        with gzip.open(folder / f"{path.name}.gz", "wb") as stream:
            stream.write(path.read_bytes())
        path.unlink()


def write_jsonl(folder: Path) -> None:
    rows = [{"user_id": user, "item_id": item, "timestamp": time} for user, item, time in ROWS]
    for name, entries in (("interactions", rows), ("items", ITEMS)):
        text = "".join(json.dumps(entry) + "\n" for entry in entries)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")


def write_parquet(folder: Path) -> None:
    table = {
        "user_id": [r[0] for r in ROWS],
        "item_id": [r[1] for r in ROWS],
        "timestamp": [r[2] for r in ROWS],
    }
    pq.write_table(pa.table(table), folder / "interactions.parquet")
    names = dict.fromkeys(name for item in ITEMS for name in item)
    columns = {name: [item.get(name) for item in ITEMS] for name in names}
    pq.write_table(pa.table(columns), folder / "items.parquet")


@pytest.mark.parametrize("write", [write_csv, write_tsv, write_gzip, write_jsonl, write_parquet])
def test_every_kind_of_table_gives_the_same_data_set(tmp_path: Path, write: Callable[[Path], None]) -> None:
    write(tmp_path)
    dataset = load_dataset(tmp_path)
    assert dataset.user_ids == ["u1", "u2"]
    assert [item.item_id for item in dataset.items] == ["c", "a", "b"]
    assert ids(dataset) == {"u1": ["b", "c", "a"], "u2": ["b", "c"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [10, 20, 30]
    assert dataset.timestamps[0].dtype == np.int64
    assert dataset.sequences[0].dtype == np.int32
    assert dataset.weights is None
    cream = dataset.items[0]
    assert (cream.title, cream.price, cream.categories) == ("Cream", 2.5, ("Skin", "Face"))
    assert cream.attributes == {"colour": "red"}
    assert dataset.items[2].brand == "Bee"
    assert dataset.items[2].attributes == {}
    assert dataset.report.equal_timestamps == pytest.approx(1 / 3)


def test_the_fingerprint_is_of_the_content_alone(tmp_path: Path) -> None:
    prints = set()
    for write in (write_csv, write_jsonl, write_parquet):
        folder = tmp_path / write.__name__
        folder.mkdir()
        write(folder)
        prints.add(load_dataset(folder).fingerprint())
    assert len(prints) == 1
    text = (tmp_path / "write_csv" / "items.csv").read_text(encoding="utf-8")
    (tmp_path / "write_csv" / "items.csv").write_text(text.replace("Apple", "Pear"), encoding="utf-8")
    assert load_dataset(tmp_path / "write_csv").fingerprint() not in prints


def write(folder: Path, interactions: str, items: str | None = None) -> Path:
    (folder / "interactions.csv").write_text(interactions, encoding="utf-8")
    if items is not None:
        (folder / "items.csv").write_text(items, encoding="utf-8")
    return folder


def test_equal_times_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"u{n % 2},i{(n * 7) % 50},{100 - n // 10}" for n in range(50)]
    dataset = load_dataset(write(tmp_path, "user_id,item_id,timestamp\n" + "\n".join(rows)))
    expected = sorted((row.split(",") for row in rows), key=lambda row: int(row[2]))  # sorted is stable
    assert ids(dataset)["u0"] == [item for user, item, _ in expected if user == "u0"]
    assert ids(dataset)["u1"] == [item for user, item, _ in expected if user == "u1"]


def test_without_timestamps_the_file_is_the_order_and_repeats_stay(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "user_id,item_id\nu,b\nv,a\nu,a\nu,b\n"))
    assert ids(dataset) == {"u": ["b", "a", "b"], "v": ["a"]}
    assert dataset.timestamps is None
    assert dataset.report.equal_timestamps is None
    assert dataset.report.repeated_interactions == 1
    assert any("no timestamp" in note for note in dataset.report.notes)
    assert any("no items file" in note for note in dataset.report.notes)
    assert dataset.report.unlisted_items == dataset.report.items_without_text == 2


def test_duplicates_go_and_repeats_at_other_times_stay(tmp_path: Path) -> None:
    rows = "u,a,1\nu,b,2\nu,a,1\nu,a,3\nu,a,1.4\n"
    dataset = load_dataset(write(tmp_path, f"user_id,item_id,timestamp\n{rows}"))
    assert ids(dataset) == {"u": ["a", "b", "a"]}
    assert dataset.report.dropped["duplicate interactions (same user, item and second)"] == 2
    assert dataset.report.repeated_interactions == 1


def test_finer_times_order_within_a_second(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "user_id,item_id,timestamp\nu,a,1.9\nu,b,1.2\nu,c,0.5\n"))
    assert ids(dataset) == {"u": ["c", "b", "a"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [0, 1, 1]


def test_times_in_milliseconds_and_dates(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id,timestamp\nu,a,1262304000123\nu,b,2010-01-02\n")
    dataset = load_dataset(path, time_unit="ms")
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [1262304000, 1262390400]
    with pytest.raises(DatasetError, match=r"interactions\.csv:2: invalid_timestamp: .*1262304000123.*unit ms"):
        load_dataset(path)


def test_parquet_datetimes(tmp_path: Path) -> None:
    moments = [datetime(2020, 1, 2, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC)]
    times = pa.array(moments, type=pa.timestamp("ns", tz="UTC"))
    pq.write_table(
        pa.table({"user_id": [7, 7], "item_id": [1, 2], "timestamp": times}),
        tmp_path / "interactions.parquet",
    )
    dataset = load_dataset(tmp_path)
    assert ids(dataset) == {"7": ["2", "1"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [1577836800, 1577923200]


def test_weights_follow_their_interactions(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "weight,user_id,item_id,timestamp\n0.5,u,a,2\n2,u,b,1\n"))
    assert dataset.weights is not None
    assert dataset.weights[0].tolist() == [2.0, 0.5]


def test_columns_by_other_names(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "reviewer,asin,unix,stars\nu,a,2,5\nu,b,1,4\n",
        "asin,name,user_id\na,Apple,x\nb,Bread,y\n",
    )
    columns = ColumnMap.from_options(["user_id=reviewer", "item_id=asin", "timestamp=unix", "title=name"])
    dataset = load_dataset(path, columns=columns)
    assert ids(dataset) == {"u": ["b", "a"]}
    assert [item.title for item in dataset.items] == ["Apple", "Bread"]
    assert dataset.items[0].attributes == {"user_id": "x"}
    assert dataset.report.columns[0].not_read == ["stars"]
    with pytest.raises(DatasetError, match=r"no column user_id; found: reviewer, asin, unix, stars"):
        load_dataset(path)


def test_the_other_file_may_use_the_plain_name(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,asin\nu,a\n", "item_id,title\na,Apple\n")
    dataset = load_dataset(path, columns=ColumnMap({"item_id": "asin"}))
    assert dataset.items[0].title == "Apple"


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["item_id"], "expected field=column"),
        (["item=asin"], "unknown field; use one of user_id"),
        (["item_id="], "expected the name of a column"),
        (["item_id=a", "item_id=b"], "given twice"),
        (["item_id=a", "user_id=a"], "mapped to both"),
    ],
)
def test_a_column_map_refuses(pairs: list[str], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        ColumnMap.from_options(pairs)


def test_a_mapping_that_fits_no_column_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\nu,a\n", "item_id,title\na,Apple\n")
    with pytest.raises(DatasetError, match="title=name: no such column"):
        load_dataset(path, columns=ColumnMap({"title": "name"}))


def test_items_of_one_file_only(tmp_path: Path) -> None:
    path = write(tmp_path, "user_id,item_id\nu,new\nu,a\n", "item_id,title\nb,Bread\na,Apple\na,Apple\n")
    dataset = load_dataset(path)
    assert [item.item_id for item in dataset.items] == ["b", "a", "new"]
    assert dataset.items[2].to_text() == ""
    report = dataset.report
    assert (report.cold_items, report.unlisted_items, report.items_without_text) == (1, 1, 1)
    assert report.dropped["item rows that repeat another"] == 1
    smaller = load_dataset(path, catalogue="interacted")
    assert [item.item_id for item in smaller.items] == ["a", "new"]
    assert smaller.report.dropped["item rows without interactions"] == 1


def test_attributes_in_a_column_of_their_own(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "user_id,item_id\nu,a\n",
        'item_id,title,attributes,size\na,"Apple, red\nand ""round""","{""brand"": ""x"", ""none"": null}",XL\n',
    )
    item = load_dataset(path).items[0]
    assert item.title == 'Apple, red and "round"'
    assert item.attributes == {"brand": "x", "size": "XL"}


def naive_core(rows: list[tuple[int, int]], core: int) -> list[tuple[int, int]]:
    while True:
        left = [
            row
            for row in rows
            if sum(r[0] == row[0] for r in rows) >= core and sum(r[1] == row[1] for r in rows) >= core
        ]
        if len(left) == len(rows):
            return rows
        rows = left


def test_k_core_is_iterative(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    rows = sorted({(int(u), int(i)) for u, i in random.integers(0, 14, size=(90, 2))})
    expected = naive_core(rows, 4)
    once = [r for r in rows if sum(q[0] == r[0] for q in rows) >= 4 and sum(q[1] == r[1] for q in rows) >= 4]
    assert 0 < len(expected) < len(once) < len(rows)  # the case needs more than one round
    text = "".join(f"u{user},i{item}\n" for user, item in rows)
    items = "".join(f"i{n},Item {n}\n" for n in range(14))
    path = write(tmp_path, f"user_id,item_id\n{text}", f"item_id,title\n{items}")
    dataset = load_dataset(path, core=4)
    got = [(int(user[1:]), int(item[1:])) for user, sequence in ids(dataset).items() for item in sequence]
    assert got == expected
    report = dataset.report
    assert (report.users_below_core, report.items_below_core) == (0, 0)
    assert report.dropped["interactions outside the 4-core"] == len(rows) - len(expected)
    # What fell below the core is still an item of the shop: kept, as a cold one.
    assert dataset.n_items == 14
    assert report.cold_items == 14 - len({item for _, item in expected})
    whole = load_dataset(path).report
    assert whole.reference_core == 5
    assert whole.users_below_core == sum(sum(r[0] == u for r in rows) < 5 for u in {r[0] for r in rows})
    with pytest.raises(DatasetError, match="no interactions are left in the 50-core"):
        load_dataset(path, core=50)


def test_the_report_reads_and_serialises(tmp_path: Path) -> None:
    rows = "u,a,1\nu,b,1\nv,,3\nv,a,4\n"
    path = write(tmp_path, f"user_id,item_id,timestamp\n{rows}", "item_id,title\na,Apple\n")
    report = load_dataset(path, on_error="drop").report
    assert (report.n_users, report.n_items, report.n_interactions) == (2, 2, 3)
    assert (report.min_length, report.median_length, report.max_length) == (1, 1.5, 2)
    assert report.density == pytest.approx(0.75)
    assert report.training_only_users == 2
    data = json.loads(json.dumps(report.to_dict()))
    assert data["problem_counts"] == {"missing_value": 1}
    assert data["problems"][0]["line"] == 4
    text = "\n".join(report.lines())
    assert "interactions.csv:4: missing_value: item_id is missing" in text
    assert "users               2" in text
    assert "\n  1 missing_value\n" in text
