"""What the client tries again, when, and how long; on transports that answer as told, in time that does not pass."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime, formatdate
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.client import (
    Client,
    Clock,
    Conflict,
    KindredError,
    NoAnswer,
    RateLimited,
    Retry,
    TimedOut,
    Timeouts,
    Unavailable,
)
from service.client.calls import Call
from service.client.exchange import Exchange
from service.client.retry import asked_pause
from tests.support.clients import KINDS, Kind, Script, Time, connected, problem

VERSION = {"service": "1"}
ITEM: dict[str, Any] = {
    "item_id": "a", "cold": True, "source": "registered", "revision": 1, "semantic_id": [1], "shares_semantic_id": 0,
    "attributes": {}, "outcome": "created", "quantization_error": 0.1, "quantization_error_percentile": 1.0,
    "unusual": False,
}  # fmt: skip


def ok(body: Any = VERSION) -> httpx.Response:
    return httpx.Response(200, json=body)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    return found


@pytest.fixture
def time() -> Time:
    return Time()


def test_pauses_grow_and_have_an_upper_end(kind: Kind, time: Time) -> None:
    script = Script(*[httpx.ConnectError("refused")] * 6, ok())
    with connected(kind, transport=script, time=time, retry=Retry(attempts=7, base=0.5, cap=3)) as client:
        assert client.version().service == "1"
    assert time.slept == [0.5, 1, 2, 3, 3, 3]


def test_jitter_is_full() -> None:
    drawn: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    time = Time()
    script = Script(httpx.ConnectError("refused"), problem(503, "not-ready"), ok())
    with connected("sync", transport=script, time=time) as client:
        client._clock = Clock(time.clock.monotonic, time.clock.wall, jitter)
        client.version()
    assert drawn == [(0.0, 0.1), (0.0, 0.2)]
    assert time.slept == [0, 0]


def test_after_the_last_attempt_the_error_is_raised_with_its_cause(kind: Kind, time: Time) -> None:
    script = Script(*[httpx.ConnectError("refused")] * 9)
    with connected(kind, transport=script, time=time) as client, pytest.raises(NoAnswer) as raised:
        client.version()
    assert len(script.requests) == 4
    assert str(raised.value).startswith("GET /version: ConnectError: refused (4 attempts) [request ")
    assert isinstance(raised.value.__cause__, httpx.ConnectError)
    assert (raised.value.status, raised.value.type) == (None, None)


@pytest.mark.parametrize(
    ("headers", "slept"),
    [
        ({"retry_after": "3"}, 3.1),
        ({"retry_after": "0"}, 0.1),
        ({}, 0.1),
        ({"retry_after": "soon"}, 0.1),
        ({"retry_after": "-5"}, 0.1),
        ({"retry_after": "1.5"}, 0.1),
        # From the answer's own Date, else by the client's clock, which stands at 1,700,001,000.
        ({"retry_after": formatdate(500_007, usegmt=True), "date": formatdate(500_000, usegmt=True)}, 7.1),
        ({"retry_after": formatdate(1_700_001_004, usegmt=True)}, 4.1),
        ({"retry_after": formatdate(1_700_000_000, usegmt=True)}, 0.1),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept(kind: Kind, time: Time, status: int, headers: dict[str, str], slept: float) -> None:
    script = Script(problem(status, "busy", **headers), httpx.Response(201, json=ITEM))
    with connected(kind, transport=script, time=time) as client:
        assert client.add_item("a", title="b").outcome == "created"
    assert time.slept == [slept]
    first, second = script.requests
    assert first.content == second.content == b'{"item_id":"a","title":"b"}'
    for name in ("x-request-id", "idempotency-key"):
        assert first.headers[name] == second.headers[name]


@given(st.text() | st.datetimes(timezones=st.just(UTC)).map(lambda date: format_datetime(date, usegmt=True)))
def test_no_retry_after_breaks_the_client(value: str) -> None:
    assert asked_pause({"retry-after": value, "date": value}, 0.0) >= 0
    assert asked_pause({"retry-after": value, "date": ""}, datetime.now(UTC).timestamp()) >= 0


def test_a_pause_beyond_the_deadline_is_not_slept(kind: Kind, time: Time) -> None:
    script = Script(problem(503, "not-ready", "loading", retry_after="1"), problem(429, "busy", retry_after="9"))
    options: dict[str, Any] = {"timeouts": Timeouts(deadline=10), "time": time}
    with connected(kind, transport=script, **options) as client, pytest.raises(RateLimited) as raised:
        client.version()
    assert time.slept == [1.1]
    assert (raised.value.status, raised.value.type) == (429, "/problems/busy")


def test_retries_end_with_the_deadline(kind: Kind, time: Time) -> None:
    script = Script(*[problem(503, "not-ready")] * 99)
    options: dict[str, Any] = {"retry": Retry(attempts=99, base=1, cap=1), "timeouts": Timeouts(deadline=5.5)}
    with connected(kind, transport=script, time=time, **options) as client, pytest.raises(Unavailable):
        client.version()
    assert time.slept == [1, 1, 1, 1, 1]


def test_an_attempt_waits_no_longer_than_the_deadline(kind: Kind, time: Time) -> None:
    script = Script(problem(503, "not-ready", retry_after="6"), ok())
    timeouts = Timeouts(connect=2, read=5, deadline=7.5)
    with connected(kind, transport=script, time=time, timeouts=timeouts) as client:
        client.version()
    first, second = (request.extensions["timeout"] for request in script.requests)
    assert first == {"connect": 2, "read": 5, "write": 5, "pool": 2}
    assert list(second.values()) == pytest.approx([1.4] * 4)


class Drops(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that comes in drops, `each` seconds apart, and may end in an error."""

    def __init__(self, time: Time, chunks: list[bytes], each: float = 0, error: Exception | None = None) -> None:
        self._time, self._chunks, self._each, self._error = time, chunks, each, error

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self._time.now += self._each
            yield chunk
        if self._error:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


