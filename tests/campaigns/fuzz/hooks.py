"""What Schemathesis cannot make by itself, for tests/campaigns/fuzz/test_schemathesis.py.

An idempotency key is in quotes, which it keeps out of headers in places. Each is a new one: a key that is sent again is
answered as before, though the item that the answer speaks of may have been deleted since.
"""

from __future__ import annotations

import uuid

import schemathesis
from hypothesis import strategies as st

schemathesis.openapi.format("sf-string", st.integers(0, 9).map(lambda digit: f'"{uuid.uuid4()} \\"{digit}"'))
