"""The service makes secrets of API keys unreadable, also where they are mistyped."""

from __future__ import annotations

from service.security.keys import parse_key
from service.security.redaction import redact


def test_redaction_leaves_the_id() -> None:
    secret = "0123456789abcdef" * 4
    token = f"kindred_3f9a1c2e77aa_{secret}"
    assert parse_key(token) == ("3f9a1c2e77aa", secret)
    assert redact(f"key {token}, {token}!") == "key kindred_3f9a1c2e77aa_***, kindred_3f9a1c2e77aa_***!"
    for odd in (
        token.upper(),
        token[:-9],
        token + "zz",
        f"Kindred-3f-{secret}",
        f"kindred_{secret}",
        f"KINDRED_{secret}",
    ):
        assert secret[:24] not in redact(odd).lower()
    assert redact("kindred_index_items 12101, /items/kindred_lamp") == "kindred_index_items 12101, /items/kindred_lamp"
