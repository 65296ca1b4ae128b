"""Settings: every one has a variable, a bad value is refused by name, nothing changes afterwards."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings, misspelt
from tests.support.paths import REPOSITORY


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"KINDRED_{name.upper()}", raising=False)


def test_defaults_bind_this_machine_alone() -> None:
    settings = Settings()
    assert settings.host == "127.0.0.1"
    assert settings.is_loopback
    assert settings.artifacts == Path("artifacts")
    assert settings.database_url == "sqlite:///./var/registry.db"


def test_the_environment_is_read_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_ARTIFACTS", "/srv/models")
    monkeypatch.setenv("KINDRED_K_MAX", "20")
    monkeypatch.setenv("KINDRED_INDEX", "hnsw")
    settings = Settings(port=9)
    assert (settings.artifacts, settings.k_max, settings.index, settings.port) == (
        Path("/srv/models"),
        20,
        "hnsw",
        9,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "70000"),
        ("k_max", "9"),
        ("index", "annoy"),
        ("body_max", "10"),
        ("unusual_percentile", "101"),
        ("database_timeout", "nan"),
        ("threads", "many"),
        ("rate_limit", "-1"),
        ("rate_limit", "nan"),
        ("rate_burst", "0"),
        ("open", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KINDRED_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_a_misspelt_variable_is_named_with_the_setting_that_it_looks_like() -> None:
    environment = {"KINDRED_QUEU_MAX": "1", "KINDRED_PORT": "1", "kindred_keys": "x", "KINDRED_X": "", "PATH": "/"}
    assert misspelt(environment) == [
        "KINDRED_QUEU_MAX is not a setting and is ignored; the nearest is KINDRED_QUEUE_MAX",
        "KINDRED_X is not a setting and is ignored",
    ]


def test_no_variable_that_this_repository_uses_is_called_misspelt() -> None:
    files = [path for pattern in ("*", "*/*", "*/*/*") for path in REPOSITORY.glob(pattern)]
    named: set[str] = set()
    for path in files:
        text = path.suffix in (".yml", ".sh", ".py", ".md") or path.name in ("Makefile", "Dockerfile")
        if text and path.is_file() and path != Path(__file__) and ".venv" not in path.parts:
            named |= set(re.findall(r"KINDRED_[A-Z]+(?:_[A-Z]+)*\b(?!_)", path.read_text(encoding="utf-8")))
    assert {"KINDRED_SCALE_PORT", "KINDRED_KILLS", "KINDRED_PORT"} <= named
    assert misspelt(dict.fromkeys(named, "")) == []


def test_the_service_says_it_at_its_start(tmp_path: Path) -> None:
    ends = {"KINDRED_PORT": "0", "KINDRED_KEYS": str(tmp_path / "none.json")}
    done = subprocess.run(
        [sys.executable, "-m", "service"],
        cwd=REPOSITORY,
        env=os.environ | ends | {"KINDRED_QUEU_MAX": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 2
    assert "KINDRED_QUEU_MAX is not a setting and is ignored; the nearest is KINDRED_QUEUE_MAX" in done.stderr


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert Settings(host=host, open=True).is_loopback is loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example"])
def test_beyond_loopback_there_are_keys_or_a_word_that_there_need_be_none(host: str) -> None:
    with pytest.raises(ValidationError, match=f"{host} can be reached .* KINDRED_KEYS .* KINDRED_OPEN=true") as caught:
        Settings(host=host)
    assert [error["loc"] for error in caught.value.errors()] == [("open",)]
    assert Settings(host=host, open=True).keys is None
    assert not Settings(host=host, keys=Path("keys.json")).open


def test_an_empty_path_of_keys_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_KEYS", "")
    assert Settings().keys is None
    with pytest.raises(ValidationError, match="no API keys"):
        Settings(host="0.0.0.0")


def test_large_bodies_together_have_room_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KINDRED_BODY_MAX", str(64 * 2**20))
    with pytest.raises(ValidationError, match="less than KINDRED_BODY_MAX, 67108864") as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [("bodies_max",)]
    monkeypatch.setenv("KINDRED_BODIES_MAX", str(64 * 2**20))
    assert Settings().bodies_max == 64 * 2**20


def test_origins_are_a_list_between_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cors_origins == ()
    monkeypatch.setenv("KINDRED_CORS_ORIGINS", "https://shop.example, http://localhost:3000,")
    assert Settings().cors_origins == ("https://shop.example", "http://localhost:3000")
    monkeypatch.setenv("KINDRED_CORS_ORIGINS", "*")
    assert Settings().cors_origins == ("*",)


@pytest.mark.parametrize("origin", ["shop.example", "https://shop.example/", "https://Shop.example", "null", "ftp://a"])
def test_what_no_browser_sends_is_no_origin(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("KINDRED_CORS_ORIGINS", f"https://a.example,{origin}")
    with pytest.raises(ValidationError, match="is not an origin") as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [("cors_origins",)]


@pytest.mark.parametrize("origin", ["https://a.example:443", "http://a.example:80", "http://[::1]:80"])
def test_an_origin_with_the_port_of_its_scheme_would_never_match(monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    monkeypatch.setenv("KINDRED_CORS_ORIGINS", origin)
    with pytest.raises(ValidationError, match="leave out the port"):
        Settings()
    others = ("https://a.example:80", "http://a.example:443", "https://a.example:8443", "http://[::80]")
    monkeypatch.setenv("KINDRED_CORS_ORIGINS", ",".join(others))
    assert Settings().cors_origins == others


def test_the_port_that_kubernetes_makes_of_a_service_called_kindred_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KINDRED_PORT", "tcp://10.0.0.17:8000")
    with pytest.raises(ValidationError, match="enableServiceLinks") as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [("port",)]
