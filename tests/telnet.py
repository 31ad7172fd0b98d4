"""Simulated devices without SSH: a telnet server, a bare serial line, and an SSH console server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import asyncssh

from devicevault.demo.fleet import SimulatedDevice
from devicevault.demo.terminal import SessionEnded, Terminal

Send = Callable[[bytes], Coroutine[Any, Any, None]]
Receive = Callable[[], Coroutine[Any, Any, bytes]]

IAC, SB, SE = 255, 250, 240
#: DO window size, terminal type, linemode; WILL echo, suppress go-ahead; and one option nobody knows.
GREETING: Final = bytes([IAC, 253, 31, IAC, 253, 24, IAC, 253, 34, IAC, 251, 1, IAC, 251, 3, IAC, 251, 199])
TRIES: Final = 3


@dataclass
class Line:
    """A device's command line behind a login, whatever carries it."""

    device: SimulatedDevice
    #: Says nothing before Enter is pressed, and keeps its login when the connection ends: a serial line.
    serial: bool = False
    banner: str = "\r\n*** Authorised use only. Password: never told. ***\r\n\r\n"
    #: Seconds until a login is judged, as over a slow TACACS+ server.
    judged_after_s: float = 0.0
    #: Everything that was typed, with every key.
    typed: bytearray = field(default_factory=bytearray)
    #: What telnet's options were answered with.
    answers: bytearray = field(default_factory=bytearray)
    logged_in: str = ""
    refusals: int = 0

    async def serve(self, send: Send, receive: Receive) -> None:
        """One connection; ``receive`` answers with nothing once it was cut off."""
        is_cut = False

        async def keys() -> bytes:
            nonlocal is_cut
            data = await receive()
            is_cut = not data
            return data

        with suppress(SessionEnded, OSError, asyncssh.Error):
            while not is_cut:
                user = self.logged_in or await self._log_in(send, keys)
                self.logged_in = user if self.serial else ""
                with self.device.session():
                    await Terminal(self.device, user, send, keys).run()
                if not is_cut:
                    self.logged_in = ""
                if not self.serial:
                    return

    async def _log_in(self, send: Send, receive: Receive) -> str:
        if self.serial:
            await send(b"\r\n\r\nr1 con0 is now available\r\n\r\n\r\n\r\nPress RETURN to get started.\r\n\r\n")
            await self._read(send, receive, echo=False)
        await send(self.banner.encode())
        for _ in range(TRIES):
            await send(b"Username: ")
            # RouterOS takes console options after the login name.
            user = (await self._read(send, receive)).partition("+")[0]
            await send(b"Password: ")
            password = await self._read(send, receive, echo=False)
            await asyncio.sleep(self.judged_after_s)
            if (user, password) == (self.device.username, self.device.password):
                return user
            self.refusals += 1
            await send(b"% Login invalid\r\n\r\n")
        raise SessionEnded

    async def _read(self, send: Send, receive: Receive, *, echo: bool = True) -> str:
        line = bytearray()
        while True:
            data = await receive()
            if not data:
                raise SessionEnded
            for key in data:
                if key in b"\r\n":
                    await send(b"\r\n")
                    return line.decode()
                line.append(key)
                if echo:
                    await send(bytes([key]))


@contextmanager
def telnet_server(line: Line, *, options: bool = True) -> Iterator[int]:
    """Serves the line on a port; without ``options`` it is a bare TCP connection, as a terminal server's port is."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(data: bytes) -> None:
            writer.write(data.replace(b"\xff", b"\xff\xff") if options else data)
            await writer.drain()

        async def receive() -> bytes:
            while True:
                data = await reader.read(4096)
                if not data:
                    return b""
                keys = _keys(data, line.answers) if options else data
                line.typed += keys
                if keys := keys.replace(b"\0", b""):
                    return keys

        if options:
            writer.write(GREETING)
        await line.serve(send, receive)
        writer.close()

    with in_thread(lambda: asyncio.start_server(connected, "127.0.0.1", 0)) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def console_server(line: Line, username: str, password: str) -> Iterator[int]:
    """An SSH server that asks for its own login, and then connects to the serial line named behind the login name."""

    class Login(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return True

        async def validate_password(self, name: str, given: str) -> bool:
            return (name, given) == (username, password)

    async def connected(process: asyncssh.SSHServerProcess[bytes]) -> None:
        async def send(data: bytes) -> None:
            process.stdout.write(data)
            await process.stdout.drain()

        async def receive() -> bytes:
            data = await process.stdin.read(4096)
            line.typed += data
            return data

        await line.serve(send, receive)
        process.exit(0)

    key = asyncssh.generate_private_key("ssh-ed25519")

    async def start() -> asyncssh.SSHAcceptor:
        options: dict[str, Any] = {"process_factory": connected, "encoding": None, "line_editor": False}
        return await asyncssh.create_server(Login, "127.0.0.1", 0, server_host_keys=[key], **options)

    with in_thread(start) as server:
        yield server.sockets[0].getsockname()[1]


@contextmanager
def in_thread(start: Callable[[], Coroutine[Any, Any, Any]]) -> Iterator[Any]:
    """What ``start`` makes, such as an asyncio server, served by a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(server.close)

        async def end() -> None:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            for task in others:
                task.cancel()
            if others:
                await asyncio.wait(others, timeout=5)

        asyncio.run_coroutine_threadsafe(end(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


def _keys(data: bytes, answers: bytearray) -> bytes:
    """What was typed, without telnet's commands, which go to ``answers``; none of them is cut here."""
    keys = bytearray()
    at = 0
    while at < len(data):
        if data[at] != IAC:
            keys.append(data[at])
            at += 1
        elif data[at + 1] == IAC:
            keys.append(IAC)
            at += 2
        else:
            size = data.index(bytes([IAC, SE]), at) + 2 - at if data[at + 1] == SB else 3
            answers += data[at : at + size]
            at += size
    return bytes(keys)
