"""A stand-in for NetBox' REST API, as its documentation says it behaves, and for web servers that misbehave."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
MAX_PAGE = 1000


def device(number: int, **changes: Any) -> dict[str, Any]:
    """A device as the API shows it."""
    name = f"sw{number}"
    return {
        "id": number,
        "url": f"http://netbox/api/dcim/devices/{number}/",
        "display": name,
        "name": name,
        "role": {"id": 1, "name": "Access switch", "slug": "access-switch"},
        "tenant": None,
        "platform": {"id": 1, "name": "Cisco IOS-XE", "slug": "cisco-ios-xe"},
        "site": {"id": 7, "name": "Berlin 1", "slug": "ber1"},
        "status": {"value": "active", "label": "Active"},
        "primary_ip": {"id": number, "family": {"value": 4, "label": "IPv4"}, "address": f"192.0.2.{number % 250}/24"},
        "primary_ip4": {"id": number, "address": f"192.0.2.{number % 250}/24"},
        "primary_ip6": None,
        "config_context": {"ntp": ["192.0.2.250"]},
        "local_context_data": None,
        "tags": [{"id": 3, "name": "Core Net", "slug": "core-net", "color": "9e9e9e"}],
        "custom_fields": {"devicevault_credential": None},
    } | changes


@dataclass
class WebServer:
    """What it answers, and what it was asked."""

    port: int = 0
    devices: list[dict[str, Any]] = field(default_factory=list)
    token: str = TOKEN
    #: The status of every answer, where it is not 200.
    status: int = 200
    #: In place of the API's answer.
    body: bytes | None = None
    media_type: str = "application/json"
    #: What ``next`` begins with; its own address otherwise.
    public: str = ""
    location: str = ""
    #: One by one, what happens before an answer: the devices change while their pages are read.
    between: list[list[dict[str, Any]]] = field(default_factory=list)
    #: Where its ``cert.pem`` and ``key.pem`` are; no TLS where there is none.
    tls: Path | None = None
    is_slow: bool = False
    drips: bool = False
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"detail": "out of order"}
        if headers.get("authorization") not in (f"Token {self.token}", f"Bearer {self.token}"):
            return 403, {"detail": "Invalid token"}
        parts = urlsplit(path)
        query = parse_qs(parts.query)
        if parts.path != "/api/dcim/devices/":
            return 404, {"detail": "Not found."}
        limit = min(int(query.get("limit", ["50"])[0]), MAX_PAGE)
        offset = int(query.get("offset", ["0"])[0])
        found = [one for one in self.devices if _passes(one, query)]
        if self.between:
            self.devices = self.between.pop(0)
        if query.get("exclude") == ["config_context"]:
            found = [{key: value for key, value in one.items() if key != "config_context"} for one in found]
        page: dict[str, Any] = {"count": len(found), "next": None, "previous": None}
        page["results"] = found[offset : offset + limit]
        if offset + limit < len(found):
            rest = {**{key: value[0] for key, value in query.items()}, "limit": limit, "offset": offset + limit}
            page["next"] = f"{self.public or self.url}{parts.path}?{urlencode(rest)}"
        return 200, page


def _passes(one: dict[str, Any], query: dict[str, list[str]]) -> bool:
    if "status" in query and one["status"]["value"] not in query["status"]:
        return False
    return not (query.get("has_primary_ip") == ["true"] and one["primary_ip"] is None)


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        known = self.server.web
        known.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        if known.is_slow:
            known.released.wait(60)
        status, data = known.answer(self.path, known.asked[-1][1])
        body = known.body if known.body is not None else json.dumps(data).encode()
        if known.body is not None:
            status = known.status
        self.send_response(302 if known.location else status)
        self.send_header("Content-Type", known.media_type)
        self.send_header("Content-Length", str(len(body)))
        if known.location:
            self.send_header("Location", known.location)
        self.end_headers()
        for n in range(len(body)) if known.drips else ():
            self.wfile.write(body[n : n + 1])
            if known.released.wait(0.2):
                return
        if not known.drips:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class calls it so
        """Nothing on the tests' stderr."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    web: WebServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what some tests are about."""


@contextmanager
def web_server(**how: Any) -> Iterator[WebServer]:
    """The server, on a free port of 127.0.0.1, while the block lasts."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        server.web = WebServer(port=server.server_address[1], **how)
        if server.web.tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server.web.tls / "cert.pem", server.web.tls / "key.pem")
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.web
        finally:
            server.web.released.set()
            server.shutdown()
            thread.join()