def test_a_body_that_comes_in_drops_ends_with_the_deadline(time: Time) -> None:
    # The asynchronous client cancels by the real clock: see tests/service/client/test_clients.py.
    script = Script(httpx.Response(200, stream=Drops(time, [b" "] * 99, each=1)))
    options: dict[str, Any] = {"timeouts": Timeouts(deadline=5)}
    with connected("sync", transport=script, time=time, **options) as client, pytest.raises(TimedOut, match="within 5"):
        client.version()
    assert time.now == 1005


@pytest.mark.parametrize(
    "error", [httpx.ReadError("reset"), httpx.WriteError("pipe"), httpx.RemoteProtocolError("cut")]
)
def test_a_lost_connection_is_tried_again_as_every_route_may_be(kind: Kind, time: Time, error: Exception) -> None:
    broken = httpx.Response(200, stream=Drops(time, [b'{"serv'], error=error))
    script = Script(error, broken, httpx.Response(200, json=ITEM | {"outcome": "unchanged"}))
    with connected(kind, transport=script, time=time) as client:
        assert client.add_item("a", title="b").outcome == "unchanged"
    assert time.slept == [0.1, 0.2]


def test_what_may_not_happen_twice_is_tried_again_only_when_it_cannot_have_happened() -> None:
    time = Time()

    def exchange() -> Exchange[bytes]:
        call = Call("POST", "/made-up", lambda body, _: body, idempotent=False)
        begun = Exchange(call, Timeouts(), Retry(), time.clock)
        begun.request(httpx.Client(base_url="http://kindred.test"))
        return begun

    for unsent in (httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.PoolTimeout("x")):
        assert exchange().pause(unsent) == 0.1
    for refused in (Unavailable("x", status=503), RateLimited("x", status=429)):
        assert exchange().pause(refused) == 0.1
    for lost in (httpx.ReadError("x"), httpx.WriteError("x"), httpx.RemoteProtocolError("x"), httpx.CloseError("x")):
        with pytest.raises(NoAnswer):
            exchange().pause(lost)
    with pytest.raises(Unavailable):
        exchange().pause(Unavailable("x", status=502))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.ReadTimeout("slow"),
        httpx.WriteTimeout("slow"),
        problem(500, "internal-error"),
        problem(504, "slow"),
        problem(507, "registry-full"),
        problem(409, "item-conflict"),
        problem(422, "invalid-request"),
        problem(404, "not-found"),
        problem(401, "unauthorized"),
        ok({"no": "version"}),
    ],
)
def test_what_would_fail_again_is_not_tried_again(time: Time, answer: httpx.Response | Exception) -> None:
    script = Script(answer)
    with connected("sync", transport=script, time=time) as client, pytest.raises(KindredError) as raised:
        client.version()
    assert time.slept == []
    assert isinstance(raised.value, TimedOut) == isinstance(answer, Exception)


