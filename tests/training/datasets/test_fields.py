"""Fields of items: those that cannot be read cost no more than themselves, and attributes have one type a column."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets import ColumnMap, DatasetError, load_dataset


def write(folder: Path, name: str, items: str) -> Path:
    (folder / "interactions.csv").write_text("user_id,item_id\nu,a\nu,b\n", encoding="utf-8")
    (folder / name).write_text(items, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('"price": "$5 - $9"', "price '$5 - $9': expected one amount"),
        ('"price": -1', "price -1 must be a finite number, zero or more"),
        ('"price": 1e999', "price inf must be"),
        ('"price": [1]', "price [1] must be a number, not list"),
        ('"w": {"w": 3}', "attributes.w {'w': 3} must be"),
        ('"attributes": {"w": [3]}', "attributes.w [3] must be"),
        ('"attributes": [1]', "attributes [1]: expected an object"),
        ('"attributes": {"size": 2}', "is a column, too"),
        ('"attributes": {" ": 2}', "attributes 2 every name must be a string that is not blank"),
        ('"attributes": {"size ": 2}', "attributes.size 2 is given twice"),
    ],
)
def test_a_bad_price_or_attribute_costs_itself_alone(tmp_path: Path, row: str, message: str) -> None:
    write(tmp_path, "items.jsonl", f'{{"item_id": "a", "title": "Apple", "size": "XL", "brand": "Ann", {row}}}\n')
    with pytest.raises(DatasetError, match=r"^1 field cannot be used \(1 invalid_field\):") as caught:
        load_dataset(tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.kind) == (1, "invalid_field")
    assert message in problem.message
    dataset = load_dataset(tmp_path, on_error="drop")
    item = dataset.items[0]
    assert item.to_text() == "Apple;Ann"
    assert item.attributes == {"size": "XL"}
    assert dataset.report.problem_counts == {"invalid_field": 1}
    (loss,) = dataset.report.summary_of_losses()
    assert loss.startswith("left out 1 field with problems (1 invalid_field)")


def test_each_bad_field_of_an_item_is_named(tmp_path: Path) -> None:
    row = '{"item_id": "a", "title": "Apple", "price": "free", "w": {}, "h": null, "d": [2], "size": 3}\n'
    dataset = load_dataset(write(tmp_path, "items.jsonl", row), on_error="drop")
    assert [problem.message.split()[0] for problem in dataset.report.problems] == [
        "price",
        "attributes.w",
        "attributes.d",
    ]
    assert dataset.items[0].to_dict() == {"item_id": "a", "title": "Apple", "attributes": {"size": 3}}


def test_a_bad_field_of_a_bad_item_is_no_loss_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, "items.jsonl", '{"item_id": "a", "title": 3, "w": {}}\n')
    assert load_dataset(tmp_path, on_error="drop").report.problem_counts == {"invalid_item": 1}


def test_prices_with_a_decimal_comma(tmp_path: Path) -> None:
    write(tmp_path, "items.csv", "item_id;title;price\na;Apple;9,99\nb;Bread;1.299,00\n")
    assert [item.price for item in load_dataset(tmp_path).items] == [9.99, 1299.0]


def test_columns_that_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "items.jsonl", '{"item_id": "a", "title": "Apple", "price": "free", "w": {"w": 3}, "x": 1}\n')
    columns = ColumnMap.from_options(["ignore=price", "ignore=w"])
    dataset = load_dataset(tmp_path, columns=columns)
    assert dataset.items[0].to_dict() == {"item_id": "a", "title": "Apple", "attributes": {"x": 1}}
    assert dataset.report.columns[1].not_read == ["price", "w"]
    with pytest.raises(DatasetError, match=r"column ignore=dims: no such column: .*items\.jsonl has item_id, title"):
        load_dataset(tmp_path, columns=ColumnMap.from_options(["ignore=dims"]))
    for pairs in (["ignore="], ["ignore=a", "title=a"]):
        with pytest.raises(DatasetError):
            ColumnMap.from_options(pairs)


def test_columns_of_recbole_and_of_interactions_are_ignored(tmp_path: Path) -> None:
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\ttimestamp:float\nu\ta\tlate\n")
    (tmp_path / "x.item").write_text("item_id:token\ttitle:token\tsize:float\na\tApple\tbig\n")
    dataset = load_dataset(tmp_path, columns=ColumnMap.from_options(["ignore=timestamp", "ignore=size"]))
    assert dataset.timestamps is None
    assert dataset.items[0].to_dict() == {"item_id": "a", "title": "Apple"}
    (tmp_path / "x.inter").write_text("user_id:token\titem_id:token\nu\ta\n")
    dataset = load_dataset(tmp_path, on_error="drop")
    assert dataset.items[0].to_dict() == {"item_id": "a", "title": "Apple"}
    assert dataset.report.problem_counts == {"invalid_field": 1}


def test_a_column_without_a_name_is_not_read(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "items.csv", ",item_id,title\n0,a,Apple\n1,b,Bread\n"))
    assert dataset.items[0].to_dict() == {"item_id": "a", "title": "Apple"}
    assert dataset.report.columns[1].not_read == ["(no name)"]


@pytest.mark.parametrize(
    ("cells", "expected", "kind"),
    [
        (("true", "FALSE"), (True, False), "true or false"),
        (("true", "yes"), ("true", "yes"), "text"),
        (("true", "1"), ("true", "1"), "text"),
        (("3", "-12"), (3, -12), "number"),
        (("3", "2.50"), (3.0, 2.5), "number"),
        (("0.1", "0.30000000000000004"), (0.1, 0.30000000000000004), "number"),
        (("0", "0.0"), (0.0, 0.0), "number"),
        (("7", "007"), ("7", "007"), "text"),
        (("1", "4006381333931123"), ("1", "4006381333931123"), "text"),
        (("1", "1e5"), ("1", "1e5"), "text"),
        (("1", "nan"), ("1", "nan"), "text"),
        (("1", "1,5"), ("1", "1,5"), "text"),
        (("1", "١"), ("1", "١"), "text"),
        (("1", ""), (1, None), "number"),
        (("true", "  "), (True, None), "true or false"),
        (("", ""), (None, None), ""),
    ],
)
@pytest.mark.parametrize("sign", [",", "\t"])
def test_attributes_of_csv_and_tsv_have_one_type_a_column(
    tmp_path: Path, cells: tuple[str, str], expected: tuple[object, object], kind: str, sign: str
) -> None:
    rows = [("item_id", "title", "extra"), ("a", "7", cells[0]), ("b", "true", cells[1])]
    text = "".join(sign.join(f'"{cell}"' for cell in row) + "\n" for row in rows)
    dataset = load_dataset(write(tmp_path, "items.csv" if sign == "," else "items.tsv", text))
    found = [item.attributes.get("extra") for item in dataset.items]
    assert found == list(expected)
    assert [type(value) for value in found] == [type(value) for value in expected]
    assert [item.title for item in dataset.items] == ["7", "true"]
    assert dataset.report.columns[1].attributes == {"extra": kind}


def test_texts_of_json_keep_their_type(tmp_path: Path) -> None:
    dataset = load_dataset(write(tmp_path, "items.jsonl", '{"item_id": "a", "size": "3", "new": true, "ok": "true"}\n'))
    assert dataset.items[0].attributes == {"size": "3", "new": True, "ok": "true"}
    (tmp_path / "items.jsonl").unlink()
    nested = 'item_id,attributes\na,"{""size"": ""3""}"\n'
    assert load_dataset(write(tmp_path, "items.csv", nested)).items[0].attributes == {"size": "3"}
