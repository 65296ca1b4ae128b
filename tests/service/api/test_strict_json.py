"""Strict JSON: what is refused, and how it is said."""

from __future__ import annotations

import time
from typing import Any

import pytest

from service.api.strict_json import BadBody, parse_json


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (b'{"\xc3\xa4": "\xe2\x82\xac"}', {"ä": "€"}),
        (b'"[[[[{{{{"', "[[[[{{{{"),
        (b'{"a": {"x": 1}, "b": {"x": 2}}', {"a": {"x": 1}, "b": {"x": 2}}),
        (b'"\\ud800"', "\ud800"),  # readable; what it may stand in is decided by the schema
        (b"1" * 400, int("1" * 400)),
    ],
)
def test_json_is_read(body: bytes, value: Any) -> None:
    assert parse_json(body) == value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not JSON"),
        (b"{", "line 1, column 2"),
        (b'{"a": 1,}', "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b"[Infinity]", "Infinity is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[1e999]", "1e999 is too large"),
        (b"9" * 5000, "5000 digits"),
        (b'{"a": 1, "b": 2, "a": 1}', "'a' is given twice"),
        (b'[{"\\ud800": 1, "\\ud800": 2}]', "given twice"),
        (b"\xff\xfe", "byte 0"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b"[1] [2]", "not JSON"),
    ],
)
def test_what_is_no_json_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BadBody) as caught:
        parse_json(body)
    assert said in caught.value.detail
    assert caught.value.status_code == 400
    assert len(caught.value.detail) < 300


def test_a_large_body_is_read_quickly() -> None:
    body = b"[" + b",".join([b'{"item_id": "x", "tags": ["a", "b"]}'] * 50_000) + b"]"
    began = time.process_time()
    assert len(parse_json(body)) == 50_000
    assert time.process_time() - began < 2