def test_a_gateway_that_lost_the_service_is_asked_again(kind: Kind, time: Time) -> None:
    script = Script(httpx.Response(502, html="<h1>Bad Gateway</h1>"), ok())
    with connected(kind, transport=script, time=time) as client:
        assert client.version().service == "1"
    assert time.slept == [0.1]


def test_an_item_that_a_lost_attempt_deleted_is_deleted(kind: Kind, time: Time) -> None:
    missing = problem(404, "item-not-found")
    # A registry whose connection broke during the commit cannot say whether it deleted the item either.
    for lost in (httpx.ReadError("reset"), problem(503, "registry-unavailable")):
        with connected(kind, transport=Script(lost, missing), time=time) as client:
            client.delete_item("a")
    for before, kind_of_404 in (
        (httpx.ConnectError("refused"), "item-not-found"),
        (problem(503, "not-ready"), "item-not-found"),
        (httpx.ReadError("reset"), "not-found"),
    ):
        script = Script(before, problem(404, kind_of_404))
        with connected(kind, transport=script, time=time) as client, pytest.raises(KindredError, match="404"):
            client.delete_item("a")
    script = Script(httpx.ReadError("reset"), problem(404, "item-not-found"))
    with connected(kind, transport=script, time=time) as client, pytest.raises(KindredError, match="404"):
        client.get_item("a")


@pytest.mark.parametrize("probe", ["livez", "readyz"])
def test_probes_are_asked_once(kind: Kind, time: Time, probe: str) -> None:
    for answer in (problem(503, "not-ready"), httpx.ConnectError("refused")):
        script = Script(answer)
        with connected(kind, transport=script, time=time) as client, pytest.raises((Unavailable, NoAnswer)):
            getattr(client, probe)()
    assert time.slept == []


def test_an_export_is_tried_again_until_it_begins_and_never_after(kind: Kind, time: Time) -> None:
    cut = Drops(time, [b'{"item_id":"a"}\n{"item', b'_id":"b"}\n'], error=httpx.RemoteProtocolError("cut"))
    script = Script(httpx.ConnectError("refused"), problem(503, "not-ready"), httpx.Response(200, stream=cut))
    seen = []

    def read(client: Client) -> None:
        for item in client.export():
            seen.append(item["item_id"])

    with connected(kind, transport=script, time=time) as client, pytest.raises(NoAnswer, match="cut") as raised:
        read(client)
    assert len(script.requests) == 3
    assert time.slept == [0.1, 0.2]
    assert isinstance(raised.value.__cause__, httpx.RemoteProtocolError)
    assert seen == (["a", "b"] if kind == "sync" else [])  # the tests' face of the asynchronous client makes a list


def test_a_refused_export_and_page_raise(kind: Kind, time: Time) -> None:
    script = Script(problem(422, "invalid-request"), problem(409, "item-conflict"))
    with connected(kind, transport=script, time=time) as client:
        with pytest.raises(KindredError, match="422"):
            list(client.export())
        with pytest.raises(Conflict):
            list(client.list_items())


def test_a_retry_is_logged_without_the_key(time: Time, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    script = Script(httpx.ConnectError("refused"), ok())
    with connected("sync", transport=script, time=time, key="very-secret") as client:
        client.version(request_id="r-1")
    (record,) = [record for record in caplog.records if record.name == "kindred.client"]
    assert record.getMessage() == "GET /version: ConnectError('refused'), again in 0.100 s (1 attempt)"
    assert vars(record)["request_id"] == "r-1"
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize(
    "make",
    [
        lambda: Timeouts(connect=0),
        lambda: Timeouts(read=float("nan")),
        lambda: Timeouts(deadline=float("inf")),
        lambda: Retry(attempts=0),
        lambda: Retry(base=-1),
        lambda: Retry(cap=0),
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        make()
    assert Retry(attempts=10**6).longest(10**6) == 5
