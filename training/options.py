"""Options that several commands of the command line share, and how they become a data set and a recipe."""

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
"""scikit-learn takes seeds below 2**32; the level of a codebook is added to ours, and there are eight at most."""

SeedOption = Annotated[int, typer.Option("--seed", min=0, max=MAX_SEED)]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="CPU threads; as many as cores by default")]


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
    Path | None, typer.Option("--items", help="file of the items, where it is not found by its name")
]
FormatOption = Annotated[str, typer.Option("--format", help="auto, tabular, recbole, amazon2014, amazon2023 or s3rec")]
ColumnOption = Annotated[
    list[str] | None,
    typer.Option("--column", help="field=column where a file calls it otherwise: item_id=asin; ignore=column"),
]
TimeUnitOption = Annotated[str, typer.Option("--time-unit", help="unit of numeric timestamps: s or ms")]
CoreOption = Annotated[
    int, typer.Option("--core", min=0, help="keep users and items with at least this many interactions; 0: as it is")
]
OnErrorOption = Annotated[
    OnError, typer.Option("--on-error", help="fail: name every bad row and stop; drop: count them and go on")
]


def check_folder(path: Path, option: str) -> None:
    """Refuse, before hours of work, a folder that cannot be written to or made; raises typer.BadParameter."""
    for place in (path, *path.absolute().parents):
        if place.is_dir():
            if not os.access(place, os.W_OK | os.X_OK):
                raise typer.BadParameter(f"{path}: {place} cannot be written to", param_hint=option)
            return
        if place.exists() or place.is_symlink():
            raise typer.BadParameter(f"{path}: {place} is not a folder", param_hint=option)


def limit_threads(threads: int | None) -> None:
    """That many threads for torch, and for the BLAS under NumPy and SciPy: both share in a model's last digits."""
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
    """The data set that the options name; raises DatasetError for what cannot be read."""
    if data == DEMO:
        if items or columns or core or format != "auto":
            raise typer.BadParameter(
                "the demo data set is made, not read: --items, --format, --column, --core mean nothing"
            )
        return generate_demo()
    if time_unit not in ("s", "ms"):
        # Here too, as files without timestamps never get to use it.
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
    """The device that was asked for, None for the best there is; raises typer.BadParameter for one that is not here."""
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
        raise typer.BadParameter(first_error(error)) from error


def bound_codebooks(recipe: Recipe, dataset: Dataset, given: bool) -> Recipe:
    """The recipe within the catalogue, with a line to the user where that changes it; as it is where the size of its
    codebooks was given.
    """
    bounded = recipe if given else recipe.bounded(dataset.n_items)
    if bounded != recipe:
        typer.echo(
            f"{dataset.n_items:,} items: {bounded.codebook_size} codewords a level instead of the recipe's "
            f"{recipe.codebook_size:,}; --codebook-size or --set codebook_size sets another number",
            err=True,
        )
    return bounded


def gives_codebook_size(settings: list[str]) -> bool:
    """Whether settings, field=value each, name the size of the codebooks."""
    return any(setting.partition("=")[0] == "codebook_size" for setting in settings)


def first_error(error: ValidationError) -> str:
    """The first thing that does not fit, in one line: the field, what was expected, and what was given."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}, got {first['input']!r}" if where else message
