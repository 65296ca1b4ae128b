"""The service, except that it computes one recommendation and gives it to everybody.

It spends its time on HTTP, JSON, limits, metrics and logs. The difference to the real service is the time of computing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from unittest import mock

from service.__main__ import main
from service.contract.answers import RecommendResponse
from service.contract.requests import RecommendRequest
from service.engine.engine import Engine
from service.engine.recommend import Observe, unobserved


def serve() -> int:
    """Serve as `python -m service` does; returns its exit code."""
    compute = Engine.recommend_batch
    made: list[RecommendResponse] = []

    def recommend_batch(
        engine: Engine, requests: Sequence[RecommendRequest], observe: Observe = unobserved
    ) -> list[RecommendResponse]:
        if not made:
            made.extend(compute(engine, requests[:1], observe))
        return made * len(requests)

    with mock.patch.object(Engine, "recommend_batch", recommend_batch):
        return main([])


if __name__ == "__main__":
    sys.exit(serve())
