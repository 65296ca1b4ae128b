"""The requests: strict models, each with an example. `service.api.limits` checks them against the settings.

No setting can exceed the lengths here. The lengths and `fail_fast` keep a refusal cheap: a body of 8 MiB has room for
millions of mistakes, and pydantic makes an object of each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Generic, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, JsonValue, ValidationError
from pydantic_core import CoreSchema, core_schema

from model.items import Item

Texts: TypeAlias = Annotated[list[str], Field(fail_fast=True)]
AttributeValue: TypeAlias = str | int | float | bool | Texts
FilterValue: TypeAlias = str | int | float | bool
Source: TypeAlias = Literal["all", "catalogue", "registered"]
SimilarBy: TypeAlias = Literal["semantic", "hybrid"]


class Strict(BaseModel):
    """No unknown fields, no conversions, no NaN."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


RECOMMEND_EXAMPLE: dict[str, JsonValue] = {
    "history": ["B0009V1YR8", "B0000Y3NO6"],
    "k": 10,
    "exclude": ["B000142FVW"],
    "exclude_seen": True,
    "filter": {"brand": ["Shiseido", "Clinique"]},
    "diversity": 0.2,
    "cold_share": 0.1,
    "explain": True,
}
ITEM_EXAMPLE: dict[str, JsonValue] = {
    "item_id": "serum-1",
    "title": "Vitamin C brightening serum",
    "brand": "Lumen",
    "categories": ["Beauty", "Skin Care", "Serums"],
    "price": 24.5,
    "attributes": {"in_stock": True, "skin_type": ["dry", "normal"]},
}


class RecommendRequest(Strict):
    """A history, and what to recommend after it."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECOMMEND_EXAMPLE]})

    history: Texts = Field(
        max_length=100_000,
        description="Item ids in the order of use, oldest first. May be empty. The answer lists unknown ids, and the "
        "model ignores them. If the history is longer than the model reads, the latest items count.",
    )
    k: int = Field(10, ge=1, description="How many items to return. Fewer come if fewer are left to choose from.")
    exclude: Texts = Field(default_factory=list, max_length=100_000, description="Item ids never to return.")
    exclude_seen: bool = Field(True, description="Leave out the items of the history.")
    filter: dict[str, Annotated[list[FilterValue], Field(min_length=1, fail_fast=True)]] = Field(
        default_factory=dict,
        max_length=10_000,
        description="Attribute → values. An item must match one of the values of every attribute named here. A list "
        "attribute matches with any of its entries. Texts must be equal once both are in NFC and runs of blanks are "
        "one blank. An attribute that no item has matches no item, and the answer lists it.",
    )
    diversity: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="0 ranks by score alone. Towards 1, the ranking prefers items unlike those already chosen.",
    )
    cold_share: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="The share of the k places that is kept for cold items, at most. The best cold items by their "
        "texts take them, behind the trained items. If there are too few items of one kind, the other kind fills up. "
        "0 keeps no place: all items compete by score. The default is KINDRED_COLD_SHARE.",
    )
    explain: bool = Field(False, description="Add `reasons` to each item.")


class ItemContent(Strict):
    """An item's text and attributes. The text is `text`, or is composed of the fields. One of them must be there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{k: v for k, v in ITEM_EXAMPLE.items() if k != "item_id"}]}
    )

    title: str | None = Field(None, description="Also the attribute `title`, in answers and filters.")
    brand: str | None = Field(None, description="Also the attribute `brand`, in answers and filters.")
    categories: Texts = Field(
        default_factory=list,
        description="From coarse to fine. Also the attribute `categories`, in answers and filters.",
    )
    description: str | None = Field(None, description="Part of the text, not an attribute.")
    price: float | None = Field(None, ge=0, description="Also the attribute `price`, in answers and filters.")
    text: str | None = Field(None, description="The whole text. It replaces the text composed of the fields.")
    attributes: dict[str, AttributeValue] = Field(
        default_factory=dict,
        max_length=10_000,
        description="For answers and filters. Not part of the text.",
    )

    def to_item(self, item_id: str) -> Item:
        """The item, its texts cleaned. Raises an InvalidItem that names the bad field."""
        return Item.from_dict({**self.model_dump(exclude={"item_id"}), "item_id": item_id})


class ItemCreate(ItemContent):
    """An item to register."""

    model_config = ConfigDict(json_schema_extra={"examples": [ITEM_EXAMPLE]})

    item_id: str = Field(
        description="1 to 256 characters, without control characters and without blanks at the ends. Kept as it is."
    )


T = TypeVar("T", bound=BaseModel)


class Entry(Generic[T]):
    """One entry of a batch: its valid `value`, or its `error`. A bad entry does no harm to the others."""

    __slots__ = ("error", "value")

    def __init__(self, value: T | None, error: ValidationError | None = None) -> None:
        self.value = value
        self.error = error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # A wrapping validator has the JSON schema of what it wraps, so OpenAPI shows the entry's model.
        return core_schema.no_info_wrap_validator_function(cls._read, handler.generate_schema(get_args(source)[0]))

    @classmethod
    def _read(cls, value: Any, validate: Callable[[Any], T]) -> Entry[T]:
        try:
            return cls(validate(value))
        except ValidationError as error:
            return cls(None, error)


class RecommendBatchRequest(Strict):
    """Several histories. The service answers each entry on its own."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [{"history": ["B0009V1YR8"], "k": 5}, {"history": []}]}]}
    )

    requests: list[Entry[RecommendRequest]] = Field(min_length=1, max_length=10_000)


class ItemBatchRequest(Strict):
    """Items to register in one transaction. The service answers each entry on its own."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [ITEM_EXAMPLE]}]})

    items: list[Entry[ItemCreate]] = Field(min_length=1, max_length=10_000)
