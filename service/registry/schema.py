"""The schema of a registry: finding its revision, and migrating it to the newest."""

from __future__ import annotations

import logging
from typing import NamedTuple

from sqlalchemy import Connection, column, inspect, select, table

from service.errors import RegistryError
from service.registry import migrations, postgresql
from service.registry.database import Database
from service.registry.tables import items_table, meta_table

log = logging.getLogger("kindred.registry")

_version_table = table(migrations.VERSION_TABLE, column("version_num"))


class State(NamedTuple):
    """revision: None for an empty database. stamped: false if a release before revisions made the schema."""

    revision: str | None
    stamped: bool


def prepare(database: Database, migrate: bool) -> State:
    """Make sure that the schema is `migrations.HEAD`, and return its state from before.

    With `migrate`, one service at a time brings an empty, older or unstamped schema there. Raises RegistryError for an
    unknown schema and, without `migrate`, for one that is not the newest. Raises RegistryUnavailable too.
    """
    # One moment, because another service may migrate meanwhile: then one of its tables would be here, another not.
    with database.reading(one_moment=True) as connection:
        if database.is_postgresql:
            postgresql.check(connection)
        before = _state(connection)
    if before != State(migrations.HEAD, True):
        if not migrate:
            raise RegistryError(
                f"the registry is {_named(before)}, this release reads revision {migrations.HEAD}, and KINDRED_MIGRATE "
                "is false: `python -m service migrate` brings it there"
            )
        with database.writing(migrating=True) as connection:
            # Look again, now that nobody else migrates.
            before = _state(connection)
            if before != State(migrations.HEAD, True):
                migrations.upgrade(connection, None if before.stamped else before.revision)
                log.info("registry migrated", extra={"before": _named(before), "revision": migrations.HEAD})
    database.opened = True
    return before


def _state(connection: Connection) -> State:
    """Raises RegistryError for a schema that no release up to this one made."""
    found = inspect(connection)
    if found.has_table(migrations.VERSION_TABLE):
        revision = connection.execute(select(_version_table.c.version_num)).scalar_one_or_none()
        if revision is not None:
            if revision not in migrations.REVISIONS:
                raise RegistryError(
                    f"the registry has revision {revision}, this release knows up to {migrations.HEAD}: use the "
                    "release that wrote it, or point KINDRED_DATABASE_URL at another database"
                )
            return State(revision, True)
    has_items, has_meta = found.has_table(items_table.name), found.has_table(meta_table.name)
    if not has_items and not has_meta:
        return State(None, True)
    version: str | None = None
    if has_items and has_meta:
        query = select(meta_table.c.value).where(meta_table.c.name == "schema_version")
        version = connection.execute(query).scalar_one_or_none()
    if version != "1":
        raise RegistryError(
            f"the registry has schema version {version}, this service reads version 1 and revisions up to "
            f"{migrations.HEAD}: use the release that wrote it, or point KINDRED_DATABASE_URL at another database"
        )
    return State("0001", False)


def _named(state: State) -> str:
    if state.revision is None:
        return "empty"
    return f"at revision {state.revision}" + ("" if state.stamped else " (made before revisions were counted)")
