"""Making the secrets of API keys unreadable, wherever a text leaves the service: in answers, logs and errors."""

from __future__ import annotations

import re

PREFIX = "kindred"  # of every key

# Wider than the form: a key with a typing error in it still holds a secret.
_ANYWHERE = re.compile(rf"(?i)({PREFIX}[_-]\w{{0,64}}?[_-]?)[0-9a-f]{{16,}}\w*")
_MARKS = (f"{PREFIX}_", f"{PREFIX}-")


def redact(text: str) -> str:
    """`text` with the secret of every key in it made unreadable; the ids stay."""
    # Every log line comes by here, and hardly one holds a key: to look for the prefix is ten times faster.
    lowered = text.lower()
    return _ANYWHERE.sub(r"\1***", text) if any(mark in lowered for mark in _MARKS) else text
