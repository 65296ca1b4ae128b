"""A PostgreSQL database for a benchmark, on a private server unless one is named."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sqlalchemy import NullPool, create_engine, make_url, text

from tests.support.postgres import Server, find_binaries


@contextmanager
def postgres_database(server: str | None) -> Iterator[str]:
    """Make an empty database and yield its URL; remove it at the end."""
    with ExitStack() as stack:
        if server is None:
            binaries = find_binaries()
            if binaries is None:
                raise SystemExit("no PostgreSQL server is installed; name one with --database-url")
            own = Server(binaries)
            stack.callback(own.remove)
            own.start()
            server = own.url("postgres").render_as_string(hide_password=False)
        name = f"kindred_benchmark_{secrets.token_hex(4)}"
        engine = create_engine(
            make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=NullPool
        )
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
        try:
            yield make_url(server).set(database=name).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
