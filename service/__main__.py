"""`python -m service` serves an artifact root. `python -m service keys | artifacts | migrate | backup` maintain it.

Every option has a `KINDRED_*` variable; the option wins.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from importlib import import_module

from pydantic import ValidationError

from service.server.sockets import CannotListen, listen
from service.settings import Settings, complain, misspelt

# Each has a `main`. Imported only when asked for: they need other packages than a start does.
COMMANDS = {
    "keys": "service.security.keys",
    "artifacts": "service.lifecycle.versions",
    "migrate": "service.registry.migrate",
    "backup": "service.registry.backup",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, or serve until SIGTERM or SIGINT, and finish the requests in flight.

    Exit codes of the service: 1, it cannot listen on the port; 2, a setting is refused; 3, it did not start.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        return int(import_module(COMMANDS[arguments[0]]).main(arguments[1:]))
    given = {name: value for name, value in vars(_parse(arguments)).items() if value is not None}
    only_check, announce = given.pop("check"), given.pop("announce", None)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        complain(error)
        return 2
    if only_check:
        return _check(settings)
    try:
        sockets = listen(settings.host, settings.port)
    except CannotListen as error:
        print(error, file=sys.stderr)
        return 1
    with ExitStack() as stack:
        for each in sockets:
            stack.enter_context(each)
        return _serve(settings, sockets, announce)


def _serve(settings: Settings, sockets: list[socket.socket], announce: int | None) -> int:
    # Before the imports below: OpenMP reads this once, when torch and FAISS are loaded.
    os.environ.setdefault("OMP_NUM_THREADS", str(settings.threads))

    from service import logs
    from service.api.app import create_app
    from service.security.keys import BadKeys
    from service.security.redaction import redact
    from service.server.server import Server, configuration

    logs.configure(settings.log_level, redact)
    for said in misspelt(os.environ):
        logging.getLogger("kindred.service").warning(said)
    try:
        app = create_app(settings)
    except BadKeys as error:
        print(f"KINDRED_KEYS: {error}", file=sys.stderr)
        return 2
    server = Server(configuration(app, settings))
    server.documentation = settings.keys is None
    server.announce = announce
    if settings.keys is None:
        _say_open(settings)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again once Ctrl+C has stopped the server
        server.run(sockets)
    return 0 if server.started else 3


def _check(settings: Settings) -> int:
    """Exit code 0 if the service could start with these settings and keys."""
    from service.security.keys import BadKeys, read_keys

    if settings.keys is not None:
        try:
            read_keys(settings.keys)
        except BadKeys as error:
            print(f"KINDRED_KEYS: {error}", file=sys.stderr)
            return 2
    return 0


def _say_open(settings: Settings) -> None:
    log = logging.getLogger("kindred.service")
    if settings.is_loopback:
        log.info("no API keys are set (KINDRED_KEYS): every program on this machine can read, add and delete items")
    else:
        log.warning(
            "no API keys are set, as KINDRED_OPEN allows: anyone who reaches the port can read, add and delete items",
            extra={"host": settings.host},
        )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m service",
        description="Serve recommendations.",
        epilog=f"Commands, each with a --help of its own: python -m service {' | '.join(COMMANDS)}",
    )
    parser.add_argument("--host", help="address to listen on (KINDRED_HOST, default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for any (KINDRED_PORT, default 8000)")
    parser.add_argument("--artifacts", help="artifact root, or one version (KINDRED_ARTIFACTS, default ./artifacts)")
    parser.add_argument(
        "--database-url",
        help="registry of added items (KINDRED_DATABASE_URL, default sqlite:///./var/registry.db)",
    )
    parser.add_argument(
        "--announce", type=int, metavar="FD", help="write the address to this file descriptor once the service listens"
    )
    parser.add_argument("--check", action="store_true", help="check the settings and the keys, and end")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
