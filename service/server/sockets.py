"""The listening sockets, opened before anything else: a port in use costs no loading and no writing."""

from __future__ import annotations

import errno
import socket

_BACKLOG = 2048  # connections that wait to be taken in; uvicorn's default
_ABSENT = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # a machine without IPv6, most likely


class CannotListen(Exception):
    """The message says why, and which setting to change."""


def listen(host: str, port: int) -> list[socket.socket]:
    """A listening socket for each address of a host; port 0: a free port for each. Raises CannotListen.

    They listen at once, because binding alone does not keep others out: on Linux several sockets may bind to a port as
    long as none of them listens.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise CannotListen(f"{host} is no address of this machine ({error.strerror}): set KINDRED_HOST") from error
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    for family, address in dict.fromkeys((family, address) for family, _, _, _, address in found):
        try:
            sockets.append(_listen(family, address))
        except OSError as error:
            if error.errno in _ABSENT:
                absent = error
                continue
            for opened in sockets:
                opened.close()
            raise CannotListen(_why(host, port, error)) from error
    if not sockets and absent is not None:
        raise CannotListen(f"{host} is no address of this machine ({absent.strerror}): set KINDRED_HOST") from absent
    return sockets


def _listen(family: int, address: object) -> socket.socket:
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)  # type: ignore[arg-type]
        opened.listen(_BACKLOG)
    except BaseException:
        opened.close()
        raise
    return opened


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use: set KINDRED_PORT to another"
    return f"port {port} of {host} cannot be had ({error.strerror}): set KINDRED_PORT or KINDRED_HOST"
