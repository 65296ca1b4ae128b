"""Settings: every one has a variable, a bad value is refused by name, nothing changes afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.settings import Settings


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
        ("k_max", "0"),
        ("index", "annoy"),
        ("body_max", "10"),
        ("unusual_percentile", "101"),
        ("database_timeout", "nan"),
        ("threads", "many"),
    ],
)
def test_a_bad_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KINDRED_{name.upper()}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert [error["loc"] for error in caught.value.errors()] == [(name,)]


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().port = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert Settings(host=host).is_loopback is loopback
