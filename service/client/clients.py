"""`Client` and `AsyncClient`: the same methods. They differ in how they send and sleep.

`_blocking` and `_awaiting` make a method from the function of its route in `service.client.calls`. That function states
the arguments, the answer and the docstring once. A parameter specification carries the types over, so both clients have
full types and no route is written twice. A common base class could not do that: Python's types cannot say "this result,
perhaps awaited". `Exchange` decides on retries, deadlines and errors.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import aclosing, closing
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import anyio
import httpx

from service.client import calls, explore_calls
from service.client.calls import Call, NewItem
from service.client.errors import KindredError
from service.client.exchange import Exchange, Lines
from service.client.retry import Clock, Retry, Timeouts
from service.contract.answers import ItemPublic
from service.contract.requests import Source
from service.version import package_version

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Callable[..., Any])

_TIMEOUTS, _RETRY, _CLOCK = Timeouts(), Retry(), Clock()


class _Configured:
    """The configuration that both clients share."""

    def __init__(self, url: str, key: str | None, timeouts: Timeouts, retry: Retry, clock: Clock) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL:  # not a ValueError; its message may quote part of a password
            raise ValueError(
                "the service's address must look like http://127.0.0.1:8000, and this one cannot be read"
            ) from None
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ValueError(f"the service's address must look like http://127.0.0.1:8000, got {self._url!r}")
        if self._url.userinfo:  # httpx would log it, and send it instead of the key
            raise ValueError("the service's address must hold no user or password")
        self._timeouts = timeouts
        self._retry = retry
        self._clock = clock
        self._headers = {"User-Agent": f"kindred-client/{package_version()}", "Accept": "application/json"}
        if key is not None:
            # Checked here, because httpx would show the key in the error of a bad header.
            if not key or not all("!" <= char <= "~" for char in key):
                raise ValueError("the key must be visible ASCII characters without blanks")
            self._headers["Authorization"] = f"Bearer {key}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def _exchange(self, call: Call[T]) -> Exchange[T]:
        return Exchange(call, self._timeouts, self._retry, self._clock)


def _blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._send(build(*args, **kwargs))

    return _documented(method, build)


def _awaiting(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._send(build(*args, **kwargs))

    return _documented(method, build)


def _documented(method: M, build: Callable[..., Any]) -> M:
    """`method` with the name, docstring and arguments of `build`, for help() and notebooks."""
    method.__name__, method.__doc__ = build.__name__, build.__doc__
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    signature = inspect.signature(build)
    arguments = [me, *signature.parameters.values()]
    method.__signature__ = inspect.Signature(arguments)  # type: ignore[attr-defined]
    return method


class Client(_Configured):
    """A pool of connections to one service. Threads may share it.

    Use it in a `with` block, or call `close`. If an answer arrives in drops, a call may overrun its deadline by one
    wait for the socket. `AsyncClient` keeps the deadline exactly.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        retry: Retry = _RETRY,
        transport: httpx.BaseTransport | None = None,
        clock: Clock = _CLOCK,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """key: sent as a bearer token. transport: one of httpx, for TLS settings, your own proxies or tests.

        Raises ValueError for a bad address or key.
        """
        super().__init__(url, key, timeouts, retry, clock)
        self._sleep = sleep
        self._http = httpx.Client(base_url=self._url, headers=self._headers, transport=transport)

    recommend = _blocking(calls.recommend)
    recommend_batch = _blocking(calls.recommend_batch)
    similar = _blocking(calls.similar)
    search = _blocking(explore_calls.search)
    examples = _blocking(explore_calls.examples)
    preview = _blocking(explore_calls.preview)
    codes = _blocking(explore_calls.codes)
    catalogue_map = _blocking(explore_calls.catalogue_map)
    get_item = _blocking(calls.get_item)
    add_item = _blocking(calls.add_item)
    add_items = _blocking(calls.add_items)
    replace_item = _blocking(calls.replace_item)
    delete_item = _blocking(calls.delete_item)
    livez = _blocking(calls.livez)
    readyz = _blocking(calls.readyz)
    version = _blocking(calls.version)
    model = _blocking(calls.model)

    def list_items(
        self, *, source: Source = "all", page_size: int = 100, content: bool = False, request_id: str | None = None
    ) -> Iterator[ItemPublic]:
        """Yield all items in the service's order, page by page; with `content`, ready to be registered again."""
        cursor: str | None = None
        while True:
            page = self._send(calls.list_page(cursor, source, page_size, content, request_id))
            yield from page.items
            if (cursor := page.next_cursor) is None:
                return

    def export(self, *, source: Source = "all", request_id: str | None = None) -> Generator[NewItem]:
        """Yield all items as they were when the answer began, each ready for `add_item` and `add_items`.

        The client retries until the answer begins. If the connection breaks after that, it raises NoAnswer.
        """
        call = calls.export(source, request_id)
        exchange = self._exchange(call)
        lines = Lines()
        with closing(self._until_done(exchange, self._open)) as response:
            try:
                for chunk in response.iter_bytes():
                    for line in lines.feed(chunk):
                        yield call.read(line, exchange.request_id)
            except httpx.RequestError as error:
                exchange.failed(error)
        for line in lines.end():
            yield call.read(line, exchange.request_id)

    def _send(self, call: Call[T]) -> T:
        exchange = self._exchange(call)

        def attempt(exchange: Exchange[T]) -> T:
            with closing(self._http.send(exchange.request(self._http), stream=True)) as response:
                return exchange.result(response, self._body(exchange, response))

        return self._until_done(exchange, attempt)

    def _open(self, exchange: Exchange[Any]) -> httpx.Response:
        """A successful answer, its body still unread."""
        response = self._http.send(exchange.request(self._http), stream=True)
        if not response.is_success:
            with closing(response):
                exchange.result(response, self._body(exchange, response))
        return response

    @staticmethod
    def _body(exchange: Exchange[Any], response: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            exchange.left()  # raises TimedOut after the deadline
        return bytes(body)

    def _until_done(self, exchange: Exchange[T], attempt: Callable[[Exchange[T]], R]) -> R:
        while True:
            try:
                return attempt(exchange)
            except (httpx.RequestError, KindredError) as error:
                pause = exchange.pause(error)
            self._sleep(pause)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(_Configured):
    """`Client` for asyncio and trio. Use it in an `async with` block, or call `aclose`."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        *,
        key: str | None = None,
        timeouts: Timeouts = _TIMEOUTS,
        retry: Retry = _RETRY,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Clock = _CLOCK,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
    ) -> None:
        """As `Client`."""
        super().__init__(url, key, timeouts, retry, clock)
        self._sleep = sleep
        self._http = httpx.AsyncClient(base_url=self._url, headers=self._headers, transport=transport)

    recommend = _awaiting(calls.recommend)
    recommend_batch = _awaiting(calls.recommend_batch)
    similar = _awaiting(calls.similar)
    search = _awaiting(explore_calls.search)
    examples = _awaiting(explore_calls.examples)
    preview = _awaiting(explore_calls.preview)
    codes = _awaiting(explore_calls.codes)
    catalogue_map = _awaiting(explore_calls.catalogue_map)
    get_item = _awaiting(calls.get_item)
    add_item = _awaiting(calls.add_item)
    add_items = _awaiting(calls.add_items)
    replace_item = _awaiting(calls.replace_item)
    delete_item = _awaiting(calls.delete_item)
    livez = _awaiting(calls.livez)
    readyz = _awaiting(calls.readyz)
    version = _awaiting(calls.version)
    model = _awaiting(calls.model)

    async def list_items(
        self, *, source: Source = "all", page_size: int = 100, content: bool = False, request_id: str | None = None
    ) -> AsyncIterator[ItemPublic]:
        """As `Client.list_items`."""
        cursor: str | None = None
        while True:
            page = await self._send(calls.list_page(cursor, source, page_size, content, request_id))
            for item in page.items:
                yield item
            if (cursor := page.next_cursor) is None:
                return

    async def export(self, *, source: Source = "all", request_id: str | None = None) -> AsyncGenerator[NewItem]:
        """As `Client.export`. If you leave it early, it holds its connection until you close it (`aclosing`)."""
        call = calls.export(source, request_id)
        exchange = self._exchange(call)
        lines = Lines()
        async with aclosing(await self._until_done(exchange, self._open)) as response:
            try:
                async for chunk in response.aiter_bytes():
                    for line in lines.feed(chunk):
                        yield call.read(line, exchange.request_id)
            except httpx.RequestError as error:
                exchange.failed(error)
        for line in lines.end():
            yield call.read(line, exchange.request_id)

    async def _send(self, call: Call[T]) -> T:
        exchange = self._exchange(call)

        async def attempt(exchange: Exchange[T]) -> T:
            async with aclosing(await self._http.send(exchange.request(self._http), stream=True)) as response:
                return exchange.result(response, await response.aread())

        return await self._until_done(exchange, attempt)

    async def _open(self, exchange: Exchange[Any]) -> httpx.Response:
        """A successful answer, its body still unread."""
        response = await self._http.send(exchange.request(self._http), stream=True)
        if not response.is_success:
            async with aclosing(response):
                exchange.result(response, await response.aread())
        return response

    async def _until_done(self, exchange: Exchange[T], attempt: Callable[[Exchange[T]], Awaitable[R]]) -> R:
        while True:
            try:
                with anyio.move_on_after(exchange.left()):
                    return await attempt(exchange)
                exchange.too_late()
            except (httpx.RequestError, KindredError) as error:
                pause = exchange.pause(error)
            await self._sleep(pause)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
