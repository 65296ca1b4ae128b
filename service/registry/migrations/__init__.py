"""The registry's schema as Alembic revisions. A new one is a file in `versions` and its name in `REVISIONS`.

There is no env.py: a revision runs on the caller's connection, inside its transaction. There is no downgrade: to go
back to an older release, restore the backup from before the upgrade.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003")
HEAD = REVISIONS[-1]
# Our own table, because another application in the same database may use Alembic too.
VERSION_TABLE = "kindred_alembic_version"


def upgrade(connection: Connection, adopted: str | None) -> None:
    """Bring the schema to `HEAD` in the connection's transaction. adopted: the revision of an unstamped schema."""
    # These imports take half a second; a start on the newest schema does without them.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script = ScriptDirectory(str(Path(__file__).parent))

    def steps(heads: tuple[str, ...], _context: Any) -> Any:
        return script._upgrade_revs(HEAD, heads)  # type: ignore[arg-type]  # as Alembic's EnvironmentContext documents

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=HEAD) as environment:
        environment.configure(connection=connection, version_table=VERSION_TABLE)
        if adopted is not None:
            environment.get_context().stamp(script, adopted)
        environment.run_migrations()
