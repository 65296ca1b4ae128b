"""The command `python -m training baselines`: one method trained and measured, its figures as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from training.baselines import BASELINES, baseline_ranks, cap_epochs
from training.evaluate.metrics import summary
from training.evaluate.negatives import evaluation_negatives
from training.evaluate.splits import leave_one_out
from training.fit.progress import EpochReport, Progress
from training.options import (
    ColumnOption,
    CoreOption,
    DataOption,
    FormatOption,
    ItemsOption,
    OnError,
    OnErrorOption,
    SeedOption,
    ThreadsOption,
    TimeUnitOption,
    check_folder,
    limit_threads,
    read_data,
)


def baselines(
    data: DataOption,
    method: Annotated[str, typer.Option("--method", help="one of " + ", ".join(BASELINES))],
    output: Annotated[Path, typer.Option("--json", help="JSON file to write")],
    items: ItemsOption = None,
    format: FormatOption = "auto",
    column: ColumnOption = None,
    time_unit: TimeUnitOption = "s",
    core: CoreOption = 0,
    on_error: OnErrorOption = OnError.fail,
    seed: SeedOption = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="most epochs to train for")] = None,
    checkpoint: Annotated[
        Path | None, typer.Option("--checkpoint", help="file to resume from after an interruption")
    ] = None,
    threads: ThreadsOption = None,
) -> None:
    """Train one published method, and measure it on validation and test."""
    if method not in BASELINES:
        raise typer.BadParameter(f"{method!r}: known methods are {', '.join(BASELINES)}", param_hint="--method")
    if output.is_dir() or not output.parent.is_dir():
        raise typer.BadParameter(f"{output}: expected a file in a folder that is there", param_hint="--json")
    check_folder(output.parent, "--json")
    limit_threads(threads)
    dataset = read_data(data, items, format, column, time_unit, core, on_error)
    split = leave_one_out(dataset)
    if not len(split.test):
        raise typer.BadParameter("no user has three interactions, so nothing can be measured", param_hint="--data")
    baseline = BASELINES[method]()
    if epochs:
        cap_epochs(baseline, epochs)
    started = time.perf_counter()

    def epoch_done(report: EpochReport) -> None:
        seconds = f"{report.seconds:.1f} s + {report.validation_seconds:.1f} s"
        typer.echo(
            f"epoch {report.epoch + 1:3d}  {seconds}  {report.monitored:.4f}{' *' if report.best else ''}", err=True
        )

    progress = Progress(epoch=epoch_done, message=lambda text: typer.echo(text, err=True))
    notes = baseline.fit(dataset, split, seed, progress, checkpoint)
    result: dict[str, Any] = {"method": method, "data": dataset.name, "seed": seed, "notes": notes, "figures": {}}
    result["seconds"] = round(time.perf_counter() - started, 1)
    for name, cases in (("valid", split.valid), ("test", split.test)):
        ranks = baseline_ranks(baseline, cases, evaluation_negatives(dataset, cases))
        result["figures"][name] = {protocol: summary(part) for protocol, part in ranks.items()}
    output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    for protocol, figures in result["figures"]["test"].items():
        typer.echo(f"{method} test {protocol:8s} HIT@10 {figures['hit@10']:.4f}  NDCG@10 {figures['ndcg@10']:.4f}")
