"""Registrations that meet at one service or several, are cut off and come again: the short form of
`benchmarks.registrations`, and kills between the commit of a write and its answer.
"""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from benchmarks.registrations import Campaign
from service.registry.registry import Registry
from service.settings import Settings
from tests.campaigns.crash.process import COMMITTED, COMMITTING, Mutant, Process, process
from tests.campaigns.crash.writers import states
from tests.support.postgres import Server
from tests.support.service import Client, make_settings

BODY = json.dumps({"item_id": "soap", "title": "red soap"}).encode()


@pytest.fixture
def settings(small_root: Path, tmp_path: Path, database_url: str) -> Settings:
    return make_settings(small_root, tmp_path, database_url=database_url, database_timeout=30)


@contextmanager
def services(settings: Settings, count: int, mutant: Mutant = "") -> Iterator[Sequence[int]]:
    with ExitStack() as stack:
        yield [stack.enter_context(process(settings, mutant)).port for _ in range(count)]


def run(settings: Settings, count: int, mutant: Mutant = "", broken: bool = False) -> tuple[Campaign, list[str]]:
    with services(settings, count, mutant) as ports:
        campaign = Campaign(ports, settings.database_url, requests=160, connections=12, patience=0 if broken else 30)
        campaign.go()
        return campaign, campaign.faults()


def check(campaign: Campaign) -> None:
    """Else it would have shown nothing."""
    figures = campaign.figures
    assert figures["rows"] == figures["ids"] == 20
    assert figures["registrations"] == 160
    for name in ("cut", "conflicts", "replayed", "keys_kept", "unchanged"):
        assert figures[name] > 5, figures


@pytest.mark.timeout(600)
def test_each_registration_is_made_once(settings: Settings) -> None:
    campaign, faults = run(settings, 1 if settings.database_url.startswith("sqlite") else 3)
    assert faults == []
    check(campaign)


@pytest.mark.timeout(600)
def test_services_that_keep_no_answers_are_found_out(settings: Settings) -> None:
    _, faults = run(settings, 1, "keeps no answers", broken=True)
    assert any("answers differ" in fault for fault in faults), faults


@pytest.mark.timeout(600)
def test_a_second_row_is_found_out(postgres: Server, small_root: Path, tmp_path: Path) -> None:
    url = postgres.database()
    settings = make_settings(small_root, tmp_path, database_url=url, database_timeout=30)
    Registry(url).close()
    postgres.execute("ALTER TABLE kindred_items DROP CONSTRAINT kindred_items_item_id_key", "shop")
    # Two that look for a row and find none have to meet for certain, not by chance.
    postgres.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END $$",
        "shop",
    )
    postgres.execute(
        "CREATE TRIGGER slow BEFORE INSERT ON kindred_items FOR EACH ROW EXECUTE FUNCTION slow()",
        "shop",
    )
    _, faults = run(settings, 3, broken=True)
    assert any(fault.endswith("2 rows") for fault in faults), faults


def retry_after_a_kill(settings: Settings, key: str, mutant: Mutant, phase: int) -> tuple[int, bool]:
    """Register an item, kill the service once the row is committed and before an answer, and register it again by the
    same key: the status of the second answer, and whether it is the one of the first.
    """
    service = Process(settings, mutant).ready()
    headers = {"Content-Type": "application/json", "Idempotency-Key": f'"{key}"'}
    body = BODY.replace(b"soap", key.encode())
    try:
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)) as connection:
            connection.request("POST", "/items", body, headers)
            end = time.monotonic() + 30
            while service.phase != phase or key not in states(settings.database_url):
                assert time.monotonic() < end
                time.sleep(0.01)
            service.kill()
            with pytest.raises((OSError, http.client.HTTPException)):
                connection.getresponse()
    finally:
        service.end()
    with process(settings) as following:
        client = Client(following.port)
        reply = client("POST", "/items", body, headers)
        client.close()
    assert reply.json()["revision"] == states(settings.database_url)[key].revision == 1
    return reply.status, reply.headers.get("idempotency-replayed") == "true"


@pytest.mark.timeout(600)
def test_a_kill_between_commit_and_answer_loses_no_answer(settings: Settings) -> None:
    for key in ("one", "two", "three"):
        assert retry_after_a_kill(settings, key, "answers late", COMMITTED) == (201, True)


@pytest.mark.timeout(600)
def test_an_answer_that_is_kept_after_the_commit_is_found_out(settings: Settings) -> None:
    assert retry_after_a_kill(settings, "one", "keeps answers after the commit", COMMITTING) == (200, False)
