"""The dashboard and the alert rules ask for nothing that the service does not export."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from service.metrics import Metrics
from service.registry.feed import Feed
from tests.support.paths import REPOSITORY

DASHBOARD = json.loads((REPOSITORY / "docs" / "grafana.json").read_text(encoding="utf-8"))
RULES = yaml.safe_load((REPOSITORY / "docs" / "alerts.yml").read_text(encoding="utf-8"))["groups"][0]["rules"]


def targets() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def exported() -> dict[str, set[str]]:
    """Names of the series that the service exports, and the names of their labels."""
    metrics = Metrics()
    metrics.follow(cast(Callable[[], Feed], lambda: SimpleNamespace(lag=0.5, applied=1, failures=0)))
    metrics.watch_queue("recommend", lambda: 0)
    metrics.observe_request("GET", "/livez", 200, 0.1)
    metrics.observe_refusal("rate")
    metrics.observe_write("created", 50.0)
    return {
        sample.name: set(sample.labels) | {"job", "instance"}
        for family in metrics.registry.collect()
        for sample in family.samples
    } | {"process_max_fds": {"job", "instance"}}


def names_in(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:kindred|process)_[a-z0-9_]+|\bup\b", expression))


@pytest.mark.parametrize(("name", "expression"), [*targets(), *((rule["alert"], rule["expr"]) for rule in RULES)])
def test_every_metric_is_exported(name: str, expression: str) -> None:
    known = exported()
    asked = names_in(expression)
    assert asked, name
    assert asked - known.keys() <= {"up"}, name
    for metric, labels in re.findall(r"\b(kindred_[a-z0-9_]+){([^}]*)}", expression):
        if metric in known:
            assert set(re.findall(r"([a-z]+)=", labels.replace("=~", "="))) <= known[metric], (name, metric)


def test_every_metric_of_the_service_is_shown() -> None:
    shown = {metric for _, expression in targets() for metric in names_in(expression)}
    own = {name for name in exported() if name.startswith("kindred_") and not name.endswith(("_created", "_sum"))}
    assert {re.sub(r"_(bucket|count)$", "", name) for name in own} == {
        re.sub(r"_(bucket|count)$", "", name) for name in shown if name in own
    }


def test_the_dashboard_can_be_provisioned_as_it_is() -> None:
    assert DASHBOARD["uid"] == "kindred"
    assert DASHBOARD["templating"]["list"][0]["type"] == "datasource"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        place: dict[str, Any] = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        if panel["type"] != "row":
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["targets"]
            assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


def test_refused_previews_page_nobody() -> None:
    """A preview writes nothing, so one that is refused for load says nothing of the registry."""
    (expression,) = (rule["expr"] for rule in RULES if rule["alert"] == "KindredWritesRefused")
    tests = re.findall(r'(\w+)(=~|!=)"([^"]*)"', expression)
    counted = [
        route
        for route in ("/items", "/items/batch", "/items/{item_id:text}", "/items/preview")
        if all(
            bool(re.fullmatch(value, {"method": "POST", "route": route, "status": "503"}[label])) == (sign == "=~")
            for label, sign, value in tests
        )
    ]
    assert counted == ["/items", "/items/batch", "/items/{item_id:text}"]


def test_every_alert_is_in_the_runbook() -> None:
    runbook = (REPOSITORY / "docs" / "operations.md").read_text(encoding="utf-8").partition("## Runbook")[2]
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in runbook
