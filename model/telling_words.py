"""Telling words: the words that set the texts of a group of items apart from the catalogue.

The gain of a word is p · log(p / q), its part in KL(p ‖ q). p is the share of the group's items with the word, q the
share of the catalogue's. The gain is positive for words that are more frequent in the group than in the catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sparse
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

_WORD = re.compile(r"[^\W\d_]{3,}")
_DIGITS = 12  # of a gain are compared, so that gains that differ by rounding alone are ties


class TellingWords:
    """The words of a catalogue's texts, and the items that have them.

    Rows 0 … n − 1 are the catalogue's items in their order; `with_more` adds the rows n, n + 1, …
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._vectorizer = CountVectorizer(analyzer=_words, binary=True, dtype=np.bool_)
        try:
            self._said = self._vectorizer.fit_transform(texts)  # [n, words], bool
            self._vocabulary: list[str] = self._vectorizer.get_feature_names_out().tolist()  # in alphabetical order
        except ValueError:  # raised by scikit-learn for texts without any word
            self._said, self._vocabulary = sparse.csr_matrix((len(texts), 0), dtype=np.bool_), []
        self._everywhere = np.bincount(self._said.indices, minlength=len(self._vocabulary))
        self._more = self._said[:0]

    def __len__(self) -> int:
        """The number of rows."""
        return int(self._said.shape[0] + self._more.shape[0])

    def with_more(self, texts: Sequence[str]) -> TellingWords:
        """The same with more items, which groups may contain. The shares q stay those of the catalogue.

        Words that no text of the catalogue has are left out, since their share is unknown. Any guess would let one odd
        text, or one in another language, name a small group.
        """
        grown = TellingWords.__new__(TellingWords)
        grown.__dict__.update(self.__dict__)  # shares the catalogue's part, which never changes
        if self._vocabulary and len(texts):
            added = self._vectorizer.transform(texts)
        else:
            added = sparse.csr_matrix((len(texts), len(self._vocabulary)), dtype=np.bool_)
        grown._more = sparse.vstack([self._more, added], format="csr")
        return grown

    def words(self, rows: NDArray[np.int64], count: int) -> list[str]:
        """The `count` words of largest gain of one group of items, rows [m]; ties in alphabetical order."""
        return self.of_groups(rows, np.zeros(len(rows), np.int64), 1, count)[0]

    def of_groups(
        self, rows: NDArray[np.int64], groups: NDArray[np.int64], n_groups: int, count: int
    ) -> list[list[str]]:
        """The `count` words of largest gain of each group, a list for each of the groups 0 … n_groups − 1.

        Item rows[i] is in group groups[i], both [m]; an item may be in several groups. A group without items has no
        words. Raises IndexError for a row or group out of range.
        """
        _check(rows, len(self), "row")
        _check(groups, n_groups, "group")
        n_items = self._said.shape[0]
        new = rows >= n_items
        said = sparse.vstack([self._said[rows[~new]], self._more[rows[new] - n_items]], format="csr", dtype=np.int32)
        members = np.concatenate([groups[~new], groups[new]])
        places = (members, np.arange(len(members)))
        found = sparse.csr_matrix((np.ones(len(members), np.int32), places), (n_groups, len(members))) @ said
        of = np.repeat(np.arange(n_groups), np.diff(found.indptr))
        share = found.data / np.bincount(groups, minlength=n_groups)[of]
        gain = np.round(share * np.log(share / (self._everywhere[found.indices] / n_items)), _DIGITS)
        # By group, then by gain, then by number, which is alphabetical order.
        best = np.lexsort((found.indices, -gain, of))
        best = best[gain[best] > 0]
        starts = np.searchsorted(of[best], np.arange(n_groups + 1))
        return [
            [self._vocabulary[word] for word in found.indices[best[start : min(start + count, end)]]]
            for start, end in pairwise(starts)
        ]


def _words(text: str) -> list[str]:
    """The words of three letters or more, in lower case; digits and underscores separate words."""
    return [word.lower() for word in _WORD.findall(text)]


def _check(values: NDArray[Any], bound: int, what: str) -> None:
    if len(values) and not 0 <= values.min() <= values.max() < bound:
        raise IndexError(f"{what} {values[(values < 0) | (values >= bound)][0]} is not one of {bound}")
