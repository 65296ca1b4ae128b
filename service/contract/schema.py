"""What the answers share as schemas: they are closed, and an object may show an example."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, SerializeAsAny

from service.contract.requests import AttributeValue

Metric: TypeAlias = Literal["cosine", "euclidean"]

CLOSED = ConfigDict(extra="forbid", strict=True)
"""For `__pydantic_config__`: a test that reads an answer sees a member that the contract does not name."""

Attributes: TypeAlias = SerializeAsAny[Mapping[str, AttributeValue]]
"""An item's attributes. They were checked when the item came in, so they are written as they are: to try each type of
the union for each value doubles the time that an answer of ten items takes (36 µs in place of 18)."""


def closed(example: dict[str, Any]) -> ConfigDict:
    """`CLOSED`, with an example for the OpenAPI document."""
    return CLOSED | ConfigDict(json_schema_extra={"examples": [example]})
