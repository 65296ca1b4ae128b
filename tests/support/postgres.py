"""A private PostgreSQL server for tests: its own folder and port on 127.0.0.1, passwords asked for, fsync on.

The binaries are the system's; `scripts/install-postgres.sh` installs them. Nothing of another server on the machine
is touched.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import URL

USER = "kindred"
PASSWORD = "s3cret:word/@%?"  # every character that means something in a URL


class Server:
    """A cluster in a folder of its own. Started and stopped as often as a test likes; its data stays until `remove`."""

    def __init__(self, binaries: Path) -> None:
        self._binaries = binaries
        self._process: subprocess.Popen[bytes] | None = None
        # Not below pytest's folders: those are closed to the user that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="kindred-postgres-"))
        self._as_user = _unprivileged()
        if self._as_user is not None:
            os.chown(self._folder, self._as_user, -1)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        password = self._folder / "password"
        password.write_text(PASSWORD, encoding="utf-8")
        password.chmod(0o644)
        made = self._run(
            "initdb", "-D", str(self._data), "-U", USER, "--pwfile", str(password), "-A", "scram-sha-256",
            "-E", "UTF8", "--no-locale",
        )  # fmt: skip
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stderr.decode()}")

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        assert self._process is not None
        return self._process.pid

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [str(self._binaries / program), *arguments]
        return subprocess.run(command, cwd=self._folder, user=self._as_user, capture_output=True, check=False)

    def start(self) -> None:
        """Start it, unless it runs, and wait until it accepts connections."""
        if self._process is not None:
            return
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._binaries / "postgres"),
                    *("-D", str(self._data), "-p", str(self.port), "-k", str(self._folder)),
                    *("-c", "listen_addresses=127.0.0.1", "-c", "fsync=on"),
                    # What an operator might have set, and the registry must not follow.
                    *("-c", "synchronous_commit=off", "-c", "default_transaction_isolation=serializable"),
                ],
                cwd=self._folder,
                user=self._as_user,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + 60
        while True:
            try:
                psycopg.connect(self.url("postgres").set(drivername="postgresql").render_as_string(False)).close()
                return
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > end:
                    log_text = (self._folder / "log").read_text(encoding="utf-8", errors="replace")
                    raise RuntimeError(f"the server did not start: {log_text[-2000:]}") from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Fast shutdown: sessions are ended, everything is written."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """As a crash: the postmaster and what it started get SIGKILL, nothing is written any more."""
        # The postmaster first, and while it stands still: it would start anew what it finds missing.
        processes = self._signal_all(signal.SIGSTOP)
        self._end(signal.SIGKILL)
        children = processes[1:]
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue  # it went with the postmaster
        end = time.monotonic() + 30
        while any(_runs(child) for child in children):
            assert time.monotonic() < end
            time.sleep(0.01)

    def freeze(self) -> None:
        """Stop the postmaster and what it started where they are: connections stay, nothing answers."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, sent: signal.Signals) -> list[int]:
        """Send a signal to the postmaster, then to its children; their process ids."""
        os.kill(self.pid, sent)
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        for child in map(int, children):
            with suppress(ProcessLookupError):  # some live for a moment only
                os.kill(child, sent)
        return [self.pid, *map(int, children)]

    def _end(self, with_signal: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(with_signal)
            self._process.wait(60)
            self._process = None

    def remove(self) -> None:
        self._end(signal.SIGQUIT)  # at once: there is nothing to keep, and to write it all down takes long
        shutil.rmtree(self._folder)

    def url(self, database: str, password: str = PASSWORD) -> URL:
        return URL.create("postgresql", USER, password, "127.0.0.1", self.port, database)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement outside any transaction, as the superuser; its rows, if it has any."""
        with psycopg.connect(self.url(database).render_as_string(False), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def database(self) -> str:
        """The URL, password included, of a database without tables: the same one each time, emptied."""
        if not self.execute("SELECT 1 FROM pg_database WHERE datname = 'shop'"):
            return self.own_database(name="shop")
        self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop'")
        self.execute("DROP SCHEMA public CASCADE", "shop")
        self.execute("CREATE SCHEMA public", "shop")
        return self.url("shop").render_as_string(False)

    def own_database(self, options: str = "", name: str | None = None) -> str:
        """The URL of a new database, for a test that changes more than its tables. It takes a second to make."""
        name = name or f"test_{secrets.token_hex(6)}"
        self.execute(f"CREATE DATABASE {name} {options}")
        return self.url(name).render_as_string(False)


def _runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"  # a zombie holds nothing any more


def find_binaries() -> Path | None:
    """The folder of the newest PostgreSQL server installed, None where there is none."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if found:
        return max(found, key=lambda path: int(path.parent.name) if path.parent.name.isdecimal() else 0)
    on_path = shutil.which("initdb")
    return Path(on_path).resolve().parent if on_path else None


def _unprivileged() -> int | None:
    """The user that the server runs as: PostgreSQL refuses root. None: the user of the tests."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise RuntimeError("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


@contextmanager
def running_server() -> Iterator[Server]:
    """A server that runs. Where none is installed the test is skipped, in CI it fails."""
    binaries = find_binaries()
    if binaries is None:
        message = "no PostgreSQL server is installed (on Debian: scripts/install-postgres.sh --always)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    server = Server(binaries)
    try:
        server.start()
        yield server
    finally:
        server.remove()
