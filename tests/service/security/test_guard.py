"""The door on a live server: each route of the OpenAPI document against each scope, before any body is read; secrets
that must not get out.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from fastapi import FastAPI, Request, Response

from service import logs
from service.api.app import create_app
from service.security import keys
from service.security.redaction import redact
from service.security.scopes import SCOPES
from tests.support.service import Client, Reply, make_settings, refused, serving

OPEN = {("get", "/livez"), ("get", "/readyz")}
WRITE = {
    ("post", "/items"),
    ("post", "/items/batch"),
    ("put", "/items/{item_id}"),
    ("delete", "/items/{item_id}"),
}
ADMIN = {("get", "/metrics")}


class Door(NamedTuple):
    client: Client
    tokens: Mapping[str, str]

    def ask(self, method: str, path: str, who: str | None = None, body: Any = None) -> Reply:
        headers = {} if who is None else {"Authorization": f"Bearer {self.tokens[who]}"}
        return self.client(method.upper(), path, body, headers)

    def operations(self) -> list[tuple[str, str, dict[str, Any]]]:
        document = self.ask("get", "/openapi.json", "read").json()
        return [
            (method, path, operation) for path, each in document["paths"].items() for method, operation in each.items()
        ]


@pytest.fixture(scope="module")
def door(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("service")
    file = folder / "keys.json"
    tokens: dict[str, str] = {scope: keys.create(file, f"the {scope} key", scope) for scope in SCOPES}
    tokens["expired"] = keys.create(file, "old", "admin", days=1)
    entries = json.loads(file.read_text())
    entries[-1]["expires"] = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    file.write_text(json.dumps(entries))
    with serving(make_settings(root, folder, keys=file)) as client:
        yield Door(client, tokens)


def test_the_document_declares_what_is_meant(door: Door) -> None:
    for method, path, operation in door.operations():
        place = (method, path)
        scope = "admin" if place in ADMIN else "write" if place in WRITE else "read"
        expected = [] if place in OPEN else [{"bearer": [scope]}, {"header": [scope]}]
        assert operation["security"] == expected, place
        guarded = {"401", "403", "429"}
        assert set(operation["responses"]) & guarded == (set() if place in OPEN else guarded), place
    document = door.ask("get", "/openapi.json", "read").json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer kindred_…`"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: kindred_…`"},
    }


def test_each_route_refuses_without_a_key_and_opens_to_its_scope(door: Door) -> None:
    operations = door.operations()
    assert len(operations) == 20
    for method, path, operation in operations:
        path = path.replace("{item_id}", "nobody")
        declared = operation["security"][0]["bearer"][0] if operation["security"] else None
        if declared is None:
            assert all(door.ask(method, path, who).status == 200 for who in (None, "read", "expired")), path
            continue
        for who in (None, "expired"):
            reply = door.ask(method, path, who, b"{}")
            problem = refused(reply, 401, "unauthorized")
            assert reply.headers["www-authenticate"] == "Bearer"
            assert problem["request_id"] == reply.headers["x-request-id"]
        for scope in SCOPES:
            reply = door.ask(method, path, scope, b"[]" if method in ("post", "put") else None)
            if SCOPES.index(scope) < SCOPES.index(declared):
                problem = refused(reply, 403, "forbidden")
                assert f"needs the scope '{declared}'" in problem["detail"], path
            else:
                assert reply.status in (200, 404, 422), (path, scope, reply.body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/nope"),
        ("GET", "/livez/"),
        ("GET", "//livez"),
        ("GET", "/LIVEZ"),
        ("GET", "/livez%0A"),
        ("GET", "/livez%2F..%2Fmetrics"),
        ("GET", "/items/../livez"),
        ("HEAD", "/livez"),
        ("POST", "/livez"),
        ("OPTIONS", "/recommend"),
        ("PATCH", "/items/a"),
        ("GET", "/items/livez"),
        ("GET", "/items/"),
        ("GET", "//"),
        ("POST", "/"),
        ("GET", "/console"),
        ("GET", "/console/a/b"),
    ],
)
def test_what_is_no_operation_needs_a_key_too(door: Door, method: str, path: str) -> None:
    assert door.ask(method, path).status == (401 if path != "/livez%0A" else 200)
    reply = door.ask(method, path, "read")
    assert reply.status in ((200,) if path in ("/docs", "/openapi.json", "/livez%0A") else (404, 405))


def test_the_console_is_open_and_what_it_shows_is_not(door: Door) -> None:
    for path in ("/", "/console/main.js"):
        assert all(door.ask("GET", path, who).status == 200 for who in (None, "read", "expired")), path


def test_the_page_finds_the_document(door: Door) -> None:
    assert b'url: "openapi.json"' in door.ask("get", "/docs", "read").body.replace(b"'", b'"')


def test_either_header_will_do_but_not_two_keys(door: Door) -> None:
    read, write = door.tokens["read"], door.tokens["write"]

    def status(**headers: str) -> int:
        return door.client.get("/version", **{name.replace("_", "-"): value for name, value in headers.items()}).status

    assert status(Authorization=f"Bearer {read}") == 200
    assert status(Authorization=f"bearer   {read} ") == 200
    assert status(X_API_Key=read) == 200
    assert status(X_API_Key=read, Authorization=f"Bearer {read}") == 200
    for headers in (
        {"X_API_Key": read, "Authorization": f"Bearer {write}"},
        {"X_API_Key": read, "Authorization": "Bearer nonsense"},
        {"X_API_Key": read, "Authorization": "Basic dTpw"},
        {"X_API_Key": "", "Authorization": f"Bearer {read}"},
    ):
        assert status(**headers) == 401


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n",
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n0123",
        b"Content-Type: application/json\r\nContent-Length: 50\r\nExpect: 100-continue\r\n\r\n",
        b"Content-Type: text/plain\r\nContent-Length: 3\r\n\r\n{{{",
    ],
)
@pytest.mark.parametrize("scope", [None, "read"])
def test_a_refusal_comes_before_the_body(door: Door, head: bytes, scope: str | None) -> None:
    key = f"X-API-Key: {door.tokens[scope]}\r\n".encode() if scope else b""
    with socket.create_connection(("127.0.0.1", door.client.port), timeout=10) as raw:
        raw.sendall(b"POST /items HTTP/1.1\r\nHost: x\r\n" + key + head)
        answer = raw.recv(4000)
    assert answer.startswith(b"HTTP/1.1 403 " if scope else b"HTTP/1.1 401 "), answer
    assert b"100 Continue" not in answer


def test_a_route_that_declares_nothing_is_closed(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_more(*args: Any, **options: Any) -> FastAPI:
        app = create_app(*args, **options)

        async def bare(request: Request) -> Response:
            return Response("reached")

        app.get("/bare")(bare)
        app.get("/bare/{name}")(bare)
        app.add_route("/plain", bare)
        app.mount("/mounted", app)
        return app

    monkeypatch.setattr("tests.support.service.create_app", with_more)
    file = tmp_path / "keys.json"
    token = keys.create(file, "", "admin")
    with serving(make_settings(root, tmp_path, keys=file)) as client:
        for path in ("/bare", "/bare/a", "/plain", "/mounted/livez", "/mounted/version"):
            refused(client.get(path), 401, "unauthorized")
            problem = refused(client.get(path, Authorization=f"Bearer {token}"), 403, "forbidden")
            assert "a scope that no key has" in problem["detail"]


def malformed(token: str) -> list[dict[str, str]]:
    prefix, key_id, secret = token.split("_")
    odd = [
        token[:-1],
        token + "0",
        token.upper(),
        f'"{token}"',
        f"{token},{token}",
        f"{token} {token}",
        f"<{token}>",
        f"{prefix}-{key_id}-{secret}",
        f"{prefix}_{secret}",
        secret,
        f"{prefix}_{key_id}_{secret[:40]}",
        f"Bearer {token}",
        token + "\u00fc",
        token + "\x7f",
        "x" * 30_000 + token,
    ]
    return [
        *({"Authorization": f"Bearer {each}"} for each in odd),
        *({"X-API-Key": each} for each in odd),
        {"Authorization": token},
        {"Authorization": f"Basic {token}"},
        {"Authorization": f"Token token={token}"},
        {"Authorization": f"Bearer{token}"},
        {"Authorization": f"Bearer\t{token}"},
        {"Authorization": f"Bearer {token}", "X-API-Key": token[:-1]},
        {"X-Request-ID": token},
        {"X-Request-ID": f"a-{token}"},
    ]


def test_no_secret_gets_out(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = door.tokens["write"]
    secret = token.split("_")[2]
    good = {"Authorization": f"Bearer {token}"}
    replies = [door.client("GET", "/version", headers=headers) for headers in malformed(token)]
    assert {reply.status for reply in replies} == {400, 401}  # 400: the control character is the server's to refuse
    item = {"item_id": "a", "title": "soap", token: 1}
    replies += [
        # Where a key does not belong, with and without one where it does.
        door.client.get(f"/items/{token}"),
        door.client.get(f"/version?key={token}"),
        door.client("GET", f"/items/{token}", headers=good),
        door.client("GET", f"/items/{token}/similar?k={token}", headers=good),
        door.client("GET", f"/items?cursor={token}", headers=good),
        door.client("GET", f"/{token}", headers=good | {"X-Request-ID": token}),
        door.client("POST", "/items", item, good),
        door.client("POST", "/items", {"items": token}, good),
        door.client("POST", "/items", token.encode(), good | {"Content-Type": token}),
        door.client("POST", "/items", f'{{"{token}": 1, "{token}": 2}}'.encode(), good),
        door.client("DELETE", f"/items/{token}", headers=good),
    ]
    assert all(400 <= reply.status < 500 for reply in replies)
    door.client.get("/livez")  # a request is logged once it is answered, but before the next one on its connection
    # uvicorn's own access log is switched off; caplog's handler switches it on for connections made from then on.
    records = [record for record in caplog.records if record.name != "uvicorn.access"]
    logged = "".join(logs.JsonFormatter(redact).format(record) + repr(vars(record)) for record in records)
    assert logged.count("kindred.access") > len(replies)
    for text in (logged, *(repr(reply) for reply in replies)):
        assert secret[:20] not in text.lower()


def test_the_access_log_names_the_key_by_its_id(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    read = {"Authorization": f"Bearer {door.tokens['read']}"}
    for number, (path, headers) in enumerate([("/version", read), ("/metrics", read), ("/version", {})]):
        door.client("GET", path, headers=headers | {"X-Request-ID": f"named-{number}"})
    door.client.get("/livez")  # a request is logged once it is answered, but before the next one on its connection
    # The log of a request by an earlier test may come late.
    entries = [vars(record) for record in caplog.records if record.name == "kindred.access"]
    mine = [entry for entry in entries if entry["request_id"].startswith("named-")]
    key_id = door.tokens["read"].split("_")[1]
    found = [(entry["path"], entry["status"], entry.get("key")) for entry in mine]
    assert found == [("/version", 200, key_id), ("/metrics", 403, key_id), ("/version", 401, None)]


def test_refusals_are_counted_by_their_reason(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    admin, read = keys.create(file, "", "admin"), keys.create(file, "", "read")
    old = keys.create(file, "", "read", days=1)
    later = datetime.now(UTC).timestamp() + 100_000
    with serving(make_settings(root, tmp_path, keys=file), now=lambda: later) as client:
        client.get("/version")
        client.get("/version", Authorization="Bearer x")
        client.get("/version", Authorization="Basic x")
        client.get("/version", Authorization="Bearer kindred_a_" + "0" * 64)
        client.get("/version", Authorization=f"Bearer {old}")
        client.get("/version", Authorization=f"Bearer {read}", **{"X-API-Key": admin})
        client.get("/metrics", Authorization=f"Bearer {read}")
        text = client.get("/metrics", Authorization=f"Bearer {admin}").body.decode()
    counts = {"missing": 1, "malformed": 2, "unknown": 1, "expired": 1, "ambiguous": 1, "scope": 1, "rate": 0}
    for reason, count in counts.items():
        assert f'kindred_refusals_total{{reason="{reason}"}} {count}.0' in text


def test_a_revoked_key_is_out_within_a_second_and_nobody_else(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    old, new = keys.create(file, "", "read"), keys.create(file, "", "read")
    ticks = [0.0]
    with serving(make_settings(root, tmp_path, keys=file), clock=lambda: ticks[0]) as client:
        assert client.get("/version", Authorization=f"Bearer {old}").status == 200
        keys.revoke(file, old.split("_")[1])
        ticks[0] = 1.0
        assert client.get("/version", Authorization=f"Bearer {old}").status == 401
        assert client.get("/version", Authorization=f"Bearer {new}").status == 200
