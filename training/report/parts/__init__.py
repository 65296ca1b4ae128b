"""The parts of a report, in the order of the page: each turns a plan into a section.

May import everything in report except command, make and page, which use the parts.
"""

from __future__ import annotations

from collections.abc import Callable

from training.report.content import Section
from training.report.parts import cold, distances, figures, honesty, overall, sweeps, tokens
from training.report.plan import Plan

PARTS: dict[str, Callable[[Plan], Section]] = {
    "overall": overall.section,
    "tokens": tokens.section,
    "distances": distances.section,
    "sweeps": sweeps.section,
    "figures": figures.section,
    "cold": cold.section,
    "honesty": honesty.section,
}
