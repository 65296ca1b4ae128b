"""CSV and TSV: quotes that stray, cells that hold line ends, what separates the cells."""

from __future__ import annotations

from pathlib import Path

import pytest

from training.datasets import DatasetError, load_dataset
from training.datasets.delimited import DelimitedTable
from training.datasets.problems import ProblemLog


def write(folder: Path, items: str, interactions: str = "user_id,item_id\nu,a\n") -> Path:
    (folder / "interactions.csv").write_text(interactions, encoding="utf-8")
    (folder / "items.csv").write_text(items, encoding="utf-8")
    return folder


def read(path: Path, text: str) -> tuple[list[tuple[int, str]], list[int]]:
    """(line, title) of the records of a file with this text, and the lines with problems."""
    path.write_text(text, encoding="utf-8")
    problems = ProblemLog()
    table = DelimitedTable(path, problems)
    records = [(line, record["title"]) for line, record in table.records()]
    return records, [problem.line for problem in problems.problems]


def test_an_open_quote_spoils_one_row(tmp_path: Path) -> None:
    rows = [f"i{n},Item {n},{n}" for n in range(200)]
    rows[10] = 'i10,"Item 10,10'
    write(tmp_path, "item_id,title,price\n" + "\n".join(rows) + "\n")
    with pytest.raises(DatasetError, match=r"items\.csv:12: malformed_row: 'i10,\"Item 10,10': .*unclosed") as caught:
        load_dataset(tmp_path)
    assert caught.value.counts == {"malformed_row": 1}
    dataset = load_dataset(tmp_path, on_error="drop")
    assert sum(item.title is not None for item in dataset.items) == 199


def test_rows_that_a_stray_quote_had_swallowed_are_read_again(tmp_path: Path) -> None:
    lines = [
        "item_id,title,price",  # 1
        'a,"open,1',  # 2: closed by the quote of line 4, behind which there is more
        "b,Bread,2",  # 3
        'c,"Two',  # 4
        'lines",3',  # 5
        'd,"open,4',  # 6: closed at the end of line 8, with too few fields
        "e,Egg,5",  # 7
        'f,7,"',  # 8: opens one that line 9 closes
        '"',  # 9
        "g,Grape,8",  # 10
    ]
    records, bad = read(tmp_path / "items.csv", "\n".join(lines) + "\n")
    assert records == [(3, "Bread"), (4, "Two\nlines"), (7, "Egg"), (8, "7"), (10, "Grape")]
    assert bad == [2, 6]


def test_lone_quotes_are_not_blank_lines(tmp_path: Path) -> None:
    records, bad = read(tmp_path / "items.csv", 'item_id,title,price\n""\n"\n"\na,Apple,1\n')
    assert records == [(5, "Apple")]
    assert bad == [3, 4]


@pytest.mark.parametrize("row", ['x","y,1', 'a,"open', 'a,"","open', '"', '""",1'])
def test_many_stray_quotes_take_time_by_the_line(tmp_path: Path, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = 0
    feed = DelimitedTable._feed

    def counting(self: DelimitedTable, *arguments: object) -> object:
        nonlocal seen
        for line in feed(self, *arguments):  # type: ignore[arg-type]
            seen += 1
            yield line

    monkeypatch.setattr(DelimitedTable, "_feed", counting)
    read(tmp_path / "items.csv", "item_id,title,price\n" + f"{row}\n" * 3000)
    assert seen <= 2 * 3000


@pytest.mark.parametrize("sign", [";", "\t"])
def test_a_csv_may_be_separated_otherwise(tmp_path: Path, sign: str) -> None:
    items = 'item_id,title,price\na,"Apple, red",1\n'.replace(",", sign).replace(f"Apple{sign}", "Apple,")
    write(tmp_path, items, "user_id,item_id,timestamp\nu,a,7\n".replace(",", sign))
    dataset = load_dataset(tmp_path)
    assert (dataset.items[0].title, dataset.items[0].price) == ("Apple, red", 1.0)
    assert dataset.timestamps is not None


def test_a_header_with_a_comma_is_separated_by_commas(tmp_path: Path) -> None:
    write(tmp_path, "item_id,title,size;cm\na,Apple;red,3\n")
    item = load_dataset(tmp_path).items[0]
    assert item.title == "Apple;red"
    assert "size;cm" in item.attributes


def test_the_example_for_a_missing_column_can_be_pasted(tmp_path: Path) -> None:
    write(tmp_path, "item_id\na\n", "user_id,item $(id),timestamp\nu,a,1\n")
    with pytest.raises(DatasetError, match=r"for example --column 'item_id=item \$\(id\)'"):
        load_dataset(tmp_path)
    write(tmp_path, "item_id\na\n", "user_id,timestamp\nu,1\n")
    with pytest.raises(DatasetError, match=r"Name the column that holds it$"):
        load_dataset(tmp_path)
