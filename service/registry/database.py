"""The registry's database: SQLite or PostgreSQL behind one SQLAlchemy engine. It raises the service's own errors.

`sqlite` and `postgresql` hold what differs between the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from sqlalchemy import URL, Connection, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import RegistryError, RegistryUnavailable
from service.registry import postgresql, sqlite

_DRIVERS = {"sqlite": "sqlite", "sqlite+pysqlite": "sqlite", "postgresql": "postgresql"}
_DRIVERS["postgresql+psycopg"] = "postgresql"
_SILENT = 4  # times the timeout: a transaction that takes longer is taken to be stuck


class Database:
    """A database, not yet connected. timeout: seconds that a write waits for a lock. Raises RegistryError if the URL
    cannot be used.

    `schema.prepare` sets `opened` once the schema fits. Before that, an error that may mean a wrong URL is
    RegistryError or RegistryRefused; after it, RegistryUnavailable, because it may pass.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parsed = parse_url(url)
        self.is_postgresql = _DRIVERS[parsed.drivername] == "postgresql"
        self.opened = False
        try:
            if self.is_postgresql:
                self.engine = postgresql.create(parsed, timeout)
            else:
                self.engine = sqlite.create(parsed, timeout)
        except ImportError as error:
            raise RegistryError(
                f"KINDRED_DATABASE_URL cannot be used: {error}; a registry in PostgreSQL needs kindred[postgres]"
            ) from error
        except (ArgumentError, TypeError, ValueError) as error:
            raise RegistryError(f"KINDRED_DATABASE_URL cannot be used: {error}") from error
        self._watchdog = postgresql.Watchdog(self.engine, _SILENT * timeout) if self.is_postgresql else None

    @contextmanager
    def reading(self, one_moment: bool = False) -> Iterator[Connection]:
        """A connection whose transaction is rolled back at the end. one_moment: all its statements see one moment.
        Otherwise, in PostgreSQL, each statement sees what was committed before it.
        """
        with self._translated(), self._watched(), self.engine.connect() as connection:
            if one_moment and self.is_postgresql:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def writing(self, alone: bool = False, migrating: bool = False) -> Iterator[Connection]:
        """A connection whose transaction is committed when the block ends without an error.

        SQLite has one writer at a time. In PostgreSQL, writers wait for each other only if they want the same rows.
        alone: no other service writes meanwhile. migrating: alone, and without a time limit.
        """
        watched = nullcontext() if migrating else self._watched()
        with self._translated(), watched, self.engine.connect() as connection:
            connection.execution_options(kindred_writing=True)
            with connection.begin():
                if self.is_postgresql:
                    postgresql.lock_writing(connection, alone or migrating)
                    if migrating:
                        postgresql.allow_long_statements(connection)
                yield connection

    @contextmanager
    def attended(self) -> Iterator[None]:
        """For connections that the caller opens by `engine`: translate errors, and give up on a silent server."""
        with self._translated(), self._watched():
            yield

    def cut(self) -> None:
        """End all connections to a server, whatever they wait for. Any thread may call it."""
        if self._watchdog is not None:
            self._watchdog.cut()

    def _watched(self) -> AbstractContextManager[None]:
        return nullcontext() if self._watchdog is None else self._watchdog.watching()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Raise driver errors as the service's own; InvalidItem, RegistryError and the like pass through."""
        try:
            yield
        except DBAPIError as error:
            if self.is_postgresql:
                raise postgresql.translate(error, not self.opened, self.engine) from error
            raise sqlite.translate(error, not self.opened) from error
        except PoolTimeout as error:
            raise RegistryUnavailable("the registry has no free connection") from error
        except SQLAlchemyError as error:
            raise RegistryError(f"the registry failed: {error}") from error

    def close(self) -> None:
        self.engine.dispose()
        # The cache holds reference cycles, and after `gc.freeze` no collection would find them.
        self.engine.clear_compiled_cache()


def parse_url(url: str) -> URL:
    """Parse the URL of a registry. Raises RegistryError, whose message repeats nothing that may hold a password."""
    advice = "write special characters as %40 for @, %2F for /, %3A for :"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # Without the cause, whose message quotes the URL.
        raise RegistryError(f"KINDRED_DATABASE_URL cannot be used: it is not a SQLAlchemy URL; {advice}") from None
    if "@" in (parsed.host or "") or (parsed.host and "@" in (parsed.database or "")):
        raise RegistryError(f"KINDRED_DATABASE_URL cannot be used: it has more than one @; {advice}")
    if parsed.drivername not in _DRIVERS:
        raise RegistryError(
            f"KINDRED_DATABASE_URL cannot be used: {parsed.drivername!r} is none of {', '.join(sorted(_DRIVERS))}"
        )
    return parsed


def without_password(url: str) -> str:
    """A URL for messages: without its password, and without options, which may hold one. Raises RegistryError."""
    return parse_url(url).set(query={}).render_as_string(hide_password=True)
