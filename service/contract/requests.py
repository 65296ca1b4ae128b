"""What comes in: request models, strict, with an example each. What they may ask for at most is in `limits`.

The lengths here are those that no setting can exceed. With `fail_fast` they hold the work of refusing down: a body of
8 MiB has room for millions of mistakes, and each becomes an object.
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
    """What to recommend after a history."""

    model_config = ConfigDict(json_schema_extra={"examples": [RECOMMEND_EXAMPLE]})

    history: Texts = Field(
        max_length=100_000,
        description="Item ids in the order they were used, oldest first. Ids that are not known are listed in the "
        "answer and left out; of a history longer than the model reads, the latest items count. May be empty.",
    )
    k: int = Field(10, ge=1, description="How many items to return; fewer come when fewer are left to choose from.")
    exclude: Texts = Field(default_factory=list, max_length=100_000, description="Item ids never to return.")
    exclude_seen: bool = Field(True, description="Leave out the items of the history.")
    filter: dict[str, Annotated[list[FilterValue], Field(min_length=1, fail_fast=True)]] = Field(
        default_factory=dict,
        max_length=10_000,
        description="Attribute → values: an item must match one of the values of every attribute named. A list "
        "attribute matches with any of its entries. Comparison is exact, of texts as items have them: in NFC, runs of "
        "blanks as one; an attribute that no item has matches none and is listed in the answer.",
    )
    diversity: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="0 ranks by score alone; towards 1, items unlike those already chosen are preferred.",
    )
    cold_share: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="Of the k places, at most this share is kept for cold items, the best of them by their texts, "
        "behind the trained items that have the others; where there are too few of one kind the other fills up. "
        "0: no place is kept, and all compete by score. KINDRED_COLD_SHARE where absent.",
    )
    explain: bool = Field(False, description="Add `reasons` to each item.")


class ItemContent(Strict):
    """An item's text and attributes. The text is `text`, or else composed of the fields; one must be there."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{k: v for k, v in ITEM_EXAMPLE.items() if k != "item_id"}]}
    )

    title: str | None = Field(None, description="Also returned and filtered on as the attribute `title`.")
    brand: str | None = Field(None, description="Also returned and filtered on as the attribute `brand`.")
    categories: Texts = Field(default_factory=list, description="Coarse to fine; also an attribute.")
    description: str | None = Field(None, description="Part of the text, not an attribute.")
    price: float | None = Field(None, ge=0, description="Also returned and filtered on as the attribute `price`.")
    text: str | None = Field(None, description="The whole text, in place of one composed of the fields.")
    attributes: dict[str, AttributeValue] = Field(
        default_factory=dict,
        max_length=10_000,
        description="Returned with the item and filtered on; no part of the text.",
    )

    def to_item(self, item_id: str) -> Item:
        """The item, its texts cleaned; raises InvalidItem that names the field which does not fit."""
        return Item.from_dict({**self.model_dump(exclude={"item_id"}), "item_id": item_id})


class ItemCreate(ItemContent):
    """An item to register."""

    model_config = ConfigDict(json_schema_extra={"examples": [ITEM_EXAMPLE]})

    item_id: str = Field(
        description="1 to 256 characters, no control characters, no blank at either end; kept as it is."
    )


T = TypeVar("T", bound=BaseModel)


class Entry(Generic[T]):
    """One entry of a batch: a valid `value`, or the `error` of this entry, which leaves the others alone."""

    __slots__ = ("error", "value")

    def __init__(self, value: T | None, error: ValidationError | None = None) -> None:
        self.value = value
        self.error = error

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        # The JSON schema of a wrapping validator is that of the schema it wraps: OpenAPI shows the entry's
        # model.
        return core_schema.no_info_wrap_validator_function(cls._read, handler.generate_schema(get_args(source)[0]))

    @classmethod
    def _read(cls, value: Any, validate: Callable[[Any], T]) -> Entry[T]:
        try:
            return cls(validate(value))
        except ValidationError as error:
            return cls(None, error)


class RecommendBatchRequest(Strict):
    """Recommendations for several histories at once; each entry is answered by itself."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"requests": [{"history": ["B0009V1YR8"], "k": 5}, {"history": []}]}]}
    )

    requests: list[Entry[RecommendRequest]] = Field(min_length=1, max_length=10_000)


class ItemBatchRequest(Strict):
    """Items to register in one transaction; each entry is answered by itself."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"items": [ITEM_EXAMPLE]}]})

    items: list[Entry[ItemCreate]] = Field(min_length=1, max_length=10_000)
