"""The progress of a training run on the terminal: a bar during each epoch and a line after it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from training.fit.progress import EpochReport, Progress


@contextmanager
def progress_display(monitor: str) -> Iterator[Progress]:
    """Progress callbacks that draw on the terminal, or print plain lines if the output is a file.

    monitor: the name of the figure of an epoch.
    """
    console = Console(stderr=True)

    def message(text: str) -> None:
        console.print(text, highlight=False, soft_wrap=True)

    def epoch(report: EpochReport) -> None:
        losses = ", ".join(f"{name} {value:.3f}" for name, value in report.losses.items() if value)
        message(
            f"epoch {report.epoch + 1:3d}  {report.seconds:5.1f} s + {report.validation_seconds:.1f} s  "
            f"{monitor} {report.monitored:.4f}{' *' if report.best else '  '}  {losses}"
            f"{f', {report.replaced_codewords} codewords replaced' if report.replaced_codewords else ''}"
        )

    if not sys.stderr.isatty():
        yield Progress(epoch=epoch, message=message)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("training", total=None)

        def step(done: int, total: int, loss: float) -> None:
            bar.update(task, completed=done, total=total, description=f"loss {loss:.3f}")

        yield Progress(step=step, epoch=epoch, message=message)
