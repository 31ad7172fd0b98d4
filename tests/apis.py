"""HTTPS servers on loopback, and one of plain HTTP, that answer as devices' APIs are documented to, and worse."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.certificates import Authority

Answer = Callable[["Request"], None]


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    path: str
    headers: dict[str, str]


class Request(BaseHTTPRequestHandler):
    """One request, for the test's own answer."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append(Seen(self.command, self.path, dict(self.headers)))
        self.close_connection = True
        with suppress(OSError):
            self.server.answer(self)

    do_POST = do_GET  # noqa: N815

    def give(self, status: int, body: bytes = b"", **headers: str) -> None:
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name is http.server's
        """Nothing: the tests look at what was seen."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    seen: list[Seen]
    answer: Answer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: clients that do not trust us hang up."""


@dataclass
class Api:
    """A running server."""

    port: int
    folder: Path
    seen: list[Seen] = field(default_factory=list)

    @property
    def ca_file(self) -> str:
        return str(self.folder / "authority.pem")

    @property
    def fingerprint(self) -> str:
        der = ssl.PEM_cert_to_DER_cert((self.folder / "cert.pem").read_text())
        return "sha256:" + hashlib.sha256(der).hexdigest()


@contextmanager
def api(folder: Path, answer: Answer, *hosts: str, plain: bool = False) -> Iterator[Api]:
    """An HTTPS server with a certificate for these hosts, 127.0.0.1 where none is named; ``plain`` without TLS."""
    server = _Server(("127.0.0.1", 0), Request)
    if not plain:
        Authority().issue(folder, *(hosts or ("127.0.0.1",)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        # The handshake is the connection's own thread's: one that hangs there must not hold the others up.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    found = Api(server.server_address[1], folder)
    server.seen, server.answer = found.seen, answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
