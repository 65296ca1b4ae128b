"""Rows and files that cannot be used: each is named with file, line, field, value and what was expected."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.datasets import DatasetError, load_dataset
from training.datasets.problems import OnError

LONE_SURROGATE = '"\\ud800"'


def write(folder: Path, name: str, content: str | bytes) -> Path:
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        (b"u,a", "malformed_row", "2 fields; expected 4: user_id, item_id, timestamp, weight"),
        (b"u,a,1,1,9", "malformed_row", "5 fields; expected 4"),
        (b'u,"a,1,1', "malformed_row", "unexpected end of data"),
        (b",a,1,1", "missing_value", "user_id is missing"),
        (b"u,,1,1", "missing_value", "item_id is missing"),
        (b"u,a,,1", "missing_value", "timestamp is missing"),
        (b"u,a,1,", "missing_value", "weight is missing"),
        (b"u,a,soon,1", "invalid_timestamp", "timestamp 'soon': expected a number since 1970 or an ISO"),
        (b"u,a,nan,1", "invalid_timestamp", "timestamp 'nan'"),
        (b"u,a,inf,1", "invalid_timestamp", "timestamp 'inf'"),
        (b"u,a,1e30,1", "invalid_timestamp", "within the years 1 to 9999"),
        (b"u,a,%s,1" % (b"9" * 5000), "invalid_timestamp", "(5000 characters)"),
        (b"u,a,1,0", "invalid_weight", "weight '0': expected a finite number above zero"),
        (b"u,a,1,-2", "invalid_weight", "weight '-2'"),
        (b"u,a,1,nan", "invalid_weight", "weight 'nan'"),
        (b"u, a,1,1", "invalid_id", "item_id ' a' must not begin or end with a blank"),
        (b"u\x00,a,1,1", "invalid_id", "user_id 'u\\x00' holds the control character"),
        (b"u,%s,1,1" % (b"x" * 10_240), "invalid_id", "(10240 characters) has 10240 characters"),
        (b"u\xff,a,1,1", "encoding", "not UTF-8"),
        ("u,a,1,1".encode("utf-16"), "encoding", "not UTF-8"),
    ],
)
def test_a_bad_interaction(tmp_path: Path, row: bytes, kind: str, message: str) -> None:
    content = b"user_id,item_id,timestamp,weight\ngood,a,1,1\n\n" + row + b"\ngood,b,2,1\n"
    write(tmp_path, "interactions.csv", content)
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)
    problem = caught.value.problems[0]
    assert (problem.line, problem.kind) == (4, kind)
    assert message in problem.message
    assert f"interactions.csv:4: {kind}: " in str(caught.value)
    assert len(str(caught.value)) < 600  # however long the value

    dataset = load_dataset(tmp_path, on_error="drop")
    assert dataset.user_ids == ["good"]
    assert [item.item_id for item in dataset.items] == ["a", "b"]
    assert dataset.report.problem_counts[kind] >= 1


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ("{", "malformed_row", "expected a JSON object: not JSON"),
        ("[1]", "malformed_row", "expected a JSON object"),
        ("[" * 100_000, "malformed_row", "expected a JSON object"),
        ('{"user_id": "u", "item_id": "a", "timestamp": NaN}', "malformed_row", "NaN is not JSON"),
        ('{"user_id": "u", "item_id": "a", "timestamp": 1e999}', "invalid_timestamp", "timestamp inf"),
        ('{"user_id": "u", "item_id": "a", "timestamp": true}', "invalid_timestamp", "timestamp True"),
        ('{"user_id": "u", "item_id": "a"}', "missing_value", "timestamp is missing; other rows have one"),
        ('{"user_id": "u", "item_id": 1.5, "timestamp": 1}', "invalid_id", "item_id 1.5 must be a string"),
        (
            '{"user_id": ["u"], "item_id": "a", "timestamp": 1}',
            "invalid_id",
            "user_id ['u'] must be a string",
        ),
        (f'{{"user_id": {LONE_SURROGATE}, "item_id": "a", "timestamp": 1}}', "invalid_id", "U+D800"),
    ],
)
def test_a_bad_interaction_in_json(tmp_path: Path, line: str, kind: str, message: str) -> None:
    good = '{"user_id": 1, "item_id": 2, "timestamp": 3}\n'
    write(tmp_path, "interactions.jsonl", f"{good}{line}\n")
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.kind) == (2, kind)
    assert message in problem.message
    str(caught.value).encode()  # a surrogate in the message could not be printed
    assert load_dataset(tmp_path, on_error="drop").user_ids == ["1"]


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        ('{"title": "x"}', "missing_value", "item_id is missing"),
        ('{"item_id": "' + "x" * 10_240 + '"}', "invalid_id", "has 10240 characters"),
        ('{"item_id": "b\\u0007"}', "invalid_id", "U+0007"),
        ('{"item_id": "b", "title": 3}', "invalid_item", "title 3 must be a string"),
        ('{"item_id": "b", "categories": [1]}', "invalid_item", "categories [1] must be a list of strings"),
        ('{"item_id": "b", "categories": "[1"}', "invalid_item", "categories '[1': expected a JSON list"),
        ('{"item_id": "a", "title": "Pear"}', "conflicting_item", "'a' is described differently in line 1"),
    ],
)
def test_a_bad_item(tmp_path: Path, line: str, kind: str, message: str) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    write(tmp_path, "items.jsonl", f'{{"item_id": "a", "title": "Apple"}}\n{line}\n')
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)
    (problem,) = caught.value.problems
    assert problem.file.endswith("items.jsonl")
    assert (problem.line, problem.kind) == (2, kind)
    assert message in problem.message
    dataset = load_dataset(tmp_path, on_error="drop")
    assert [item.to_text() for item in dataset.items] == ["Apple"]


def test_free_text_is_repaired_rather_than_refused(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    write(tmp_path, "items.jsonl", '{"item_id": "a", "title": "x\\u0000\\ud800  y", "description": ""}\n')
    item = load_dataset(tmp_path).items[0]
    assert item.title == "x \ufffd y"
    assert item.description is None


def test_bad_rows_of_an_items_csv(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    lines = [
        b"item_id,title,price",  # 1
        b"a,Apple,$1.50",  # 2
        b'b,"two',  # 3
        b'lines",2',  # 4
        b"c,\xff,3",  # 5
        b"d,only two",  # 6
        b'e,"broken" quote,1',  # 7
        b"f,Fig,twelve",  # 8
        b"g,Grape,7",  # 9
    ]
    write(tmp_path, "items.csv", b"\r\n".join(lines) + b"\r\n")
    dataset = load_dataset(tmp_path, on_error="drop")
    assert [(item.item_id, item.title, item.price) for item in dataset.items] == [
        ("a", "Apple", 1.5),
        ("b", "two lines", 2.0),
        ("f", "Fig", None),
        ("g", "Grape", 7.0),
    ]
    found = [(problem.line, problem.kind) for problem in dataset.report.problems]
    assert found == [(5, "encoding"), (6, "malformed_row"), (7, "malformed_row"), (8, "invalid_field")]


def test_the_error_lists_three_of_each_kind_and_field_and_all_totals(tmp_path: Path) -> None:
    bad = "u,,1\n" * 30 + ",a,1\n" + "u,a,x\n" * 3
    write(tmp_path, "interactions.csv", f"user_id,item_id,timestamp\n{bad}")
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)
    text = str(caught.value)
    assert text.startswith("34 rows cannot be used (3 invalid_timestamp, 31 missing_value):")
    lines = [int(line.split("interactions.csv:")[1].split(":")[0]) for line in text.splitlines() if ".csv:" in line]
    assert lines == [2, 3, 4, 32, 33, 34, 35]
    assert "\n  and 27 more missing_value of item_id\n" in text
    assert caught.value.counts == {"missing_value": 31, "invalid_timestamp": 3}


def test_many_problems_are_counted_without_being_kept(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n" + "u,\n" * 5000)
    report = load_dataset(tmp_path, on_error="drop").report
    assert report.problem_counts == {"missing_value": 5000}
    assert len(report.problems) == 1000
    assert len(report.lines()) < 100


@pytest.mark.parametrize("keep", [0.3, 0.9])
@pytest.mark.parametrize("name", ["interactions.csv.gz", "items.jsonl.gz"])
def test_gzip_that_is_cut_short(tmp_path: Path, name: str, keep: float) -> None:
    rows = "user_id,item_id\n" + "".join(f"u{n * 7919 % 10007},i{n * n % 10007}\n" for n in range(5000))
    items = "".join(f'{{"item_id": "i{n}", "title": "{n * n}"}}\n' for n in range(5000))
    for file, text in (("interactions.csv.gz", rows), ("items.jsonl.gz", items)):
        (tmp_path / file).write_bytes(gzip.compress(text.encode()))
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * keep)])
    policies: tuple[OnError, ...] = ("fail", "drop")
    for on_error in policies:
        with pytest.raises(DatasetError, match=f"{name}: the gzip data is cut short after line"):
            load_dataset(tmp_path, on_error=on_error)


def test_gzip_that_is_damaged_or_none(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"user_id,item_id\n" + b"u,a\nv,b\n" * 500))
    data[30] ^= 0xFF
    write(tmp_path, "interactions.csv.gz", bytes(data))
    with pytest.raises(DatasetError, match="the gzip data is damaged"):
        load_dataset(tmp_path)
    write(tmp_path, "interactions.csv.gz", "user_id,item_id\nu,a\n")
    with pytest.raises(DatasetError, match="the gzip data is damaged"):
        load_dataset(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; expected a header"),
        (b"\n  \n", "the file is empty; expected a header"),
        (b"user_id,item_id\n", "the data set is empty: no interactions were found"),
        (b"user_id,item_id,user_id\nu,a,v\n", "'user_id' more than once"),
        (b'user_id,"item_id\n', "the header cannot be read"),
        (b"u1,a,1\nu1,b,2\n", "no column user_id; found: u1, a, 1"),
        ("user_id,item_id\nu,a\n".encode("utf-16"), "the header is not UTF-8"),
    ],
)
def test_a_file_without_a_use(tmp_path: Path, content: bytes, message: str) -> None:
    write(tmp_path, "interactions.csv", content)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)


def test_an_empty_json_file_is_an_empty_data_set(tmp_path: Path) -> None:
    write(tmp_path, "interactions.jsonl", "")
    with pytest.raises(DatasetError, match="the data set is empty"):
        load_dataset(tmp_path)


def test_all_rows_dropped_is_an_empty_data_set(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,\n")
    with pytest.raises(DatasetError, match=r"rows that could not be used: 1, the first: .*interactions\.csv:2"):
        load_dataset(tmp_path, on_error="drop")


def test_a_byte_order_mark_and_line_ends_of_other_systems(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", b"\xef\xbb\xbfuser_id,item_id\r\nu,a\r\n")
    write(tmp_path, "items.jsonl", b'\xef\xbb\xbf{"item_id": "a", "title": "Apple"}\r\n')
    dataset = load_dataset(tmp_path)
    assert dataset.user_ids == ["u"]
    assert dataset.items[0].title == "Apple"


def test_parquet_that_is_damaged_or_has_nulls(tmp_path: Path) -> None:
    path = tmp_path / "interactions.parquet"
    pq.write_table(pa.table({"user_id": ["u", None, "v"], "item_id": ["a", "b", "c"]}), path)
    with pytest.raises(DatasetError, match=r"interactions\.parquet:2: missing_value: user_id is missing"):
        load_dataset(tmp_path)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DatasetError, match="cannot be read as parquet"):
        load_dataset(tmp_path)


def test_names_of_columns_are_shown_safely(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    for name in ("\\ud800", "\\u001b[2J", "x" * 10_000):
        write(tmp_path, "items.jsonl", f'{{"item_id": "a", "{name}": {{}}}}\n')
        with pytest.raises(DatasetError, match=r"items\.jsonl:1: invalid_field: attributes\.") as caught:
            load_dataset(tmp_path)
        assert len(str(caught.value)) < 800
        str(caught.value).encode()
        write(tmp_path, "interactions.jsonl", f'{{"user_id": "u", "{name}": "a"}}\n')
        with pytest.raises(DatasetError, match="no column item_id; found: user_id, ") as caught:
            load_dataset(tmp_path / "interactions.jsonl")
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400
        (tmp_path / "interactions.jsonl").unlink()


def test_core_and_format_are_checked(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    with pytest.raises(DatasetError, match="core -1: expected 0"):
        load_dataset(tmp_path, core=-1)
    with pytest.raises(DatasetError, match="format 'csv': expected auto, tabular, recbole"):
        load_dataset(tmp_path, format="csv")
