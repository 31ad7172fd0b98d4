"""Where notices arrive in a test: an HTTP server and an SMTP server on loopback, each keeping what it was sent."""

from __future__ import annotations

import email
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class HttpSink:
    """Keeps every JSON body it is sent; answers with ``code``, after ``pause_s``."""

    port: int = 0
    code: int = 200
    pause_s: float = 0
    bodies: list[dict[str, Any]] = field(default_factory=list)
    #: How often it was asked, whatever it answered.
    asked: int = 0

    def url(self, secret: str = "") -> str:
        """As Apprise names it."""
        return f"json://127.0.0.1:{self.port}/{secret}"

    @property
    def titles(self) -> list[str]:
        return [str(body["title"]) for body in self.bodies]


@contextmanager
def http_sink() -> Iterator[HttpSink]:
    sink = HttpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sink.asked += 1
            time.sleep(sink.pause_s)
            if sink.code == 200:
                sink.bodies.append(json.loads(body))
            self.send_response(sink.code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in http.server
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.port = server.server_address[1]
        yield from _served(server, sink)


@dataclass
class SmtpSink:
    """Keeps every message it takes."""

    port: int = 0
    messages: list[Message] = field(default_factory=list)


@contextmanager
def smtp_sink() -> Iterator[SmtpSink]:
    """As much of RFC 5321 as a client needs that sends mail."""
    sink = SmtpSink()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 sink")
            while line := self.rfile.readline():
                verb = line.decode().split(None, 1)[0].upper()
                if verb == "DATA":
                    self._say("354 go on")
                    self._take()
                    self._say("250 taken")
                elif verb == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("250 sink")

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def _take(self) -> None:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line[1:] if line.startswith(b"..") else line)
            sink.messages.append(email.message_from_bytes(b"".join(lines)))

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.port = server.server_address[1]
        yield from _served(server, sink)


def _served(server: socketserver.BaseServer, sink: Any) -> Iterator[Any]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield sink
    finally:
        server.shutdown()
        thread.join()


def text_of(message: Message) -> str:
    """The plain text of a mail."""
    for part in message.walk():
        if part.get_content_type() == "text/plain":
            raw = part.get_payload(decode=True)
            return raw.decode() if isinstance(raw, bytes) else ""
    return ""
