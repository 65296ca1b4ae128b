"""What handlers take from the app: the runtime, ready or not, and the engine."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from service.engine.engine import Engine
from service.lifecycle.runtime import Runtime


# Asynchronous, although they wait for nothing: FastAPI would run plain functions in a thread. None depends on another,
# and no handler takes two: FastAPI takes longer over a dependency than most handlers take over their request.
async def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


async def _ready(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    runtime.ready()
    return runtime


async def _engine(request: Request) -> Engine:
    runtime: Runtime = request.app.state.runtime
    return runtime.ready()


RuntimeDep = Annotated[Runtime, Depends(_runtime)]
ReadyDep = Annotated[Runtime, Depends(_ready)]  # answers 503 `not-ready` before the body is checked
EngineDep = Annotated[Engine, Depends(_engine)]
