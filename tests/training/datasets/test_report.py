"""The report: dates, what each column became, warnings of what makes a useless model, problems by kind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from training.datasets import ColumnMap, DatasetError, DatasetReport, load_dataset
from training.datasets.problems import ProblemLog


def write(folder: Path, interactions: str, items: str | None = None) -> Path:
    (folder / "interactions.csv").write_text(interactions, encoding="utf-8")
    if items is not None:
        (folder / "items.csv").write_text(items, encoding="utf-8")
    return folder


def report_of(folder: Path, **options: object) -> DatasetReport:
    return load_dataset(folder, on_error="drop", **options).report  # type: ignore[arg-type]


def test_the_first_and_the_last_day(tmp_path: Path) -> None:
    write(tmp_path, "user_id,item_id,timestamp\nu,a,1262304000\nv,a,2010-03-04T23:30:00-01:00\n")
    report = report_of(tmp_path)
    assert (report.first_date, report.last_date) == ("2010-01-01", "2010-03-05")
    assert "first to last day   2010-01-01 to 2010-03-05" in report.lines()
    assert report.to_dict()["last_date"] == "2010-03-05"
    write(tmp_path, "user_id,item_id,timestamp\nu,a,0001-01-01\nv,a,9999-12-31\n")
    assert report_of(tmp_path).dates() == "0001-01-01 to 9999-12-31"
    write(tmp_path, "user_id,item_id\nu,a\n")
    assert report_of(tmp_path).dates() == "no timestamps"


def test_seconds_that_are_read_as_milliseconds(tmp_path: Path) -> None:
    write(tmp_path, "user_id,item_id,timestamp\nu,a,1262304000\nv,a,1362304000\n")
    (warning,) = report_of(tmp_path, time_unit="ms").warnings
    assert "before 1971: are these seconds? Then leave out --time-unit ms" in warning
    assert report_of(tmp_path).warnings == []
    write(tmp_path, "user_id,item_id,timestamp\nu,a,1262304000\nv,a,1362304000000\n")
    assert report_of(tmp_path, time_unit="ms").warnings == []


def test_milliseconds_that_are_read_as_seconds(tmp_path: Path) -> None:
    write(tmp_path, "user_id,item_id,timestamp\nu,a,1262304000123\n")
    with pytest.raises(DatasetError, match=r"a time in milliseconds\? add --time-unit ms"):
        load_dataset(tmp_path)
    write(tmp_path, "user_id,item_id,timestamp\nu,a,1e30\n")
    with pytest.raises(DatasetError, match=r"within the years 1 to 9999$"):
        load_dataset(tmp_path)


def test_identifiers_that_do_not_match_are_warned_of(tmp_path: Path) -> None:
    bought = "user_id,item_id\n" + "".join(f"u,SKU-{n}\n" for n in range(9))
    write(tmp_path, bought, "item_id,title\n" + "".join(f"sku-{n},Item {n}\n" for n in range(9)))
    report = report_of(tmp_path)
    (warning,) = report.warnings
    assert warning.startswith("9 of the 9 items in the interactions have no row in the items file")
    assert "'SKU-0' is one" in warning
    assert "rows such as 'sku-0'" in warning
    assert report.lines()[0] == f"WARNING             {warning}"
    assert report.to_dict()["warnings"] == [warning]
    # Five of nine are warned of, four of nine are not, nor is a data set without an items file.
    for matching, warned in ((4, True), (5, False)):
        write(tmp_path, bought, "item_id,title\n" + "".join(f"SKU-{n},Item {n}\n" for n in range(matching)))
        assert bool(report_of(tmp_path).warnings) == warned
    (tmp_path / "items.csv").unlink()
    assert report_of(tmp_path).warnings == []


def test_what_each_column_became(tmp_path: Path) -> None:
    write(
        tmp_path,
        "user_id,sku,timestamp,stars\nu,a,1,5\nu,b,2,5\n",
        "sku,name,colour,in_stock\na,Apple,red,TRUE\nb,Bread,brown,false\n",
    )
    report = report_of(tmp_path, columns=ColumnMap({"item_id": "sku", "title": "name"}))
    lines = [line for line in report.lines() if line.startswith("columns ")]
    assert lines == [
        "columns             interactions.csv: user_id, item_id from sku, timestamp; not read: stars",
        "columns             items.csv: item_id from sku, title from name; "
        "attributes: colour (text), in_stock (true or false)",
    ]
    columns = json.loads(json.dumps(report.to_dict()))["columns"]
    assert columns[1]["fields"] == {"item_id": "sku", "title": "name"}
    assert report.warnings == []
    (warning,) = report_of(tmp_path, columns=ColumnMap({"item_id": "sku"})).warnings
    assert "no column title, brand, categories, description or text" in warning
    assert "--column title=name" in warning


def test_problems_of_each_kind_and_field_show_three_examples(tmp_path: Path) -> None:
    prices = "".join(f"i{n},Item,free\n" for n in range(2000))
    write(tmp_path, "user_id,item_id\nu,i0\n", f"item_id,title,price\n{prices},Late,1\nb,Bread\n")
    report = report_of(tmp_path)
    lines = report.lines()
    assert "problems            2,002" in lines
    shown = [line.rpartition("items.csv:")[2] for line in lines if "items.csv:" in line and line.startswith("  ")]
    assert [line.split(":")[:2] for line in shown] == [
        ["2", " invalid_field"],
        ["3", " invalid_field"],
        ["4", " invalid_field"],
        ["2002", " missing_value"],  # however many stand before it
        ["2003", " malformed_row"],
    ]
    assert "  and 1,997 more invalid_field of price" in lines
    groups = json.loads(json.dumps(report.to_dict()))["problem_groups"]
    assert [(group["kind"], group["field"], group["count"]) for group in groups] == [
        ("invalid_field", "price", 2000),
        ("missing_value", "item_id", 1),
        ("malformed_row", "", 1),
    ]
    assert "left out 2 rows and 2,000 fields with problems" in report.summary_of_losses()[-1]


def test_fields_without_end_are_grouped_without_end(tmp_path: Path) -> None:
    log = ProblemLog()
    for number in range(5000):
        log.add(tmp_path / "x", number, "invalid_field", "bad", f"attributes.{number}")
    assert len(log.groups) <= 101
    assert sum(group.count for group in log.groups) == 5000
    with pytest.raises(DatasetError, match=r"and 4,980 of other kinds$") as caught:
        log.raise_if_any()
    assert len(str(caught.value).splitlines()) == 22


def test_bad_bytes_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(b"user_id,item_id\nu,a\nu,caf\xe9\n")
    with pytest.raises(DatasetError, match="encoding: the line is not UTF-8; save the file as UTF-8"):
        load_dataset(tmp_path)
