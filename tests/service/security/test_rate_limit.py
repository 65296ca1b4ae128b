"""Token buckets against a clock that stands still, by themselves and on a live server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from service.security import keys, rate_limit
from service.security.guard import address_of
from service.security.rate_limit import RateLimit
from tests.support.service import Client, make_settings, refused, serving


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admitted(limit: RateLimit, caller: str, tries: int) -> int:
    return sum(limit.take(caller) == 0.0 for _ in range(tries))


@pytest.mark.parametrize(("rate", "burst"), [(10.0, 5), (0.1, 1), (3.0, 7), (1000.0, 1000), (0.7, 3)])
def test_a_rested_caller_has_a_burst_then_the_rate(clock: Clock, rate: float, burst: int) -> None:
    limit = RateLimit(rate, burst, clock)
    assert admitted(limit, "a", burst * 2) == burst
    clock.now += 3 / rate
    assert admitted(limit, "a", burst * 2) == min(3, burst)
    clock.now += 10 * burst / rate
    assert admitted(limit, "a", burst * 2) == burst  # no more than full


def test_what_is_refused_costs_nothing_and_says_how_long_to_wait(clock: Clock) -> None:
    limit = RateLimit(2.0, 1, clock)
    assert limit.take("a") == 0.0
    assert [limit.take("a") for _ in range(100)] == [pytest.approx(0.5)] * 100
    clock.now += 0.25
    assert limit.take("a") == pytest.approx(0.25)
    clock.now += 0.25
    assert limit.take("a") == 0.0


def test_callers_do_not_share(clock: Clock) -> None:
    limit = RateLimit(1.0, 2, clock)
    assert admitted(limit, "a", 5) == 2
    assert admitted(limit, "b", 5) == 2


def test_a_debt_is_worked_off(clock: Clock) -> None:
    limit = RateLimit(10.0, 5, clock)
    assert limit.take("a") == 0.0
    limit.owe("a", 99)
    assert limit.take("a") == pytest.approx(9.6)
    clock.now += 9.6
    assert admitted(limit, "a", 5) == 1


def test_memory_is_bounded_and_whoever_keeps_asking_is_remembered(clock: Clock) -> None:
    limit = RateLimit(1.0, 1, clock)
    assert limit.take("busy") == 0.0
    for each in range(2 * rate_limit._CALLERS):
        limit.take(f"2001:db8::{each}")
        if each % 5000 == 0:
            limit.owe("busy", 1)
    assert len(limit) == rate_limit._CALLERS
    assert limit.take("busy") > 0
    assert limit.take("2001:db8::0") == 0.0  # forgotten


@pytest.mark.parametrize(
    ("client", "caller"),
    [
        (("10.0.0.7", 5), "10.0.0.7"),
        (("::ffff:10.0.0.7", 5), "10.0.0.7"),
        (("2001:db8:1:2:3:4:5:6", 5), "2001:db8:1:2::"),
        (("2001:db8:1:2:ffff::1", 5), "2001:db8:1:2::"),
        (("a name", 5), "a name"),
        (None, "unknown"),
    ],
)
def test_an_ipv6_network_is_one_caller(client: tuple[str, int] | None, caller: str) -> None:
    assert address_of({"client": client}) == caller


def statuses(client: Client, path: str, count: int, **headers: str) -> list[int]:
    return [client.get(path, **headers).status for _ in range(count)]


def test_a_key_has_its_own_bucket(root: Path, tmp_path: Path, clock: Clock) -> None:
    file = tmp_path / "keys.json"
    one, other = ({"Authorization": f"Bearer {keys.create(file, '', scope)}"} for scope in ("admin", "read"))
    settings = make_settings(root, tmp_path, keys=file, rate_limit=0.5, rate_burst=3)
    with serving(settings, clock=clock) as client:
        assert statuses(client, "/version", 4, **one) == [200, 200, 200, 429]
        reply = client.get("/version", **one)
        problem = refused(reply, 429, "rate-limited")
        assert reply.headers["retry-after"] == "2"
        assert "admitted in 2 s" in problem["detail"]
        assert statuses(client, "/version", 3, **other) == [200] * 3
        # What the key may not do counts as well, and so does a wrong key, by its address.
        assert client.get("/metrics", **other).status == 429
        assert statuses(client, "/version", 5, Authorization="Bearer x") == [401, 401, 401, 429, 429]
        assert statuses(client, "/livez", 10) == [200] * 10
        clock.now += 2
        assert statuses(client, "/version", 2, **one) == [200, 429]
        clock.now += 2
        assert 'kindred_refusals_total{reason="rate"} 6.0' in client.get("/metrics", **one).body.decode()


def test_without_keys_an_address_has_one(root: Path, tmp_path: Path, clock: Clock) -> None:
    with serving(make_settings(root, tmp_path, rate_limit=1, rate_burst=2), clock=clock) as client:
        assert statuses(client, "/version", 3) == [200, 200, 429]
        assert statuses(client, "/readyz", 5) == [200] * 5
        clock.now += 1
        assert statuses(client, "/nope", 2) == [404, 429]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/recommend/batch", {"requests": [{"history": []}] * 10}),
        ("/items/batch", {"items": [{"item_id": "a", "title": "soap"}] * 10}),
    ],
)
def test_a_batch_counts_as_its_entries(root: Path, tmp_path: Path, clock: Clock, path: str, body: Any) -> None:
    with serving(make_settings(root, tmp_path, rate_limit=1, rate_burst=4), clock=clock) as client:
        assert client.post(path, body).status == 200
        reply = client.post(path, body)
        assert (reply.status, reply.headers["retry-after"]) == (429, "7")
        clock.now += 7
        assert client.post("/recommend", {"history": []}).status == 200
        assert client.post("/recommend", {"history": []}).status == 429


def test_no_limit_is_the_default(root: Path, tmp_path: Path, clock: Clock) -> None:
    with serving(make_settings(root, tmp_path), clock=clock) as client:
        assert statuses(client, "/version", 200) == [200] * 200
