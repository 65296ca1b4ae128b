"""Dropout from bytes: the share, the scale, the mean, the generator."""

from __future__ import annotations

import pytest
import torch

from model.dropout import dropout


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_share_scale_and_mean(rate: float) -> None:
    torch.manual_seed(0)
    value = torch.ones(1001, 1003)
    out = dropout(value, rate)
    taken = round(rate * 256) / 256  # what the nearest byte makes of the rate
    assert (out == 0).float().mean().item() == pytest.approx(taken, abs=0.002)
    torch.testing.assert_close(out[out != 0], torch.full_like(out[out != 0], 1 / (1 - taken)))
    assert out.mean().item() == pytest.approx(1.0, abs=0.01)


def test_each_of_the_eight_bytes_of_a_draw_decides_alike() -> None:
    torch.manual_seed(0)
    kept = (dropout(torch.ones(8 * 50_000), 0.5) != 0).view(-1, 8).float().mean(0)
    torch.testing.assert_close(kept, torch.full((8,), 0.5), atol=0.01, rtol=0)


def test_the_mask_follows_torchs_generator() -> None:
    value = torch.randn(33, 7)
    torch.manual_seed(1)
    first, second = dropout(value, 0.5), dropout(value, 0.5)
    assert not torch.equal(first, second)
    torch.manual_seed(1)
    assert torch.equal(dropout(value, 0.5), first)


def test_gradients_are_those_of_what_was_kept() -> None:
    value = torch.randn(20, 5, requires_grad=True)
    out = dropout(value, 0.25)
    out.sum().backward()  # type: ignore[no-untyped-call]
    assert value.grad is not None
    torch.testing.assert_close(value.grad, torch.where(out == 0, 0.0, 1 / 0.75))
