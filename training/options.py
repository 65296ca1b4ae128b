"""Options that several commands of the command line share, and how they become a data set and a recipe."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from training.config import RECIPES, Recipe
from training.datasets import ColumnMap, Dataset, load_dataset
from training.datasets.demo import generate_demo

DEMO = "demo"


class OnError(StrEnum):
    fail = "fail"
    drop = "drop"


DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="folder, interactions file, or 'demo' for the embedded synthetic data set",
    ),
]
ItemsOption = Annotated[
    Path | None, typer.Option("--items", help="file of the items, where --data names the file of the interactions")
]
FormatOption = Annotated[str, typer.Option("--format", help="auto, tabular, recbole, amazon2014, amazon2023 or s3rec")]
ColumnOption = Annotated[
    list[str] | None, typer.Option("--column", help="field=column where a file calls it otherwise: item_id=asin")
]
TimeUnitOption = Annotated[str, typer.Option("--time-unit", help="unit of numeric timestamps: s or ms")]
CoreOption = Annotated[
    int, typer.Option("--core", min=0, help="keep users and items with at least this many interactions; 0: as it is")
]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="fail: name every bad row and stop; drop: count them and go on")
]


def read_data(
    data: str,
    items: Path | None,
    format: str,
    columns: list[str] | None,
    time_unit: str,
    core: int,
    on_error: OnError,
) -> Dataset:
    """The data set that the options name; raises DatasetError for what cannot be read."""
    if data == DEMO:
        return generate_demo()
    path = Path(data)
    return load_dataset(
        path if items is None else (path, items),
        format=format,
        columns=ColumnMap.parse(columns) if columns else None,
        time_unit=time_unit,  # type: ignore[arg-type]  # checked by the reader, which names what it expects
        core=core,
        on_error=on_error.value,
    )


def build_recipe(name: str, changes: dict[str, Any], settings: list[str]) -> Recipe:
    """The named recipe with the options that were given; raises typer.BadParameter that names the field at fault."""
    if name not in RECIPES:
        raise typer.BadParameter(f"{name!r}: known recipes are {', '.join(RECIPES)}", param_hint="--recipe")
    merged = {field: value for field, value in changes.items() if value is not None}
    for setting in settings:
        field, equals, value = setting.partition("=")
        if not equals or field not in Recipe.model_fields or field == "name":
            known = ", ".join(field for field in Recipe.model_fields if field != "name")
            raise typer.BadParameter(f"{setting!r}: expected field=value; fields: {known}", param_hint="--set")
        merged[field] = tuple(value.split(",")) if field in ("metrics", "hidden") else value
    try:
        return RECIPES[name].override(merged)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise typer.BadParameter(f"{where}: {first['msg']}, got {first['input']!r}") from error
