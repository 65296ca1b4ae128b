"""One baseline from the command line: python -m training.baselines --data … --method … --json out.json."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from training.baselines import BASELINES, baseline_ranks, evaluation_negatives
from training.baselines.neural import Neural
from training.baselines.sasrec import SasRec
from training.datasets import load_dataset
from training.datasets.splits import leave_one_out
from training.metrics import summary
from training.options import ThreadsOption, limit_threads
from training.trainer import EpochReport, Progress


def run(
    data: Annotated[Path, typer.Option("--data", help="folder of a data set")],
    method: Annotated[str, typer.Option("--method", help=", ".join(BASELINES))],
    output: Annotated[Path, typer.Option("--json", help="file to write")],
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    epochs: Annotated[int | None, typer.Option("--epochs", min=1, help="at most")] = None,
    checkpoint: Annotated[Path | None, typer.Option("--checkpoint", help="file to go on from after a stop")] = None,
    threads: ThreadsOption = None,
) -> None:
    """Train one baseline and measure it on validation and test."""
    if method not in BASELINES:
        raise typer.BadParameter(f"{method!r}: known methods are {', '.join(BASELINES)}", param_hint="--method")
    limit_threads(threads)
    dataset = load_dataset(data)
    split = leave_one_out(dataset)
    baseline = BASELINES[method]()
    if epochs and isinstance(baseline, Neural):
        baseline.settings = replace(baseline.settings, epochs=epochs)
    elif epochs and isinstance(baseline, SasRec):
        baseline.recipe = baseline.recipe.override({"epochs": epochs})
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


if __name__ == "__main__":
    typer.run(run)
