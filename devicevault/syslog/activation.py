"""The sockets messages come in by: those systemd hands over, or two of our own."""

from __future__ import annotations

import os
import socket
from typing import Final

from devicevault.errors import ConfigurationError, Fault

#: The first descriptor handed over, as sd_listen_fds(3) says.
FIRST: Final = 3


def handed_over() -> list[socket.socket]:
    """The sockets systemd passed to this process, and to no child of it; none when it passed none.

    Raises :class:`ConfigurationError` for one that is no socket for messages.
    """
    own = os.environ.pop("LISTEN_PID", "") == str(os.getpid())
    count = os.environ.pop("LISTEN_FDS", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if not own or not count.isdecimal():
        return []
    return [_socket(descriptor) for descriptor in range(FIRST, FIRST + int(count))]


def _socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    try:
        found = socket.socket(fileno=descriptor)
        fits = found.family in (socket.AF_INET, socket.AF_INET6) and (
            found.type == socket.SOCK_DGRAM
            or (found.type == socket.SOCK_STREAM and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        )
    except OSError:
        fits = False
    if not fits:
        raise ConfigurationError(
            Fault(
                "devicevault-syslog.socket",
                f"descriptor {descriptor} is no UDP socket and no listening TCP socket",
                "say ListenDatagram= and ListenStream= with ports or addresses, and Accept=no",
            )
        )
    return found


def bound(listen: str) -> list[socket.socket]:
    """UDP and TCP at ``HOST:PORT``. Raises :class:`ConfigurationError` when it can't be listened at."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made: list[socket.socket] = []
    try:
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            made.append(socket.socket(family, kind))
            # Of UDP it would let another process take the messages.
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
            made[-1].bind((host, int(port)))
        made[-1].listen()
    except OSError as error:
        for one in made:
            one.close()
        raise ConfigurationError(
            Fault(
                "syslog.listen",
                f"{listen} can't be listened at: {error.strerror or error}",
                "choose another HOST:PORT, or a systemd socket for ports below 1024",
            )
        ) from None
    return made
