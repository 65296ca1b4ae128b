"""`load_dataset` reads any known format into one `Dataset`."""

from __future__ import annotations

from typing import Literal

from training.datasets.amazon import read_amazon2014, read_amazon2023
from training.datasets.assemble import assemble
from training.datasets.base import Dataset
from training.datasets.collect import RawData
from training.datasets.columns import ColumnMap
from training.datasets.detect import FORMATS, DataPath, Source, detect
from training.datasets.problems import DatasetError, OnError, ProblemLog
from training.datasets.recbole import read_recbole
from training.datasets.s3rec import read_s3rec
from training.datasets.tabular import read_tabular
from training.datasets.values import TimeUnit


def load_dataset(
    path: DataPath,
    *,
    format: str = "auto",
    columns: ColumnMap | None = None,
    time_unit: TimeUnit = "s",
    core: int = 0,
    catalogue: Literal["auto", "all", "interacted"] = "auto",
    on_error: OnError = "fail",
    name: str | None = None,
) -> Dataset:
    """Read a data set from a folder or a file of interactions, alone or in a pair with a file of items.

    `columns` and `time_unit` apply to tabular and RecBole files, whose columns are free. `core` = k keeps the k-core
    (every user and item with k interactions or more); 0 keeps all interactions, because published files come filtered.
    `catalogue` = "all" keeps items without interactions as cold items, which Kindred can recommend; "interacted" drops
    them; "auto" keeps them except for raw Amazon files, whose meta file covers the whole shop. `on_error` = "drop"
    counts rows with problems and leaves them out.

    Raises `DatasetError` that lists the rows with problems (`on_error` = "fail"), or the reason why the files are
    unreadable or empty.
    """
    if core < 0:
        raise DatasetError(f"core {core}: expected 0 (keep all) or a least number of interactions")
    problems = ProblemLog()
    source = detect(path, format)
    raw = _read(source, problems, columns, time_unit, all_items=catalogue == "all")
    if on_error == "fail":
        problems.raise_if_any()
    keep_unseen = raw.keep_unseen if catalogue == "auto" else catalogue == "all"
    return assemble(raw, problems, name=name or _name(source), core=core, keep_unseen=keep_unseen)


def _read(
    source: Source, problems: ProblemLog, columns: ColumnMap | None, time_unit: TimeUnit, *, all_items: bool
) -> RawData:
    interactions, items, recognised = source.interactions, source.items, source.describe()
    if source.format in ("tabular", "recbole"):
        read = read_tabular if source.format == "tabular" else read_recbole
        chosen = columns or ColumnMap()
        return read(interactions, items, problems, recognised=recognised, columns=chosen, time_unit=time_unit)
    if columns is not None and (columns.names or columns.ignored):
        raise DatasetError(f"{interactions}: {source.format} has fixed columns; a column map does not apply")
    if time_unit != "s":
        raise DatasetError(f"{interactions}: {source.format} has a fixed time unit; {time_unit} does not apply")
    if source.format == "s3rec":
        if items is None:
            raise DatasetError(f"{interactions}: S3-Rec needs its file of texts; expected {FORMATS['s3rec']}")
        return read_s3rec(interactions, items, problems, recognised=recognised)
    read_raw = read_amazon2014 if source.format == "amazon2014" else read_amazon2023
    return read_raw(interactions, items, problems, recognised=recognised, all_items=all_items)


def _name(source: Source) -> str:
    """The folder for a plain `interactions` file, the file's own name otherwise."""
    if source.interactions.name.lower().startswith("interactions."):
        return source.interactions.resolve().parent.name
    return source.interactions.name.split(".")[0]
