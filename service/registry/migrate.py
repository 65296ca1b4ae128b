"""`python -m service migrate`: bring the registry's schema up to this release, and print what was done.

For operators who set KINDRED_MIGRATE=false. Otherwise the service migrates when it starts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from service.errors import ServiceError
from service.registry import migrations
from service.registry.database import Database, without_password
from service.registry.schema import prepare
from service.settings import Settings, complain


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0: the schema is the newest. 1: it could not be migrated. 2: a setting is invalid."""
    parser = argparse.ArgumentParser(prog="python -m service migrate", description="Migrate the registry's schema.")
    parser.add_argument("--database-url", help="the registry (KINDRED_DATABASE_URL)")
    given = {name: value for name, value in vars(parser.parse_args(arguments)).items() if value is not None}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        complain(error)
        return 2
    try:
        database = Database(settings.database_url, settings.database_timeout)
        try:
            before = prepare(database, migrate=True)
        finally:
            database.close()
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    was = "empty" if before.revision is None else before.revision if before.stamped else "not stamped"
    print(f"{without_password(settings.database_url)}: revision {migrations.HEAD} (was: {was})")
    return 0
