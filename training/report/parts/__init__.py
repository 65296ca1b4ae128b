"""The parts of a report, in the order of the page. Each takes a plan and gives a section."""

from __future__ import annotations

from collections.abc import Callable

from training.report.content import Section
from training.report.parts.cold import cold
from training.report.parts.distances import distances
from training.report.parts.figures import figures
from training.report.parts.honesty import honesty
from training.report.parts.overall import overall
from training.report.parts.sweeps import sweeps
from training.report.parts.tokens import tokens
from training.report.plan import Plan

PARTS: dict[str, Callable[[Plan], Section]] = {
    "overall": overall,
    "tokens": tokens,
    "distances": distances,
    "sweeps": sweeps,
    "figures": figures,
    "cold": cold,
    "honesty": honesty,
}
