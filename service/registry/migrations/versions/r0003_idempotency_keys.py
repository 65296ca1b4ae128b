"""The answers that are kept for retries, by idempotency key.

A service of the release before, which may still run beside this one, knows neither the table nor the header.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "kindred_idempotency_keys",
        sa.Column("caller", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    op.create_index("ix_kindred_idempotency_keys_created_at", "kindred_idempotency_keys", ["created_at"])
