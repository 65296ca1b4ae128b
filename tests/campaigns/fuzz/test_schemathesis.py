"""Schemathesis over the OpenAPI document, against a live server on either database, without keys and with them: cases
from the schema and against it, one by one and along the document's links. No 5xx, no answer that the document does
not declare. What is not HTTP or not JSON is in tests/campaigns/fuzz/test_nasty.py.

KINDRED_FUZZ_CASES says how many cases are tried on each database; `make fuzz` tries 50,000, from seeds drawn anew or
beginning with KINDRED_FUZZ_SEED. Without, some hundreds, always the same. A failure prints the curl commands that
show it, and the seed.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pytest
from starlette.responses import Response

from service.security import keys
from tests.support.postgres import Server
from tests.support.service import Client, make_settings, serving

CASES = int(os.environ.get("KINDRED_FUZZ_CASES", "0"))
SEED = int(os.environ.get("KINDRED_FUZZ_SEED", str(secrets.randbelow(10**9))))
CONFIG = Path(__file__).with_name("schemathesis.toml")
HOOKS = Path(__file__).with_name("hooks.py")
# In sequences there are no batches: one that registers anew what was deleted would pass for the deleted item, because
# the check for those knows single items only. (The configuration file has no phases of an operation.)
PHASES = (("--phases", "examples,coverage,fuzzing"), ("--phases", "stateful", "--exclude-path-regex", "/batch$"))
SHORT = ("--max-examples", "3", "--generation-deterministic")
Caller: TypeAlias = Literal["open", "admin", "read"]
# Caller → the share of the cases. A reader is refused what writes, an administrator nothing.
CALLERS: dict[Caller, float] = {"open": 0.6, "admin": 0.3, "read": 0.1}
LONG = [(database, caller) for database in ("sqlite", "postgresql") for caller in CALLERS]
SOME = [("sqlite", "open"), ("sqlite", "read"), ("postgresql", "admin")]


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


def fuzz(client: Client, folder: Path, *options: str) -> int:
    """Run Schemathesis once; the number of cases it made. Fails with its whole report when it found something."""
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG), "run"]
    command += [f"{client.url}/openapi.json", "--output-sanitize", "false", "--no-color"]
    command += ["--continue-on-failure", "--suppress-health-check", "all", *options]
    if client.key:
        command += ["--header", f"X-API-Key: {client.key}"]
    else:
        command += ["--exclude-checks", "ignored_auth"]
    environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = re.search(r"(\d+) generated", done.stdout)
    assert done.returncode == 0, f"{' '.join(options)}\n{done.stdout}\n{done.stderr}"
    assert found is not None, done.stdout
    return int(found[1])


def fuzz_all(client: Client, folder: Path, *options: str) -> int:
    return sum(fuzz(client, folder, *phases, *options) for phases in PHASES)


def fuzz_long(client: Client, folder: Path, cases: int) -> None:
    """Fuzz from seed after seed until there were as many cases."""
    done, seed = 0, SEED
    while done < cases:
        done += fuzz_all(client, folder, "--max-examples", "200", "--seed", str(seed), "--generation-database", "none")
        print(f"{done} of {cases} cases, seed {seed}", flush=True)
        seed += 1


@pytest.mark.timeout(0 if CASES else 300)
@pytest.mark.parametrize(("database_url", "caller"), LONG if CASES else SOME, indirect=["database_url"])
def test_every_answer_is_one_that_the_document_declares(
    caller: Caller, database_url: str, root: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.json"
    token = keys.create(file, "fuzz", caller) if caller != "open" else ""
    admin = keys.create(file, "metrics", "admin")
    settings = make_settings(root, tmp_path, database_url=database_url, keys=file if token else None)
    with serving(settings) as client:
        client.key = token
        if CASES:
            fuzz_long(client, tmp_path, round(CASES * CALLERS[caller]))
        else:
            made = fuzz_all(client, tmp_path, *SHORT)
            assert made > 100
        # What the service itself counted, and that it goes on.
        with closing(Client(client.port)) as after:
            after.key = admin if token else ""
            counted = after.get("/metrics").body.decode()
            assert after.recommend("item-1")["model_version"] == "v1"
        assert sum(map(float, re.findall(r'kindred_requests_total{.*status="2\d\d"} (\S+)', counted))) > 10
        failed = re.findall(r'kindred_requests_total{.*status="(?:5\d\d|0)"} .*', counted)
        assert [line for line in failed if "/readyz" not in line] == []  # not ready at first, which is no failure


def fails(*arguments: object) -> Any:
    raise RuntimeError("planted")


def says_more(value: object, status: int = 200) -> Response:
    return Response(b'{"planted": 1}', status, media_type="application/json")


@pytest.mark.parametrize(
    ("planted", "place", "said"),
    [
        (fails, "service.engine.engine.Engine.recommend", "Server error"),
        (says_more, "service.api.recommend_routes.answer", "Response violates schema"),
        (
            lambda value, status=200: Response(b"1", 202),
            "service.api.recommend_routes.answer",
            "Undocumented status code",
        ),
        (lambda value, status=200: Response(b"1", 200), "service.api.recommend_routes.answer", "Missing Content-Type"),
    ],
)
def test_a_planted_failure_is_found_and_the_report_says_how_to_replay_it(
    planted: Callable[..., Any], place: str, said: str, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(make_settings(root, tmp_path)) as client:
        monkeypatch.setattr(place, planted)
        with pytest.raises(AssertionError) as caught:
            fuzz(client, tmp_path, "--phases", "examples", *SHORT, "--include-path", "/recommend")
    assert said in str(caught.value)
    assert "curl -X POST" in str(caught.value)
    assert f"{client.url}/recommend" in str(caught.value)
