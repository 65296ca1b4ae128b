"""The command `python -m training report`."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.baselines import BASELINES
from training.console import progress_display
from training.options import (
    DEMO,
    MAX_SEED,
    ColumnOption,
    CoreOption,
    DataOption,
    FormatOption,
    ItemsOption,
    OnError,
    OnErrorOption,
    ThreadsOption,
    TimeUnitOption,
    bound_codebooks,
    build_device,
    build_recipe,
    check_folder,
    gives_codebook_size,
    limit_threads,
    read_data,
)


class Part(StrEnum):
    overall = "overall"
    tokens = "tokens"
    distances = "distances"
    sweeps = "sweeps"
    figures = "figures"
    cold = "cold"
    honesty = "honesty"


def report(
    data: DataOption,
    output: Annotated[Path, typer.Option("--output", help="folder of the report; it keeps its runs in runs/")],
    items: ItemsOption = None,
    format: FormatOption = "auto",
    column: ColumnOption = None,
    time_unit: TimeUnitOption = "s",
    core: CoreOption = 0,
    on_error: OnErrorOption = OnError.fail,
    part: Annotated[
        list[Part] | None, typer.Option("--part", help="a part; repeat for several; by default all")
    ] = None,
    seeds: Annotated[str, typer.Option("--seeds", help="seeds of our models; single runs use the first")] = "0,1,2",
    method: Annotated[
        list[str] | None,
        typer.Option("--method", help="a baseline to compare with; repeat for several; by default all"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="for trials: set any field of both recipes: field=value")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", min=1, help="for trials: most epochs of any training")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; by default a GPU if there is one")
    ] = None,
    threads: ThreadsOption = None,
) -> None:
    """Regenerate the paper's tables and figures on a data set: index.html, figures/*.png and report.json.

    Reads finished runs from runs/, resumes an interrupted run after its last epoch, keeps parts of an earlier report.
    """
    # Import here, so that the other commands need not wait for what only the report needs.
    from training.report.make import make_report
    from training.report.page import read_report
    from training.report.plan import Plan
    from training.report.plots import require_extra
    from training.report.runs import Workbench
    from training.report.store import RunStore

    require_extra()
    check_folder(output, "--output")
    chosen_seeds = read_seeds(seeds)
    if unknown := [name for name in method or () if name not in BASELINES]:
        raise typer.BadParameter(f"{unknown[0]!r}: known are {', '.join(BASELINES)}", param_hint="--method")
    chosen_device = build_device(device)
    limit_threads(threads)
    paper, default = (
        build_recipe(name, {}, settings or []) for name in ("paper", "demo" if data == DEMO else "default")
    )
    dataset = read_data(data, items, format, column, time_unit, core, on_error)
    given = gives_codebook_size(settings or [])
    paper, default = (bound_codebooks(recipe, dataset, given) for recipe in (paper, default))
    bench = Workbench(
        dataset=dataset,
        store=RunStore(output / "runs"),
        baselines=BASELINES,
        command="python -m training " + shlex.join(sys.argv[1:]),
        display=progress_display,
        say=lambda text: typer.echo(text, err=True),
        max_epochs=epochs,
        device=chosen_device,
    )
    if not len(bench.split.test):
        raise typer.BadParameter("no user has three interactions, so nothing can be measured", param_hint="--data")
    read_report(output / "report.json", bench.fingerprint)  # raises for a report of other data, before hours of runs
    plan = Plan(
        bench=bench,
        figures=output / "figures",
        paper=paper,
        default=default,
        seeds=chosen_seeds,
        methods=tuple(method or BASELINES),
    )
    made = make_report(plan, output, [entry.value for entry in part or Part])
    typer.echo(f"{output / 'index.html'}  ({len(made.sections)} parts, {len(made.runs)} runs)")


def read_seeds(text: str) -> tuple[int, ...]:
    """Read distinct seeds of at most MAX_SEED, "0,1,2"; raises typer.BadParameter for anything else."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(f"{text!r}: expected numbers with commas, as 0,1,2", param_hint="--seeds") from error
    if min(found) < 0 or len(set(found)) < len(found):
        raise typer.BadParameter(f"{text!r}: expected distinct seeds, zero or more", param_hint="--seeds")
    if max(found) > MAX_SEED:
        raise typer.BadParameter(f"{text!r}: expected seeds of at most {MAX_SEED}", param_hint="--seeds")
    return found
