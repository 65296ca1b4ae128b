"""Which engine serves, with its explorer; since when; and the swap that put it there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from service.contract.results import LastSwap
from service.engine.engine import Engine
from service.explore.explorer import Explorer


@dataclass(frozen=True)
class Serving:
    """Swaps replace all of it at once, so that an answer is about one engine. since: UTC, ISO 8601."""

    engine: Engine
    explorer: Explorer
    since: str
    last_swap: LastSwap | None


def serve(engine: Engine, before: Serving | None, now: float) -> Serving:
    """`engine` in place of the one before; None at the start. now: seconds since 1970."""
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    swap = None
    if before is not None:
        swap = LastSwap(before.engine.artifact.version, engine.artifact.version, at)
    return Serving(engine, Explorer.beside(engine), at, swap)
