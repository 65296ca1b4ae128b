"""Part after part, the page written anew after each: what an interruption leaves is a report already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from training.config import RECIPES
from training.console import progress_display
from training.report.page import Report, write_report
from training.report.parts import PARTS
from training.report.plan import Plan
from training.trainer import Progress


def make_report(plan: Plan, output: Path, parts: Sequence[str]) -> Report:
    """Make the named parts, in the order of the page. Raises ValueError for none, or one that is not known."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise ValueError(f"part {unknown[0]!r}: known are {', '.join(PARTS)}")
    chosen = [name for name in PARTS if name in parts]
    if not chosen:
        raise ValueError(f"part: none is named; known are {', '.join(PARTS)}")
    for at, name in enumerate(chosen, start=1):
        plan.bench.say(f"part {at} of {len(chosen)}: {name}")
        report = write_report(output, plan.bench, [PARTS[name](plan)])
    return report


@contextmanager
def report_display(monitor: str) -> Iterator[Progress]:
    """The training command's display, for a run that is watched by `monitor`; baselines name no recipe."""
    watched = next((recipe for recipe in RECIPES.values() if recipe.monitor == monitor), RECIPES["default"])
    with progress_display(watched) as progress:
        yield progress
