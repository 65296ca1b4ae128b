"""Damaged files of every form: either a `DatasetError` or a data set that keeps its promises, nothing else."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.datasets import Dataset, DatasetError, load_dataset

ROUNDS = 120


def parquet(columns: dict[str, list[object]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


CSV = b'user_id,item_id,timestamp,weight\nu,a,10,1\nu,b,2010-01-01,2.5\nv,"a",1262304000,1e3\nv,c,7,1\n'
ITEMS = (
    b'{"item_id": "a", "title": "Apple", "price": 1.5, "categories": ["x", "y"], "size": 3}\n'
    b'{"item_id": "b", "brand": "Bee", "attributes": {"colour": "red"}}\n'
)
ITEMS_CSV = b'item_id,title,price,categories\na,"Apple, ""red""\nround",$1.50,x|y\nb,Bread,2,"[""x""]"\n'
ITEM = b"item_id:token\ttitle:token\tprice:float\tcategories:token_seq\tsize:float\na\tApple\t1.5\t'x', 'y'\t3\n"
FILES: dict[str, dict[str, bytes]] = {
    "csv": {"interactions.csv": CSV, "items.csv": ITEMS_CSV},
    "gzip": {"interactions.csv.gz": gzip.compress(CSV), "items.jsonl.gz": gzip.compress(ITEMS)},
    "jsonl": {
        "interactions.jsonl": b'{"user_id": "u", "item_id": "a", "timestamp": 3}\n' * 3,
        "items.jsonl": ITEMS,
    },
    "parquet": {
        "interactions.parquet": parquet({"user_id": ["u", "v"], "item_id": ["a", "b"], "timestamp": [1, 2]}),
        "items.parquet": parquet({"item_id": ["a", "b"], "title": ["Apple", None], "price": [1.5, None]}),
    },
    "recbole": {
        "x.inter": b"user_id:token\titem_id:token\ttimestamp:float\nu\ta\t1.0\nu\tb\t2\n",
        "x.item": ITEM,
    },
    "amazon2014": {
        "reviews_X_5.json": b'{"reviewerID": "u", "asin": "a", "unixReviewTime": 5}\n' * 2,
        "meta_X.json": b"{'asin': 'a', 'title': 'App\\'le', 'categories': [['X', 'y']], 'price': 1.5}\n",
    },
    "amazon2023": {
        "X.jsonl": b'{"user_id": "u", "parent_asin": "a", "timestamp": 1588687728923}\n' * 2,
        "meta_X.jsonl": b'{"parent_asin": "a", "title": "Apple", "price": "from 3", "details": {"Brand": "b"}}\n',
    },
    "s3rec": {"X.txt": b"1 2 3\n2 3\n", "X_item2attributes_text.json": b'{"2": "two", "3": "three"}'},
}
# What files are damaged with: signs of the formats, values at the edge, bytes that are no text.
PIECES = (
    b"\x00", b"\xff", b"\xed\xa0\x80", b'"', b"'", b",", b"\t", b"\n", b"\r", b"{", b"[", b"}", b"]", b":", b"\\", b" ",
    b"nan", b"-inf", b"NaN", b"1e999", b"9" * 400, b"-1", b"null", b"true", b"\\ud800", b"x" * 400, b"[" * 300,
)  # fmt: skip


def damage(data: bytes, random: np.random.Generator) -> bytes:
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(0, len(data) + 1))
        match int(random.integers(0, 4)):
            case 0:
                data = data[:at]
            case 1:
                data = data[:at] + data[at + int(random.integers(1, 9)) :]
            case 2:
                data = data[:at] + PIECES[int(random.integers(0, len(PIECES)))] + data[at:]
            case _:
                data = data[:at] + bytes([int(random.integers(0, 256))]) + data[at + 1 :]
    return data


def keeps_its_promises(dataset: Dataset) -> bool:
    dataset.fingerprint()
    "\n".join(dataset.report.lines()).encode()
    sequences = dataset.sequences
    return (
        dataset.n_interactions > 0
        and len(set(dataset.user_ids)) == dataset.n_users == len(sequences)
        and len({item.item_id for item in dataset.items}) == dataset.n_items
        and all(len(row) and row.min() >= 0 and row.max() < dataset.n_items for row in sequences)
        and (dataset.timestamps is None or all((np.diff(times) >= 0).all() for times in dataset.timestamps))
        and (dataset.weights is None or all((np.isfinite(row) & (row > 0)).all() for row in dataset.weights))
    )


@pytest.mark.parametrize("form", sorted(FILES))
def test_damaged_files(tmp_path: Path, form: str) -> None:
    random = np.random.default_rng(sum(form.encode()))
    read = refused = 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, data in FILES[form].items():
            (folder / name).write_bytes(damage(data, random) if random.random() < 0.7 else data)
        for on_error in ("fail", "drop"):
            try:
                dataset = load_dataset(folder, on_error="fail" if on_error == "fail" else "drop")
            except DatasetError as error:
                refused += 1
                str(error).encode()
            else:
                read += 1
                assert keeps_its_promises(dataset)
    assert read
    assert refused


@pytest.mark.parametrize("form", sorted(FILES))
def test_the_same_files_undamaged(tmp_path: Path, form: str) -> None:
    for name, data in FILES[form].items():
        (tmp_path / name).write_bytes(data)
    dataset = load_dataset(tmp_path)
    assert keeps_its_promises(dataset)
    assert not dataset.report.problems
