"""Options that several commands share, and the functions that turn them into a data set and a recipe."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from training.config import RECIPES, Recipe
from training.datasets import ColumnMap, Dataset, load_dataset
from training.datasets.demo import generate_demo

DEMO = "demo"


MAX_SEED = 2**32 - 9
"""scikit-learn takes seeds below 2**32. We add the level of a codebook to the seed, and there are at most eight."""

SeedOption = Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED)]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; by default one per core")]


class OnError(StrEnum):
    fail = "fail"
    drop = "drop"


DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="a folder, a file of interactions, or 'demo' for the built-in synthetic data set",
    ),
]
ItemsOption = Annotated[Path | None, typer.Option("--items", help="the items file, if its name does not identify it")]
FormatOption = Annotated[str, typer.Option("--format", help="auto, tabular, recbole, amazon2014, amazon2023 or s3rec")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option(
        "--column", help="field=column for a column with another name, as item_id=asin; ignore=column skips one"
    ),
]
TimeUnitOption = Annotated[str, typer.Option("--time-unit", help="unit of numeric timestamps: s or ms")]
CoreOption = Annotated[
    int, typer.Option("--core", min=0, help="keep users and items with at least this many interactions; 0 keeps all")
]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="fail: list every bad row and stop; drop: count them and leave them out")
]


def check_folder(path: Path, option: str) -> None:
    """Check before hours of work that we can make the folder or write to it; raises typer.BadParameter if not."""
    for place in (path, *path.absolute().parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise typer.BadParameter(f"{path}: cannot write to {place}", param_hint=option)
            return
        if place.exists() or place.is_symlink():
            raise typer.BadParameter(f"{path}: {place} is not a folder", param_hint=option)


def limit_threads(threads: int | None) -> None:
    """Limit torch and the BLAS under NumPy and SciPy; both affect the last digits of a model's weights."""
    if threads:
        torch.set_num_threads(threads)
        threadpool_limits(threads)


def read_data(
    data: str,
    items: Path | None,
    format: str,
    columns: list[str] | None,
    time_unit: str,
    core: int,
    on_error: OnError,
) -> Dataset:
    """Read the data set that the options name; raises DatasetError for files or rows that it cannot use."""
    if data == DEMO:
        if items or columns or core or format != "auto":
            raise typer.BadParameter(
                "the demo data set is generated, so --items, --format, --column and --core do not apply"
            )
        return generate_demo()
    if time_unit not in ("s", "ms"):
        # Check it here: files without timestamps never use it.
        raise typer.BadParameter(f"{time_unit!r}: expected s or ms", param_hint="--time-unit")
    path = Path(data)
    return load_dataset(
        path if items is None else (path, items),
        format=format,
        columns=ColumnMap.from_options(columns) if columns else None,
        time_unit=time_unit,  # type: ignore[arg-type]  # checked above
        core=core,
        on_error=on_error.value,
    )


def build_device(name: str | None) -> torch.device | None:
    """The named device, None for the best one; raises typer.BadParameter if this machine does not have it."""
    if name is None:
        return None
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise typer.BadParameter(f"{name!r}: expected cpu or cuda", param_hint="--device") from error
    if device.type not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{name!r}: expected cpu or cuda", param_hint="--device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise typer.BadParameter(
            f"{name!r}: this machine, or this build of torch, has no such GPU", param_hint="--device"
        )
    return device


def build_recipe(name: str, changes: dict[str, Any], settings: list[str]) -> Recipe:
    """The named recipe with the given options; raises typer.BadParameter that names the wrong field."""
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
        raise typer.BadParameter(first_error(error)) from error


def bound_codebooks(recipe: Recipe, dataset: Dataset, given: bool) -> Recipe:
    """Bound the recipe's codebooks by the size of the catalogue, and tell the user; keep a size that the user gave."""
    bounded = recipe if given else recipe.bounded(dataset.n_items)
    if bounded != recipe:
        typer.echo(
            f"{dataset.n_items:,} items: {bounded.codebook_size} codewords per level instead of the recipe's "
            f"{recipe.codebook_size:,}; --codebook-size or --set codebook_size sets another number",
            err=True,
        )
    return bounded


def gives_codebook_size(settings: list[str]) -> bool:
    """Whether the settings (field=value each) include the size of the codebooks."""
    return any(setting.partition("=")[0] == "codebook_size" for setting in settings)


def first_error(error: ValidationError) -> str:
    """The first error in one line: the field, the expected value, and the given one."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, got {first['input']!r}" if where else message
