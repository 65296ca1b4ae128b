"""Random draws that are the same on every machine and with every numpy.

numpy promises a stable stream only for its bit generators, not for `Generator`'s methods, and floating-point functions
differ in the last bit between processors. So we use integer arithmetic on raw PCG64 output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Ints: TypeAlias = NDArray[np.int64]
T = TypeVar("T")

_HALF = np.uint64(32)


class Draws:
    """A seeded source of integers; two sources of one `seed` with different `stream` are independent."""

    def __init__(self, seed: int, stream: int) -> None:
        if seed < 0:
            raise ValueError(f"seed: must be zero or more, not {seed}")
        self._bits = np.random.PCG64(np.random.SeedSequence([seed, stream]))

    def below(self, bounds: Ints) -> Ints:
        """One integer in [0, bound) for every bound, of the same shape; bounds are in [1, 2**32)."""
        if bounds.size and (bounds.min() < 1 or bounds.max() >= 2**32):
            raise ValueError("bounds: must be at least 1 and less than 2**32")
        # Multiply and shift: the bias is at most bound / 2**32, which is negligible here.
        high = self._raw(bounds.size).reshape(bounds.shape) >> _HALF
        return ((high * bounds.astype(np.uint64)) >> _HALF).astype(np.int64)

    def many(self, bound: int, count: int) -> Ints:
        """`count` integers in [0, bound)."""
        return self.below(np.full(count, bound, dtype=np.int64))

    def one(self, bound: int) -> int:
        """An integer in [0, bound)."""
        return int(self.many(bound, 1)[0])

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.one(len(choices))]

    def permutation(self, count: int) -> Ints:
        """The integers 0 to count - 1 in random order."""
        return np.argsort(self._raw(count), kind="stable").astype(np.int64)

    def _raw(self, count: int) -> NDArray[np.uint64]:
        return np.asarray(self._bits.random_raw(count), dtype=np.uint64)
