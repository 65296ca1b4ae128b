"""What the answers share: they are closed, and OpenAPI may show an example of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, SerializeAsAny

from service.contract.requests import AttributeValue

Metric: TypeAlias = Literal["cosine", "euclidean"]

CLOSED = ConfigDict(extra="forbid", strict=True)
"""For `__pydantic_config__`. A test that reads an answer fails on a member that the contract does not name."""

Attributes: TypeAlias = SerializeAsAny[Mapping[str, AttributeValue]]
"""An item's attributes. The service checked them when it registered the item, and writes them without another check. To
try each type of the union for each value would take twice as long: 16 µs for an answer of ten items, not 8."""


def closed(example: dict[str, Any]) -> ConfigDict:
    """`CLOSED`, with an example for the OpenAPI document."""
    return CLOSED | ConfigDict(json_schema_extra={"examples": [example]})
