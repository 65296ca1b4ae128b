"""RecBole, raw Amazon and S3-Rec files, and how a path is recognised."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from training.datasets import ColumnMap, Dataset, DatasetError, load_dataset
from training.datasets.recbole import split_categories

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"


def ids(dataset: Dataset) -> dict[str, list[str]]:
    return {
        user: [dataset.items[index].item_id for index in sequence.tolist()]
        for user, sequence in zip(dataset.user_ids, dataset.sequences, strict=True)
    }


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def test_recbole(tmp_path: Path) -> None:
    write(tmp_path, "shop.inter", INTER + "u\ta\t5.0\t20.0\nu\tb\t1.0\t1.0e1\nv\ta\t3\t5\n")
    header = "item_id:token\ttitle:token_seq\tcategories:token_seq\tprice:float\tstars:float\ttags:token_seq\n"
    write(tmp_path, "shop.item", header + 'a\tThe "big" apple\tSkin Face\t$3.5\t4.5\tx y\nb\t\t\t\t\t\n')
    dataset = load_dataset(tmp_path)
    assert dataset.report.recognised == "recbole: shop.inter with shop.item"
    assert dataset.name == "shop"
    assert ids(dataset) == {"u": ["b", "a"], "v": ["a"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [10, 20]
    assert dataset.weights is None
    assert dataset.report.columns[0].not_read == ["rating"]
    apple, bare = dataset.items
    assert (apple.title, apple.price, apple.categories) == ('The "big" apple', 3.5, ("Skin", "Face"))
    assert apple.attributes == {"stars": 4.5, "tags": ["x", "y"]}
    assert bare.to_dict() == {"item_id": "b"}
    weighted = load_dataset(tmp_path, columns=ColumnMap({"weight": "rating"}))
    assert weighted.weights is not None
    assert weighted.weights[0].tolist() == [1.0, 5.0]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("Animation Comedy", ["Animation", "Comedy"]),
        ("'Skin Care', 'Face'", ["Skin Care", "Face"]),
        ("['Skin Care', \"Women's\"]", ["Skin Care", "Women's"]),
        ("Food, Coffee & Tea", ["Food", "Coffee & Tea"]),
        ("Skin Care|Face", ["Skin Care", "Face"]),
        ("'n' Sync", ["'n'", "Sync"]),
    ],
)
def test_recbole_categories_as_published_files_spell_them(cell: str, expected: list[str]) -> None:
    assert split_categories(cell) == expected


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("user_id\titem_id:token", "expected tab separated names such as user_id:token"),
        ("user_id:token\titem_id:text", "of type token, token_seq, float, float_seq"),
        ("user_id:token\tuser_id:token", "'user_id' more than once"),
        ("user_id:token\tasin:token", "no column item_id; found: user_id, asin"),
        ("", "the file is empty"),
    ],
)
def test_recbole_headers_that_are_none(tmp_path: Path, header: str, message: str) -> None:
    path = write(tmp_path, "shop.inter", header and f"{header}\nu\ta\n")
    with pytest.raises(DatasetError, match=message):
        load_dataset(path)


def test_recbole_rows_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path, "shop.inter", INTER + "u\ta\t5\n" + "u\ta\t5\t1\nu\tb\t5\tlate\n")
    write(tmp_path, "shop.item", "item_id:token\tstars:float\tprice:float\na\tmany\t1\nb\tnan\t1\nc\t1\tfree\n")
    report = load_dataset(tmp_path, on_error="drop").report
    assert [(Path(p.file).name, p.line, p.kind) for p in report.problems] == [
        ("shop.inter", 2, "malformed_row"),
        ("shop.inter", 4, "invalid_timestamp"),
        ("shop.item", 2, "invalid_field"),
        ("shop.item", 3, "invalid_field"),
        ("shop.item", 4, "invalid_field"),
    ]
    assert report.problems[2].message == "stars 'many': expected a number, as the header says float"


REVIEWS_2014 = [
    {"reviewerID": "A1", "asin": "B2", "overall": 1.0, "unixReviewTime": 1400000000},
    {"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1300000000},
    {"reviewerID": "A2", "asin": "B1", "overall": 5.0, "unixReviewTime": 1300000000},
]


def write_2014(folder: Path, meta: list[str]) -> None:
    write(folder, "reviews_Beauty_5.json.gz", "".join(json.dumps(row) + "\n" for row in REVIEWS_2014))
    write(folder, "meta_Beauty.json.gz", "\n".join(meta) + "\n")


def test_amazon_2014_in_json_and_in_python_literals(tmp_path: Path) -> None:
    first = {
        "asin": "B1",
        "title": "Dr. Scholl&#39;s \\o/ Cream",
        "price": 3.5,
        "brand": "Dr. Scholl&#39;s",
        "categories": [["Beauty", "Skin Care", "Face"], ["Beauty", "Skin Care", "Hands"]],
        "description": "Good &amp; cheap",
        "salesRank": {"Beauty": 5},
    }
    unseen = "{'asin': 'B9', 'title': 'never bought'}"
    stray = r"{'title': 'Nail \polish', 'asin': 'B2'}"
    write_2014(tmp_path, [repr(first), unseen, stray, json.dumps({"title": "late asin", "asin": "B8"})])
    dataset = load_dataset(tmp_path)
    assert dataset.report.recognised == "amazon2014: reviews_Beauty_5.json.gz with meta_Beauty.json.gz"
    assert ids(dataset) == {"A1": ["B1", "B2"], "A2": ["B1"]}
    assert [item.item_id for item in dataset.items] == ["B1", "B2"]
    cream, nails = dataset.items
    assert (cream.title, cream.brand, cream.price) == ("Dr. Scholl's \\o/ Cream", "Dr. Scholl's", 3.5)
    assert cream.categories == ("Skin Care", "Face", "Hands")
    assert cream.description == "Good & cheap"
    assert nails.title == "Nail \\polish"
    assert dataset.report.dropped["item rows without interactions"] == 2
    assert load_dataset(tmp_path, catalogue="all").n_items == 4


def test_amazon_2014_never_evaluates_a_line(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    lines = [f"{{'asin': open({str(trap)!r}, 'w')}}", "{'asin': 'B1', 'title': ", "(" * 5000, "['asin']"]
    write_2014(tmp_path, lines)
    report = load_dataset(tmp_path, on_error="drop").report
    assert not trap.exists()
    assert [(p.line, p.kind) for p in report.problems] == [(n, "malformed_row") for n in (1, 2, 3, 4)]
    assert report.problems[0].message.endswith("expected a JSON object or a Python dictionary")
    assert report.items_without_text == 2


def test_amazon_2014_without_its_meta_file(tmp_path: Path) -> None:
    write_2014(tmp_path, [])
    (tmp_path / "meta_Beauty.json.gz").unlink()
    dataset = load_dataset(tmp_path / "reviews_Beauty_5.json.gz")
    assert dataset.report.items_without_text == 2
    assert any("no meta file" in note for note in dataset.report.notes)


def test_amazon_2023(tmp_path: Path) -> None:
    reviews = [
        {"user_id": "U", "parent_asin": "P2", "asin": "X", "timestamp": 1588687728923, "rating": 5.0},
        {"user_id": "U", "parent_asin": "P1", "asin": "Y", "timestamp": 1577836800, "rating": 5.0},
        {"user_id": "U", "parent_asin": "P2", "asin": "Z", "timestamp": 1588687728923, "rating": 5.0},
        {"user_id": "U", "asin": "Y", "timestamp": 1577836800000},
    ]
    meta = [
        {
            "parent_asin": "P1",
            "title": "Comb &amp; Brush",
            "store": "Shop",
            "details": {"Brand": "Combine"},
            "price": "from 3.99",
            "categories": ["Beauty", "Combs"],
            "description": ["Two", "parts"],
            "main_category": "All Beauty",
            "average_rating": 4.8,
        },
        {"parent_asin": "P2", "title": "Cream", "store": "Shop", "price": 12.5, "categories": [], "description": []},
        {"parent_asin": "P3", "title": "never bought"},
    ]
    write(tmp_path, "All_Beauty.jsonl.gz", "".join(json.dumps(row) + "\n" for row in reviews))
    write(tmp_path, "meta_All_Beauty.jsonl.gz", "".join(json.dumps(row) + "\n" for row in meta))
    with pytest.raises(DatasetError, match=r"All_Beauty\.jsonl\.gz:4: missing_value: item_id is missing"):
        load_dataset(tmp_path)
    dataset = load_dataset(tmp_path, on_error="drop")
    assert dataset.report.format == "amazon2023"
    assert ids(dataset) == {"U": ["P1", "P2"]}
    assert dataset.timestamps is not None
    assert dataset.timestamps[0].tolist() == [1577836800, 1588687728]
    comb, cream = dataset.items
    assert (comb.title, comb.brand, comb.price) == ("Comb & Brush", "Combine", None)
    assert (comb.categories, comb.description) == (("Beauty", "Combs"), "Two parts")
    assert comb.attributes == {"main_category": "All Beauty"}
    assert (cream.brand, cream.price, cream.description) == ("Shop", 12.5, None)
    assert dataset.report.dropped["prices that are not one amount"] == 1
    assert dataset.report.dropped["item rows without interactions"] == 1
    assert dataset.report.dropped["duplicate interactions (same user, item and second)"] == 1


def write_s3rec(folder: Path, sequences: str, texts: str) -> None:
    write(folder, "Toys.txt", sequences)
    write(folder, "Toys_item2attributes_text.json", texts)


def test_s3rec(tmp_path: Path) -> None:
    write_s3rec(tmp_path, "1 2 10 1\n2 1\n", '{"10": "ten", "2": "two", "1": "one"}')
    dataset = load_dataset(tmp_path)
    assert dataset.report.recognised == "s3rec: Toys.txt with Toys_item2attributes_text.json"
    assert [item.to_text() for item in dataset.items] == ["one", "two", "ten"]
    assert [sequence.tolist() for sequence in dataset.sequences] == [[1, 2, 0], [0]]
    assert dataset.timestamps is None


@pytest.mark.parametrize(
    ("sequences", "texts", "message"),
    [
        ("1 2\n1 3\n", "{}", r"Toys\.txt:2: repeated_user: user '1' is already in line 1"),
        ("1 2\n2\n", "{}", r"Toys\.txt:2: missing_value: user '2' has no items"),
        ("1 2\n2 \x07\n", "{}", r"Toys\.txt:2: invalid_id: item_id '\\x07' holds the control"),
        ("1 2\n", '{"2": 5}', "invalid_item: text 5 must be a string"),
        ("1 2\n", '{"2": "x", "2": "y"}', "conflicting_item: item_id '2' is described differently"),
        ("1 2\n", "[1]", r"text\.json: expected one JSON object of item and text"),
        ("1 2\n", '{"2": "x"', r"text\.json: expected one JSON object of item and text: not JSON"),
        ("", "{}", "the data set is empty"),
    ],
)
def test_s3rec_refuses(tmp_path: Path, sequences: str, texts: str, message: str) -> None:
    write_s3rec(tmp_path, sequences, texts)
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path)


def test_a_fixed_format_takes_no_column_map(tmp_path: Path) -> None:
    write_s3rec(tmp_path, "1 2\n", "{}")
    with pytest.raises(DatasetError, match="s3rec has fixed columns"):
        load_dataset(tmp_path, columns=ColumnMap({"item_id": "asin"}))
    with pytest.raises(DatasetError, match="s3rec has a fixed time unit"):
        load_dataset(tmp_path, time_unit="ms")


def test_nothing_recognised_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        load_dataset(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="the folder is empty"):
        load_dataset(tmp_path)
    write(tmp_path, "notes.txt", "hello")
    with pytest.raises(DatasetError) as caught:
        load_dataset(tmp_path)
    for part in ("notes.txt", "interactions.{csv,tsv,parquet,jsonl}", "NAME.inter", "reviews_NAME_5.json.gz"):
        assert part in str(caught.value)
    with pytest.raises(DatasetError, match="not recognised by their names"):
        load_dataset((tmp_path / "notes.txt", tmp_path / "notes.txt"))


def test_more_than_one_data_set_must_be_chosen_from(tmp_path: Path) -> None:
    write(tmp_path, "interactions.csv", "user_id,item_id\nu,a\n")
    write_s3rec(tmp_path, "1 2\n", '{"2": "two"}')
    with pytest.raises(DatasetError, match="holds more than one data set") as caught:
        load_dataset(tmp_path)
    assert "tabular: interactions.csv, without an items file" in str(caught.value)
    assert load_dataset(tmp_path, format="s3rec").report.format == "s3rec"
    assert load_dataset(tmp_path / "Toys.txt").user_ids == ["1"]
    write(tmp_path, "items.csv", "item_id\na\n")
    write(tmp_path, "items.jsonl", "")
    with pytest.raises(DatasetError, match=r"more than one items file: items\.csv, items\.jsonl"):
        load_dataset(tmp_path, format="tabular")


def test_a_pair_of_files_of_any_name(tmp_path: Path) -> None:
    bought = write(tmp_path, "bought.tsv", "user_id\titem_id\nu\ta\n")
    goods = write(tmp_path, "goods.jsonl", '{"item_id": "a", "title": "Apple"}\n')
    dataset = load_dataset((bought, goods), name="shop")
    assert (dataset.name, dataset.items[0].title) == ("shop", "Apple")
    assert load_dataset(bought).items[0].title is None
    write(tmp_path, "items.csv", "item_id,title\na,Pear\n")
    assert load_dataset(bought).items[0].title == "Pear"


def test_items_of_another_name_go_with_the_interactions_of_a_folder(tmp_path: Path) -> None:
    shop = tmp_path / "shop"
    shop.mkdir()
    write(shop, "interactions.csv", "user_id,item_id\nu,a\n")
    goods = write(tmp_path, "goods.jsonl", '{"item_id": "a", "title": "Apple"}\n')
    dataset = load_dataset((shop, goods))
    assert (dataset.name, dataset.items[0].title) == ("shop", "Apple")
    pears = write(shop, "items.csv", "item_id,title\na,Pear\n")
    write(shop, "items.jsonl", "")
    assert load_dataset((shop, pears)).items[0].title == "Pear"
    with pytest.raises(DatasetError, match=r"that goes with .*goods\.jsonl; name the file"):
        load_dataset((tmp_path, goods))
