"""What the client's tests share: both clients behind one blocking face, and time that passes by being slept."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, cast

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from service.client import AsyncClient, Client, Clock

Kind = Literal["sync", "async"]
KINDS: tuple[Kind, ...] = ("sync", "async")


class Time:
    """A clock that only sleeping moves. The jitter is the most that it may be."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.clock = Clock(lambda: self.now, lambda: 1_700_000_000 + self.now, lambda low, high: high)

    def sleep(self, seconds: float) -> None:
        self.slept.append(round(seconds, 6))
        self.now += seconds

    async def asleep(self, seconds: float) -> None:
        self.sleep(seconds)


class _Blocking:
    """An AsyncClient whose methods wait; iterators come as lists."""

    def __init__(self, client: AsyncClient, portal: BlockingPortal) -> None:
        self._client, self._portal = client, portal

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        if name in ("list_items", "export"):
            return lambda **options: iter(self._portal.call(_collected, method(**options)))
        return lambda *args, **options: self._portal.call(partial(method, *args, **options))

    def __repr__(self) -> str:
        return repr(self._client)


async def _collected(items: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in items]


@contextmanager
def connected(kind: Kind, url: str = "http://kindred.test", **options: Any) -> Iterator[Client]:
    """A client of either kind; `time=Time()` for time that does not pass."""
    time: Time | None = options.pop("time", None)
    if time is not None:
        options |= {"clock": time.clock, "sleep": time.sleep if kind == "sync" else time.asleep}
    if kind == "sync":
        with Client(url, **options) as client:
            yield client
        return
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(AsyncClient(url, **options)) as client:
        yield cast("Client", _Blocking(client, portal))


class Script(httpx.MockTransport):
    """Answers in turn with what it was given, an exception raised; keeps the requests."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = iter(answers)
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def problem(status: int, kind: str, detail: str = "no", **headers: str) -> httpx.Response:
    """A problem document as the service sends it."""
    body = {"type": f"/problems/{kind}", "title": "No", "status": status, "detail": detail}
    sent = {"content-type": "application/problem+json"} | {k.replace("_", "-"): v for k, v in headers.items()}
    return httpx.Response(status, headers=sent, json=body)
