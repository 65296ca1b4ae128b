"""PostgreSQL: each row says which transaction wrote it last, and a commit tells listeners (`service.registry.changes`).

Triggers do it, so that a service of the release before, which may still run beside this one, does it too. SQLite,
whose file has one service, needs nothing.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_STATEMENTS = (
    # Without a default: rows from before are not written anew. Who starts reads them all anyway.
    "ALTER TABLE kindred_items ADD COLUMN change_xid xid8",
    "CREATE INDEX ix_kindred_items_change_xid ON kindred_items (change_xid)",
    """
    CREATE OR REPLACE FUNCTION kindred_items_mark() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.change_xid := pg_catalog.pg_current_xact_id();
        RETURN NEW;
    END $$
    """,
    """
    CREATE OR REPLACE FUNCTION kindred_items_tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_catalog.pg_notify('kindred_items', '');
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER kindred_items_mark BEFORE INSERT OR UPDATE ON kindred_items "
    "FOR EACH ROW EXECUTE FUNCTION kindred_items_mark()",
    "CREATE TRIGGER kindred_items_tell AFTER INSERT OR UPDATE ON kindred_items "
    "FOR EACH STATEMENT EXECUTE FUNCTION kindred_items_tell()",
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in _STATEMENTS:
            op.execute(statement)
