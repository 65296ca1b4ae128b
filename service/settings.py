"""Settings of the service: `KINDRED_*` environment variables, each with a default that serves a laptop.

Importing this reads nothing. `Settings()` reads the environment, and names a variable that it refuses.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.contract.operation_answers import IndexKind

# Variables of the compose file, the tests and the campaigns.
NO_SETTINGS = frozenset(
    {
        "KINDRED_POSTGRES_PASSWORD",
        "KINDRED_SCALE_PORT",
        "KINDRED_DAMAGES",
        "KINDRED_DATA",
        "KINDRED_DEMO",
        "KINDRED_FUZZ_CASES",
        "KINDRED_FUZZ_SEED",
        "KINDRED_KILLS",
        "KINDRED_PICTURES",
    }
)
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
DEFAULT_PORTS = {"http": ":80", "https": ":443"}


class Settings(BaseSettings):
    """Frozen after construction. Sizes are in bytes or characters as named, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="KINDRED_", frozen=True, extra="forbid")

    artifacts: Path = Field(Path("artifacts"), description="artifact root (with its `current` file) or one version")
    watch: float = Field(
        1.0, ge=0, le=3600, description="seconds between two looks at `current` of the artifact root; 0: never"
    )
    database_url: str = Field(
        "sqlite:///./var/registry.db",
        min_length=1,
        repr=False,  # it may hold a password
        description="SQLAlchemy URL of the registry of items added after training, SQLite or PostgreSQL",
    )
    database_timeout: float = Field(
        5.0, gt=0, le=60, description="seconds that a write waits for a lock, and a connection for the database"
    )
    migrate: bool = Field(True, description="migrate an older schema of the registry at the start")
    idempotency_hours: float = Field(
        24.0, gt=0, le=8760, description="hours that the service keeps the answer to a request with an Idempotency-Key"
    )

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8000, ge=0, le=65535, description="0: the system chooses one, which the service prints")
    keys: Path | None = Field(None, description="file of API keys; without it the service is open")
    open: bool = Field(False, description="serve other machines without keys; no effect where there are keys")
    rate_limit: float = Field(0.0, ge=0, le=1e6, description="requests a second from one key or address; 0: any number")
    rate_burst: int = Field(50, ge=1, le=10**6, description="requests that one caller may make at once after a pause")
    queue_max: int = Field(64, ge=0, le=10**6, description="requests of a kind in work or waiting; 0: any number")
    write_queue_max: int = Field(64, ge=0, le=10**6, description="writes in work or waiting; 0: any number")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="origins whose pages may call the service from a browser, separated by commas; `*`: all"
    )
    threads: int = Field(1, ge=1, le=256, description="threads of one computation (torch and FAISS)")
    keep_alive: int = Field(30, ge=1, le=3600, description="seconds an idle connection is kept open")
    read_timeout: float = Field(
        20.0, gt=0, le=3600, description="seconds that the head of a request may take, and its body at least"
    )
    connections_max: int = Field(2048, ge=1, le=10**6, description="most connections; a few more are for probes")
    drain: float = Field(2.0, ge=0, le=300, description="seconds after SIGTERM with requests still taken")
    shutdown_grace: int = Field(20, ge=0, le=3600, description="seconds for requests in flight after that")
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    index: IndexKind = Field("flat", description="flat is exact; hnsw and ivfpq are for large catalogues")
    index_ef_search: int = Field(512, ge=1, le=65536, description="hnsw: candidates kept while searching")
    index_probes: int = Field(64, ge=1, le=65536, description="ivfpq: cells visited of each search")

    # At least the default of `k`, so that a request without `k` is never too large.
    k_max: int = Field(500, ge=10, le=10_000, description="most items one recommendation may ask for")
    history_max: int = Field(1000, ge=1, le=100_000, description="most entries of a history, and of `exclude`")
    filter_max: int = Field(100, ge=1, le=10_000, description="most values in a filter, over all its attributes")
    batch_max: int = Field(256, ge=1, le=10_000, description="most entries of one batch")
    body_max: int = Field(8 * 2**20, ge=1024, le=2**30, description="most bytes of a request body")
    bodies_max: int = Field(32 * 2**20, ge=1024, le=2**36, description="most bytes of all large bodies held at a time")
    text_max: int = Field(20_000, ge=1, le=10**7, description="most characters of an item's text, all fields together")
    categories_max: int = Field(64, ge=0, le=10_000, description="most categories of an item")
    attributes_max: int = Field(64, ge=0, le=10_000, description="most attributes of an item")
    attributes_size_max: int = Field(16_384, ge=2, le=10**7, description="most characters of them all, as JSON")

    cold_share: float = Field(
        0.0, ge=0, le=1, description="share of places reserved for cold items in requests that do not say"
    )
    unusual_percentile: float = Field(
        99.0,
        ge=0,
        le=100,
        description="a new item is unusual if its quantization error is at or above this percentile of training",
    )

    @field_validator("port", mode="before")
    @classmethod
    def _no_link(cls, value: object) -> object:
        if isinstance(value, str) and value.startswith("tcp://"):
            raise ValueError(
                "Kubernetes sets this for a service called kindred; set enableServiceLinks to false in the pod, or "
                "give the service another name"
            )
        return value

    @field_validator("keys", mode="before")
    @classmethod
    def _no_empty_path(cls, value: object) -> object:
        return value or None  # compose sets an empty string where the variable is not set

    @field_validator("open")
    @classmethod
    def _guarded_or_open(cls, value: bool, info: ValidationInfo) -> bool:
        host, keys = info.data.get("host"), info.data.get("keys")
        if host is not None and "keys" in info.data and keys is None and not value and not is_loopback(host):
            raise ValueError(
                f"{host} can be reached from other machines and there are no API keys: set KINDRED_KEYS to a file made "
                "by `python -m service keys create`, or KINDRED_OPEN=true where something else keeps strangers out"
            )
        return value

    @field_validator("bodies_max")
    @classmethod
    def _room_for_one(cls, value: int, info: ValidationInfo) -> int:
        body_max = info.data.get("body_max")
        if body_max is not None and value < body_max:
            raise ValueError(f"is less than KINDRED_BODY_MAX, {body_max}: no body of that size would get in")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _are_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin == "*":
                continue
            # In the form that browsers send, because they are compared as strings.
            if not re.fullmatch(r"https?://[a-z0-9.\-:\[\]]+", origin):
                raise ValueError(f"{origin!r} is not an origin such as https://shop.example or http://localhost:3000")
            scheme, _, rest = origin.partition("://")
            if rest.endswith(DEFAULT_PORTS[scheme]):
                raise ValueError(f"{origin!r}: leave out the port, as browsers do where it is the default of {scheme}")
        return value

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can connect."""
        return is_loopback(self.host)


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")


def misspelt(environment: Mapping[str, str]) -> list[str]:
    """A warning for each `KINDRED_*` variable that is no setting, since the service ignores it."""
    known = [name.upper() for name in Settings.model_fields]
    said: list[str] = []
    for name in sorted(environment):
        prefix, _, rest = name.upper().partition("_")
        if prefix != "KINDRED" or rest in known or name.upper() in NO_SETTINGS:
            continue
        near = difflib.get_close_matches(rest, known, n=1)
        said.append(f"{name} is not a setting and is ignored" + (f"; the nearest is KINDRED_{near[0]}" if near else ""))
    return said


def complain(error: ValidationError) -> None:
    """Print which settings are refused to standard error, by the names of their variables."""
    for problem in error.errors():
        name = ".".join(str(part) for part in problem["loc"]).upper()
        print(
            f"KINDRED_{name}: {problem['msg'].removeprefix('Value error, ')} (got {problem['input']!r})",
            file=sys.stderr,
        )
