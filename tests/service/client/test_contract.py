"""The client and the service say the same: every route and field of the OpenAPI document; and the client is light."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Required, get_args, get_origin, get_type_hints

import httpx
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from service import client as package
from service.api.app import create_app
from service.client import Client, ItemContent, NewItem, RecommendOptions, RecommendQuery
from service.contract import requests
from service.settings import Settings
from tests.support.clients import KINDS, Kind, connected
from tests.support.paths import REPOSITORY
from tests.support.service import make_artifact, make_settings, serving

# Every operation of the API, and a call that gives every argument it has.
CALLS: dict[tuple[str, str], Callable[[Client, Any], Any]] = {
    ("post", "/recommend"): lambda client, body: client.recommend(**body),
    ("post", "/recommend/batch"): lambda client, body: client.recommend_batch(**body),
    ("get", "/items/{item_id}/similar"): lambda client, _: client.similar("a/b", k=3, by="hybrid"),
    ("get", "/search"): lambda client, _: client.search("vitamin ser", limit=5),
    ("get", "/examples"): lambda client, _: client.examples(count=3, seed=2),
    ("post", "/items/preview"): lambda client, body: client.preview(**body),
    ("get", "/codes"): lambda client, _: client.codes([17, 203]),
    ("get", "/map"): lambda client, _: client.catalogue_map(limit=7),
    ("get", "/items/{item_id}"): lambda client, _: client.get_item("a/b", content=True),
    ("get", "/items"): lambda client, _: _turn_pages(client),
    ("get", "/items/export"): lambda client, _: list(client.export(source="registered")),
    ("post", "/items"): lambda client, body: client.add_item(**body),
    ("post", "/items/batch"): lambda client, body: client.add_items(**body),
    ("put", "/items/{item_id}"): lambda client, body: client.replace_item("a/b", **body),
    ("delete", "/items/{item_id}"): lambda client, _: client.delete_item("a/b"),
    ("get", "/livez"): lambda client, _: client.livez(),
    ("get", "/readyz"): lambda client, _: client.readyz(),
    ("get", "/version"): lambda client, _: client.version(),
    ("get", "/model"): lambda client, _: client.model(),
}
NO_METHOD = {("get", "/metrics")}  # for Prometheus


def _turn_pages(client: Client) -> Any:
    found = list(client.list_items(source="registered", page_size=7, content=True))
    client.get_item("export")  # asks for the one item that has this id
    return found


@pytest.fixture(scope="module")
def document() -> Any:
    app: FastAPI = create_app(Settings())
    return json.loads(json.dumps(app.openapi()))


def shown(answer: Any) -> Any:
    """An answer as JSON has it: without the members that are None."""
    return TypeAdapter(type(answer)).dump_python(answer, exclude_none=True)


def operations(document: Any) -> dict[tuple[str, str], Any]:
    return {(method, path): found for path, methods in document["paths"].items() for method, found in methods.items()}


def schema_of(document: Any, content: Any) -> Any:
    reference = content["application/json"]["schema"]["$ref"]
    return document["components"]["schemas"][reference.rpartition("/")[2]]


def test_every_route_has_a_method_on_both_clients(document: Any) -> None:
    assert set(operations(document)) == set(CALLS) | NO_METHOD


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("operation", CALLS, ids=" ".join)
def test_calls_are_those_of_the_document(document: Any, operation: tuple[str, str], kind: Kind) -> None:
    """Sent: the method, the path, every query parameter, the body's example. Read: the answer's example, whole."""
    method, path = operation
    found = operations(document)[operation]
    answers = [answer for status, answer in found["responses"].items() if status.startswith("2")]
    body: Any = None
    if "requestBody" in found:
        body = schema_of(document, found["requestBody"]["content"])["examples"][0]
    answer: Any = None
    sent: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        content = answers[0].get("content", {})
        if "application/jsonl" in content:
            return httpx.Response(200, text=content["application/jsonl"]["example"])
        if "cursor" in request.url.params:  # the second page is the last
            return httpx.Response(200, json={"items": answer["items"]})
        return httpx.Response(200, json=answer) if content else httpx.Response(204)

    for declared in answers:  # 200 and 201 of a write have one model
        if "application/json" in declared.get("content", {}):
            answer = schema_of(document, declared["content"])["examples"][0]
    with connected(kind, transport=httpx.MockTransport(reply)) as client:
        result = CALLS[operation](client, body)
    assert sent[0].method == method.upper()
    assert sent[0].url.path == path.replace("{item_id}", "a/b")
    assert (json.loads(sent[0].content) if sent[0].content else None) == body
    declared_names = {parameter["name"] for parameter in found.get("parameters", []) if parameter["in"] == "query"}
    assert {name for request in sent for name in request.url.params} == declared_names
    if answer is None:
        example = answers[0].get("content", {}).get("application/jsonl", {}).get("example")
        assert result == (example and [json.loads(example)])
    elif "results" in answer:
        for entry, expected in zip(result, answer["results"], strict=True):
            if isinstance(entry, package.KindredError):
                assert {"type": entry.type, "status": entry.status, "detail": entry.detail, "field": entry.field} == {
                    name: value for name, value in expected["problem"].items() if name != "title"
                }
            else:
                assert shown(entry) == expected.get("result", expected.get("item"))
    else:
        every = result if isinstance(result, list) else [result]
        expected = answer["items"] * 2 if isinstance(result, list) else [answer]
        assert [shown(each) for each in every] == expected


@pytest.mark.parametrize(
    ("own", "model"),
    [
        (RecommendQuery, requests.RecommendRequest),
        (NewItem, requests.ItemCreate),
        (ItemContent, requests.ItemContent),
    ],
)
def test_arguments_are_the_fields_of_the_requests(document: Any, own: Any, model: Any) -> None:
    declared = document["components"]["schemas"][model.__name__]
    hints = get_type_hints(own, include_extras=True)
    assert set(hints) == set(declared["properties"])
    assert [name for name, hint in hints.items() if get_origin(hint) is Required] == declared.get("required", [])


def test_options_are_all_but_the_history() -> None:
    assert set(get_type_hints(RecommendQuery)) == {"history", *get_type_hints(RecommendOptions)}


def test_choices_are_those_of_the_document(document: Any) -> None:
    found = operations(document)
    chosen = {
        parameter["name"]: set(parameter["schema"]["enum"])
        for operation in found.values()
        for parameter in operation.get("parameters", [])
        if "enum" in parameter["schema"]
    }
    assert chosen == {"source": set(get_args(requests.Source)), "by": set(get_args(requests.SimilarBy))}


# --- packaging -------------------------------------------------------------------------------------


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after `statement`, and the packages they are in."""
    script = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=True
    )
    names = json.loads(done.stdout)
    return set(names) | {name.partition(".")[0] for name in names}


