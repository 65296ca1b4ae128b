"""Dropout with masks that are cheap on a CPU: one random byte for each element.

torch draws a double for each element, one after another, which takes a tenth of a training step. Here one draw of 64
bits serves eight elements. So a rate is a multiple of 1/256; the kept elements are scaled by the exact share kept.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_STEPS = 256
_LOWEST = torch.iinfo(torch.int64).min


def dropout(value: Tensor, rate: float) -> Tensor:
    """`value` with a random share of its elements zeroed and the others scaled up, so that the mean stays the same.

    rate: 0 … 1; on a CPU it is rounded to the nearest 1/256.
    """
    if value.device.type != "cpu":
        return F.dropout(value, rate)
    dropped = round(rate * _STEPS)
    words = torch.empty((value.numel() + 7) // 8, dtype=torch.int64).random_(_LOWEST, None)
    kept = words.view(torch.uint8)[: value.numel()].view(value.shape) >= dropped
    return value * (kept * (_STEPS / (_STEPS - dropped)))
