"""A TCP port in front of a server, which can fall silent or refuse, as a firewall between two hosts would."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final

from tests.servers import reserved

PIECE: Final = 65536


class Gate:
    """Passes connections on to ``target`` while the ``with`` block lasts."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._reservation = reserved()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"gate-{target}", daemon=True)
        self._flowing = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def __enter__(self) -> Gate:
        self.port = self._reservation.__enter__()
        self._thread.start()
        self._flowing.set()
        self._in_loop(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_loop(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._reservation.__exit__(kind, error, trace)

    def silence(self) -> None:
        """Let nothing through in either direction; connections stay, and new ones are accepted and not answered."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def refuse(self) -> None:
        """Break every connection off and refuse new ones."""
        self._in_loop(self._refuse())

    def open(self) -> None:
        """As if nothing had been."""
        self._loop.call_soon_threadsafe(self._flowing.set)
        self._in_loop(self._listen())

    def _in_loop(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port, backlog=512)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()
        # One turn of the loop: the connections are gone when this returns.
        await asyncio.sleep(0)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            await self._flowing.wait()
            there, onward = await asyncio.open_connection("127.0.0.1", self.target)
            self._writers.add(onward)
            try:
                await asyncio.gather(self._pump(reader, onward), self._pump(there, writer))
            finally:
                self._writers.discard(onward)
                onward.transport.abort()
        except OSError:
            pass  # The server is down: the client learns it by its connection ending.
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(PIECE):
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        with contextlib.suppress(OSError):
            writer.write_eof()
