"""Proxies on loopback: SOCKS5 and HTTP CONNECT, with a password or without, as their standards say."""

from __future__ import annotations

import base64
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

PASSWORD: Final = "proxy canary"
LOGIN: Final = ("proxyuser", PASSWORD)


@dataclass
class Proxy:
    """What it listens at, and what it was asked for."""

    port: int
    #: ``HOST:PORT`` of every connection it made.
    connections: list[str] = field(default_factory=list)
    refusals: int = 0


@contextmanager
def proxy(kind: str, *, needs_login: bool = False, forbids: bool = False) -> Iterator[Proxy]:
    """A proxy of this kind (``socks5`` or ``http``) that serves each connection in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Proxy(listener.getsockname()[1])
        greet = _socks5 if kind == "socks5" else _http

        def serve(client: socket.socket) -> None:
            with client, suppress(OSError, EOFError):
                client.settimeout(60)
                if server := greet(client, made, needs_login, forbids):
                    with server:
                        _join(client, server)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=serve, args=(client,), daemon=True).start()

        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join()


def _socks5(client: socket.socket, made: Proxy, needs_login: bool, forbids: bool) -> socket.socket | None:
    version, count = _read(client, 2)
    methods = _read(client, count)
    assert version == 5
    method = 2 if needs_login else 0
    if method not in methods:
        client.sendall(b"\x05\xff")
        return None
    client.sendall(bytes([5, method]))
    if needs_login:
        _read(client, 1)
        login = tuple(_read(client, _read(client, 1)[0]).decode() for _ in range(2))
        client.sendall(bytes([1, login != LOGIN]))
        if login != LOGIN:
            made.refusals += 1
            return None
    _, _, _, kind = _read(client, 4)
    if kind == 3:
        host = _read(client, _read(client, 1)[0]).decode()
    else:
        family, size = {1: (socket.AF_INET, 4), 4: (socket.AF_INET6, 16)}[kind]
        host = socket.inet_ntop(family, _read(client, size))
    (port,) = struct.unpack(">H", _read(client, 2))
    server = None if forbids else _connect(host, port, made)
    reply = 2 if forbids else 0 if server else 5
    client.sendall(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))
    return server


def _http(client: socket.socket, made: Proxy, needs_login: bool, forbids: bool) -> socket.socket | None:
    header = b""
    while not header.endswith(b"\r\n\r\n"):
        header += _read(client, 1)
    request, *fields = header.decode().split("\r\n")
    method, target, _ = request.split()
    assert method == "CONNECT"
    wanted = "Proxy-Authorization: Basic " + base64.b64encode(":".join(LOGIN).encode()).decode()
    if needs_login and wanted not in fields:
        made.refusals += 1
        client.sendall(b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\n')
        return None
    host, _, port = target.rpartition(":")
    server = None if forbids else _connect(host.strip("[]"), int(port), made)
    if server is None:
        client.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n" if forbids else b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        return None
    # The device's greeting comes in the same packet: whoever reads too much of the answer loses it.
    first = server.recv(4096)
    client.sendall(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n" + first)
    return server


def _connect(host: str, port: int, made: Proxy) -> socket.socket | None:
    try:
        server = socket.create_connection((host, port), timeout=10)
    except OSError:
        return None
    made.connections.append(f"{host}:{port}")
    return server


def _read(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        if not (piece := client.recv(size - len(data))):
            raise EOFError
        data += piece
    return data


def _join(client: socket.socket, server: socket.socket) -> None:
    def carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            source.settimeout(None)
            while data := source.recv(65536):
                target.sendall(data)
        with suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=carry, args=(server, client), daemon=True)
    back.start()
    carry(client, server)
    back.join()
