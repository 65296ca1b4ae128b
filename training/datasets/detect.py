"""Recognises the format of the data at a path, and its files, by their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from training.datasets.files import base_suffix
from training.datasets.problems import DatasetError, listed
from training.datasets.tables import TABLE_SUFFIXES

Format: TypeAlias = Literal["tabular", "recbole", "amazon2014", "amazon2023", "s3rec"]
DataPath: TypeAlias = str | Path | tuple[str | Path, str | Path]

FORMATS: dict[Format, str] = {
    "tabular": "interactions.{csv,tsv,parquet,jsonl} with items.{csv,tsv,parquet,jsonl}",
    "recbole": "NAME.inter with NAME.item (RecBole atomic files)",
    "amazon2014": "reviews_NAME_5.json.gz with meta_NAME.json.gz (Amazon reviews 2014)",
    "amazon2023": "NAME.jsonl.gz with meta_NAME.jsonl.gz (Amazon reviews 2023)",
    "s3rec": "NAME.txt with NAME_item2attributes_text.json (S3-Rec)",
}
_REVIEWS_2014 = re.compile(r"reviews_(.+?)(?:_\d+)?\.json(?:\.gz)?")
_META_2023 = re.compile(r"meta_(.+)\.jsonl(?:\.gz)?")


@dataclass(frozen=True)
class Source:
    """The files of one data set, and their format."""

    format: Format
    interactions: Path
    items: Path | None

    def describe(self) -> str:
        with_items = f" with {self.items.name}" if self.items else ", without an items file"
        return f"{self.format}: {self.interactions.name}{with_items}"


def detect(path: DataPath, format: str = "auto") -> Source:
    """Find the files of a data set at `path`: a folder, a file of interactions, or one of them with a file of items.

    Raises `DatasetError` if it recognises no data set (and lists the known names), or more than one, or if the
    path does not exist.
    """
    if format != "auto" and format not in FORMATS:
        raise DatasetError(f"format {format!r}: expected auto, {', '.join(FORMATS)}")
    wanted = [name for name in FORMATS if format in ("auto", name)]
    place = _existing(Path(path[0] if isinstance(path, tuple) else path))
    items = _existing(Path(path[1])) if isinstance(path, tuple) else None
    if items is not None and not place.is_dir():
        return _from_pair(place, items, wanted)
    found = _in_folder(place, wanted, items) if place.is_dir() else _from_file(place, wanted)
    if not found:
        beside = f" that goes with {items}; name the file of interactions" if items else ""
        raise DatasetError(f"{place}: no data set was recognised{_contents(place)}{beside}. {_looked_for(wanted)}")
    if len(found) > 1:
        choices = "\n".join(f"  {source.describe()}" for source in found)
        raise DatasetError(
            f"{place}: holds more than one data set; name the format or the file of interactions:\n{choices}"
        )
    return found[0]


def _existing(path: Path) -> Path:
    if not path.exists():
        raise DatasetError(f"{path}: does not exist")
    return path


def _contents(place: Path) -> str:
    if not place.is_dir():
        return " by its name"
    names = sorted(entry.name for entry in place.iterdir())
    return f" among {listed(names)}" if names else ": the folder is empty"


def _in_folder(folder: Path, wanted: list[Format], items: Path | None) -> list[Source]:
    """The data sets of a folder; with `items`, those whose interactions go with that file."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    sources: list[Source] = []
    for name in wanted:
        for candidate in names:
            path = folder / candidate
            source = _FINDERS[name](path) if items is None else _with_items(name, path, items)
            if source is not None:
                sources.append(source)
    return sources


def _with_items(name: Format, path: Path, items: Path) -> Source | None:
    # The finder of tabular files refuses a folder with several items files, but here the caller names one.
    found = _is_interactions(path) if name == "tabular" else _FINDERS[name](path) is not None
    return Source(name, path, items) if found and _PAIRS[name](path, items) else None


def _from_file(path: Path, wanted: list[Format]) -> list[Source]:
    sources = [source for name in wanted if (source := _FINDERS[name](path)) is not None]
    if not sources and "tabular" in wanted and _is_table(path):
        # A file that the caller names may have any name; its items are beside it as items.*.
        return [Source("tabular", path, _one_items_file(path.parent))]
    return sources


def _from_pair(interactions: Path, items: Path, wanted: list[Format]) -> Source:
    for name in wanted:
        if _PAIRS[name](interactions, items):
            return Source(name, interactions, items)
    message = f"{interactions} with {items}: not recognised by their names."
    raise DatasetError(f"{message} {_looked_for(wanted)}")


def _looked_for(wanted: list[Format]) -> str:
    return "Looked for:\n" + "\n".join(f"  {name}: {FORMATS[name]}" for name in wanted)


def _is_table(path: Path) -> bool:
    return base_suffix(path) in TABLE_SUFFIXES


def _is_interactions(path: Path) -> bool:
    return _is_table(path) and _stem(path) == "interactions"


def _one_items_file(folder: Path) -> Path | None:
    found = sorted(p for p in folder.iterdir() if p.is_file() and _is_table(p) and _stem(p) == "items")
    if len(found) > 1:
        raise DatasetError(f"{folder}: more than one items file: {', '.join(p.name for p in found)}")
    return found[0] if found else None


def _stem(path: Path) -> str:
    return path.name.lower().removesuffix(".gz").removesuffix(base_suffix(path))


def _tabular(path: Path) -> Source | None:
    return Source("tabular", path, _one_items_file(path.parent)) if _is_interactions(path) else None


def _recbole(path: Path) -> Source | None:
    if path.suffix != ".inter":
        return None
    items = path.with_suffix(".item")
    return Source("recbole", path, items if items.is_file() else None)


def _amazon2014(path: Path) -> Source | None:
    match = _REVIEWS_2014.fullmatch(path.name)
    return Source("amazon2014", path, _beside(path, f"meta_{match[1]}.json")) if match else None


def _amazon2023(path: Path) -> Source | None:
    # Any *.jsonl might be reviews, so we recognise this format by its meta file.
    if _META_2023.fullmatch(path.name) or base_suffix(path) != ".jsonl":
        return None
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    meta = _beside(path, f"meta_{name}.jsonl")
    return Source("amazon2023", path, meta) if meta else None


def _s3rec(path: Path) -> Source | None:
    if path.suffix != ".txt":
        return None
    items = path.with_name(f"{path.stem}_item2attributes_text.json")
    return Source("s3rec", path, items) if items.is_file() else None


def _beside(path: Path, name: str) -> Path | None:
    for candidate in (path.with_name(f"{name}.gz"), path.with_name(name)):
        if candidate.is_file():
            return candidate
    return None


_FINDERS: dict[Format, Callable[[Path], Source | None]] = {
    "tabular": _tabular,
    "recbole": _recbole,
    "amazon2014": _amazon2014,
    "amazon2023": _amazon2023,
    "s3rec": _s3rec,
}
_PAIRS: dict[Format, Callable[[Path, Path], bool]] = {
    "recbole": lambda a, b: a.suffix == ".inter" and b.suffix == ".item",
    "amazon2014": lambda a, b: base_suffix(a) == ".json" and base_suffix(b) == ".json",
    "amazon2023": lambda a, b: base_suffix(a) == ".jsonl" and _META_2023.fullmatch(b.name) is not None,
    "s3rec": lambda a, b: a.suffix == ".txt" and b.suffix == ".json",
    "tabular": lambda a, b: _is_table(a) and _is_table(b),
}
