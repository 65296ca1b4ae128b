"""The meaning of a semantic-ID prefix: words that its items use more often than the rest of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.items import Item
from model.telling_words import TellingWords
from training.report.content import Branch

_TITLE_LENGTH = 60


def semantic_tree(
    codes: NDArray[np.int32],
    items: Sequence[Item],
    *,
    widths: Sequence[int] = (6, 3, 2),
    words: int = 4,
    examples: int = 6,
) -> list[Branch]:
    """The most common prefixes of the semantic IDs [n_items, levels], `widths[level]` at each level.

    examples: most titles in the whole tree, because titles belong to others.
    """
    telling = TellingWords([item.to_text() for item in items])
    titles = [0]

    def grow(rows: NDArray[np.int64], prefix: list[int]) -> list[Branch]:
        level = len(prefix)
        if level >= min(codes.shape[1], len(widths)):
            return []
        found, counts = np.unique(codes[rows, level], return_counts=True)
        branches = []
        # Order prefixes of equal size by code, so that the tree is the same every time.
        for at in np.lexsort((found, -counts))[: widths[level]]:
            code = int(found[at])
            inside = rows[codes[rows, level] == code]
            titled: list[str] = []
            if level == 0 and titles[0] < examples:
                title = next((title for row in inside if (title := items[row].title)), None)
                if title is not None:
                    titled.append(title if len(title) <= _TITLE_LENGTH else title[: _TITLE_LENGTH - 1] + "…")
                    titles[0] += 1
            branches.append(
                Branch(
                    code=[*prefix, code],
                    items=len(inside),
                    words=telling.words(inside, words),
                    examples=titled,
                    branches=grow(inside, [*prefix, code]),
                )
            )
        return branches

    return grow(np.arange(len(items)), [])
