"""Make the parts one by one and write the page after each, so that an interrupted command leaves a report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.report.page import Report, write_report
from training.report.parts import PARTS
from training.report.plan import Plan


def make_report(plan: Plan, output: Path, parts: Sequence[str]) -> Report:
    """Make the named parts, in the order of the page. Raises ValueError for no part or an unknown one."""
    if unknown := [name for name in parts if name not in PARTS]:
        raise ValueError(f"part {unknown[0]!r}: known are {', '.join(PARTS)}")
    chosen = [name for name in PARTS if name in parts]
    if not chosen:
        raise ValueError(f"part: none is named; known are {', '.join(PARTS)}")
    for at, name in enumerate(chosen, start=1):
        plan.bench.say(f"part {at} of {len(chosen)}: {name}")
        report = write_report(output, plan.bench, [PARTS[name](plan)])
    return report
