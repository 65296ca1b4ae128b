"""Items: identifiers kept as they are, text repaired, every refusal by the name of its field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.items import MAX_ID_LENGTH, InvalidItem, Item, check_item_id, clean_text


@pytest.mark.parametrize("value", ["a", "B00-1", "ünï", "two words", "x" * MAX_ID_LENGTH, "日本", "0"])
def test_an_identifier_is_kept_as_it_is(value: str) -> None:
    assert check_item_id(value) is value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", "must not be empty"),
        ("x" * (MAX_ID_LENGTH + 1), "has 257 characters, at most 256"),
        ("x" * 10_000, "has 10000 characters"),
        (" a", "must not begin or end with a blank"),
        ("a\u2003", "must not begin or end with a blank"),
        ("a\nb", "U+000A"),
        ("a\x00b", "U+0000"),
        ("a\x7fb", "U+007F"),
        ("a\ud800b", "U+D800"),
        (5, "must be a string, not int"),
        (None, "must be a string, not NoneType"),
        (b"a", "must be a string, not bytes"),
    ],
)
def test_an_identifier_is_refused(value: object, reason: str) -> None:
    with pytest.raises(InvalidItem) as caught:
        check_item_id(value)
    assert caught.value.field == "item_id"
    assert reason in caught.value.reason
    assert str(caught.value) == f"item_id: {caught.value.reason}"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("  a   b ", "a b"),
        ("a\tb\r\nc\x00d", "a b c d"),
        ("e\u0301", "é"),
        ("a\ud800b", "a\ufffdb"),
        ("a\u00a0\u2003b", "a b"),
        ("\x00\x01", ""),
        ("日本 語", "日本 語"),
    ],
)
def test_text_is_repaired(value: str, expected: str) -> None:
    assert clean_text(value) == expected


@given(st.text(alphabet=st.characters()))
def test_repaired_text_stays_as_it_is_and_has_a_utf8_form(value: str) -> None:
    once = clean_text(value)
    assert clean_text(once) == once
    once.encode()
    assert not any(char in once for char in "\n\t\x00\x7f")


FULL = Item("i", "Title", "Brand", ("A", "B"), "Long words", 9.5, None, {"n": 1})


def test_the_text_is_the_paper_s_form() -> None:
    assert FULL.to_text() == "Title;9.5;Brand;A;B;Long words"
    assert Item("i", title="T", price=3).to_text() == "T;3.0"
    assert Item("i", price=0.0).to_text() == "0.0"
    assert Item("i", categories=("A",)).to_text() == "A"
    assert Item("i").to_text() == ""
    assert Item("i", attributes={"colour": "red"}).to_text() == ""
    assert Item("i", title="T", text="whole").to_text() == "whole"


def test_public_attributes_are_fields_then_attributes() -> None:
    assert FULL.public_attributes() == {
        "title": "Title",
        "brand": "Brand",
        "categories": ["A", "B"],
        "price": 9.5,
        "n": 1,
    }
    assert Item("i", text="hidden", description="hidden").public_attributes() == {}
    assert Item("i", price=0.0).public_attributes() == {"price": 0.0}


def test_from_dict_reads_what_to_dict_wrote() -> None:
    attributes: dict[str, Any] = {"s": "x", "i": 1, "f": 0.5, "b": True, "l": ["a", "b"], "none": []}
    item = Item("i", "T", "B", ("A",), "D", 1.0, "all", attributes)
    assert Item.from_dict(json.loads(json.dumps(item.to_dict()))) == item
    assert Item("i").to_dict() == {"item_id": "i"}
    assert Item.from_dict({"item_id": "i", "title": None, "attributes": None, "categories": None}) == Item("i")


_text = st.text(alphabet=st.characters(), max_size=12)
_values = st.one_of(
    _text, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@given(
    title=st.none() | _text,
    categories=st.lists(_text, max_size=3),
    price=st.none() | st.floats(min_value=0, allow_infinity=False),
    attributes=st.dictionaries(
        _text.filter(lambda name: bool(clean_text(name))), _values | st.lists(_text), max_size=3
    ),
)
def test_any_accepted_item_round_trips(
    title: str | None, categories: list[str], price: float | None, attributes: dict[str, Any]
) -> None:
    item = Item.from_dict(
        {"item_id": "i", "title": title, "categories": categories, "price": price, "attributes": attributes}
    )
    again = Item.from_dict(json.loads(json.dumps(item.to_dict())))
    assert again == item
    assert again.content_hash() == item.content_hash()


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"item_id": ""}, "item_id", "must not be empty"),
        ({"colour": "red"}, "colour", "is not a field of an item"),
        ({"title": 5}, "title", "must be a string, not int"),
        ({"text": ["a"]}, "text", "must be a string, not list"),
        ({"categories": "A"}, "categories", "must be a list of strings"),
        ({"categories": ["A", 1]}, "categories", "must be a list of strings"),
        ({"categories": {"A": 1}}, "categories", "must be a list of strings"),
        ({"price": "5"}, "price", "must be a number, not str"),
        ({"price": True}, "price", "must be a number, not bool"),
        ({"price": float("nan")}, "price", "must be a finite number"),
        ({"price": float("inf")}, "price", "must be a finite number"),
        ({"price": 10**400}, "price", "must be a finite number"),
        ({"price": -0.01}, "price", "zero or more"),
        ({"attributes": ["a"]}, "attributes", "must be an object"),
        ({"attributes": {" ": 1}}, "attributes", "that is not blank"),
        ({"attributes": {1: 1}}, "attributes", "must be a string"),
        ({"attributes": {"n": 2**63}}, "attributes.n", "must fit into 64 bits"),
        ({"attributes": {"n": float("nan")}}, "attributes.n", "must be a finite number"),
        ({"attributes": {"n": None}}, "attributes.n", "must be a string, a number"),
        ({"attributes": {"n": {"a": 1}}}, "attributes.n", "must be a string, a number"),
        ({"attributes": {"n": ["a", 1]}}, "attributes.n", "must be a string, a number"),
    ],
)
def test_from_dict_names_the_field_it_refuses(change: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidItem, match=field) as caught:
        Item.from_dict({"item_id": "i", "title": "T"} | change)
    assert caught.value.field == field
    assert reason in caught.value.reason


@pytest.mark.parametrize("data", [[], "", "abc", 5, None])
def test_from_dict_refuses_what_is_no_object(data: Any) -> None:
    with pytest.raises(InvalidItem, match="must be an object"):
        Item.from_dict(data)


def test_equal_content_has_an_equal_hash() -> None:
    first = Item("a", "T", attributes={"x": 1, "y": "z"})
    assert first.content_hash() == Item("b", "T", attributes={"y": "z", "x": 1}).content_hash()
    others = [
        Item("a", "U", attributes=first.attributes),
        Item("a", brand="T", attributes=first.attributes),
        Item("a", "T", attributes={"x": True, "y": "z"}),
        Item("a", "T", attributes={"x": "1", "y": "z"}),
        Item("a", "T", price=0.0, attributes=first.attributes),
        Item("a", "T"),
    ]
    hashes = {item.content_hash() for item in (first, *others)}
    assert len(hashes) == 1 + len(others)
