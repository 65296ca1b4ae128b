"""Search as you type: SQLite's full-text index over the ids, titles, brands and categories of items."""

from __future__ import annotations

import re
import sqlite3
import threading
from collections.abc import Iterator

from model.items import clean_text
from service.catalogue.moment import Moment

# As SQLite's tokenizer does: words are runs of letters and digits.
_WORD = re.compile(r"[^\W_]+")
_WORDS = 16  # words of a query, at most
_MORE = 4  # asks for so many times as many, if too many of those found are no longer served


class Search:
    """An index in memory. The first search makes it, each later one appends the rows that came since.

    Making it takes some 15 µs an item. Searches wait for each other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._held: object = None
        self._rows = 0

    def find(self, moment: Moment, query: str, limit: int) -> list[int]:
        """Up to `limit` rows that have every word of the query, or a word that begins with it; best first (BM25). A
        query without words finds the most popular items.
        """
        # Cleaned as items are (NFC), because a separate accent would end a word here.
        words = _WORD.findall(clean_text(query))[:_WORDS]
        if not words:
            return moment.popular(limit, None, ())
        with self._lock:
            connection = self._follow(moment)
            return self._matching(connection, moment, " ".join(f'"{word}"*' for word in words), limit)

    def forget(self, generation: object) -> None:
        """Let go of what is kept of a generation that is no longer served."""
        with self._lock:
            if self._connection is not None and self._held is generation:
                self._connection.close()
                self._connection, self._held = None, None

    def _matching(self, connection: sqlite3.Connection, moment: Moment, match: str, limit: int) -> list[int]:
        asked = 2 * limit
        while True:
            statement = "SELECT rowid FROM items WHERE items MATCH ? ORDER BY rank, rowid LIMIT ?"
            found = [row for (row,) in connection.execute(statement, (match, asked))]
            served = [row for row in found if row < moment.index.n and moment.is_served(row)]
            if len(served) >= limit or len(found) < asked:
                return served[:limit]
            asked *= _MORE

    def _follow(self, moment: Moment) -> sqlite3.Connection:
        """The index with all rows of the moment."""
        connection = self._connection
        if connection is None or self._held is not moment.generation:
            if connection is not None:
                connection.close()
            connection = self._connection = sqlite3.connect(":memory:", check_same_thread=False)
            connection.execute(
                "CREATE VIRTUAL TABLE items USING fts5(words, content='', prefix='1 2 3', "
                "tokenize='unicode61 remove_diacritics 2')"
            )
            self._held, self._rows = moment.generation, 0
        if self._rows < moment.index.n:
            connection.executemany("INSERT INTO items(rowid, words) VALUES (?, ?)", _texts(moment, self._rows))
            self._rows = moment.index.n
        return connection


def _texts(moment: Moment, start: int) -> Iterator[tuple[int, str]]:
    for row in range(start, moment.index.n):
        item = moment.record(row).item
        shown = (item.item_id, item.title, item.brand, *item.categories)
        # An id may hold characters that UTF-8, and so SQLite, cannot.
        yield row, " ".join(part for part in shown if part).encode("utf-8", "replace").decode("utf-8")