def test_the_client_loads_nothing_of_the_server() -> None:
    loaded = loaded_by("import service.client")
    assert {"httpx", "pydantic", "service.client.clients"} <= loaded
    server = {
        "fastapi",
        "starlette",
        "uvicorn",
        "torch",
        "faiss",
        "sqlalchemy",
        "prometheus_client",
        "pydantic_settings",
    }
    assert not loaded & (server | {"numpy", "scipy", "sklearn", "pyarrow", "service.engine.engine", "service.settings"})


def test_the_service_loads_nothing_of_the_client() -> None:
    loaded = loaded_by("import service.api.app, service.__main__")
    assert {"fastapi", "torch", "service.engine.engine"} <= loaded
    assert not loaded & {"httpx", "service.client"}


def test_types_are_shipped_and_the_client_needs_pydantic_and_httpx() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    assert "py.typed" in project["tool"]["setuptools"]["package-data"]["service"]
    assert (REPOSITORY / "service" / "py.typed").is_file()
    needed = project["project"]["dependencies"] + project["project"]["optional-dependencies"]["client"]
    assert [requirement.partition("==")[0] for requirement in needed] == ["pydantic", "httpx"]


def test_what_is_exported_is_there() -> None:
    assert sorted(package.__all__) == sorted(set(package.__all__))
    assert all(hasattr(package, name) for name in package.__all__)


# --- the documentation -----------------------------------------------------------------------------


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (REPOSITORY / "docs" / "api.md").read_text(encoding="utf-8")
    section = text.partition("## Python client\n")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    make_artifact(tmp_path / "artifacts")
    with serving(make_settings(tmp_path / "artifacts", tmp_path)) as raw:
        script = example.replace("http://127.0.0.1:8000", raw.url)
        assert raw.url in script
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, timeout=100, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[3:] == [  # after three recommended items, whatever they are
        "created True",
        "turntable-2",
        "k: 1000000 is asked for, at most 500 are allowed",
        "turntable-2",
        "item 'turntable-2' exists with other content; PUT /items/{item_id} replaces an item",
    ]
