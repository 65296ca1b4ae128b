"""The yardstick for the service: one FastAPI endpoint that validates the same request and always gives the same answer.

Its cost is the cost of FastAPI, uvicorn and the machine, without any recommending.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

from benchmarks.service_process import Running, running
from service.contract.requests import RecommendRequest


@contextmanager
def bare_endpoint(answer: bytes, folder: Path) -> Iterator[Running]:
    """Run the bare endpoint as a process that answers `POST /recommend` with `answer`."""
    path = folder / "answer"
    path.write_bytes(answer)
    with running(["-m", "benchmarks.bare_endpoint", str(path)], folder / "bare.log", {}) as endpoint:
        yield endpoint


def serve(path: Path) -> None:
    """Serve the endpoint on a free port, with the service's uvicorn and plain FastAPI."""
    content = path.read_bytes()
    app = FastAPI()

    @app.post("/recommend")
    async def recommend(body: RecommendRequest) -> Response:
        return Response(content, media_type="application/json")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run([listener])


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
