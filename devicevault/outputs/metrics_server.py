"""Serves ``/metrics`` and ``/healthz``; nothing else, and nothing secret."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S: Final = 10
BIND_AGAIN_S: Final = 30.0


class MetricsServer:
    """Serves as long as the ``with`` block lasts, from threads of its own. A port that is taken is tried again."""

    def __init__(self, listen: str, registry: CollectorRegistry, trouble: Callable[[], str]) -> None:
        """``listen`` is HOST:PORT, or empty for none; ``trouble`` tells why the daemon does not work, or nothing."""
        self._listen = listen
        self._handler = _handler(registry, trouble)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics-server", daemon=True)

    def __enter__(self) -> MetricsServer:
        if self._listen:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        host, _, port = self._listen.rpartition(":")
        told = False
        while not self._ended.is_set():
            try:
                server = _Server((host.strip("[]"), int(port)), self._handler)
            except OSError as error:
                if not told:
                    logger.warning(
                        "no metrics are served: %s can't be listened at: %s; choose another metrics.listen",
                        self._listen,
                        error.strerror or error,
                    )
                told = True
                self._ended.wait(BIND_AGAIN_S)
                continue
            logger.info("serving http://%s/metrics and /healthz", self._listen)
            with server:
                while not self._ended.is_set():
                    server.handle_request()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    #: Seconds after which ``handle_request`` returns when nobody asks.
    timeout = 0.2

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("metrics: a client went away")


def _handler(registry: CollectorRegistry, trouble: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_TIMEOUT_S
        server_version = "devicevault"
        sys_version = ""

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                encode, content_type = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, content_type, encode(registry))
            elif path == "/healthz":
                found = trouble()
                self._answer(503 if found else 200, "text/plain; charset=utf-8", f"{found or 'ok'}\n".encode())
            else:
                self._answer(404, "text/plain; charset=utf-8", b"there is /metrics and /healthz\n")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, code: int, content_type: str, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - its name in http.server
            pass

    return Handler
