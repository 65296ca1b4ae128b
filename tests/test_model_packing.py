"""Packed histories: equal lengths together."""

from __future__ import annotations

import pytest

from model.packing import Run, pack


def test_histories_of_one_length_form_a_run() -> None:
    order, runs = pack([3, 1, 3, 2, 1])
    assert order == [1, 4, 3, 0, 2]  # equal lengths stay in the order they came in
    assert runs == (Run(2, 1), Run(1, 2), Run(2, 3))
    assert [run.tokens for run in runs] == [2, 2, 6]


def test_nothing_to_pack() -> None:
    assert pack([]) == ([], ())


def test_an_empty_history_is_an_error() -> None:
    with pytest.raises(ValueError, match="an empty history has no query vector"):
        pack([2, 0])
