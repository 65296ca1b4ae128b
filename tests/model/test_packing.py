"""Packed histories: equal lengths together."""

from __future__ import annotations

import pytest
import torch

from model.packing import Run, pack, panels_of

CPU = torch.device("cpu")


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


def test_runs_of_similar_length_form_a_panel() -> None:
    first, second = panels_of((Run(1, 2), Run(2, 3), Run(1, 20)), CPU)
    assert (first.histories, first.length, first.tokens) == (3, 3, 8)
    assert first.pad_index is not None
    assert first.unpad_index is not None
    assert first.pad_index.view(3, 3).tolist() == [[0, 1, 1], [2, 3, 4], [5, 6, 7]]  # the first is padded with its last
    assert first.unpad_index.tolist() == [0, 1, 3, 4, 5, 6, 7, 8]
    assert second == (1, 20, 20, None, None)  # alone, so nothing is padded


def test_panels_hold_every_token_once() -> None:
    runs = pack(torch.randint(1, 51, (300,), generator=torch.Generator().manual_seed(4)).tolist()).runs
    found = panels_of(runs, CPU)
    assert 1 < len(found) < len(runs)
    assert sum(panel.histories for panel in found) == 300
    for panel in found:
        assert panel.pad_index is not None
        assert panel.unpad_index is not None
        assert torch.equal(panel.pad_index[panel.unpad_index], torch.arange(panel.tokens))
    assert sum(panel.histories * panel.length for panel in found) < 1.5 * sum(run.tokens for run in runs)
