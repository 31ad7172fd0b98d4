"""Simulated network devices: real SSH servers on loopback, one port per device.

The demo and the tests back these up instead of real devices. ``python -m devicevault.demo.fleet PLATFORM``
serves one in the foreground.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import sys
import threading
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Literal, Protocol, TypeVar

import asyncssh

from devicevault.demo.configurations import configuration_for
from devicevault.demo.dialects import DIALECTS
from devicevault.demo.terminal import Receive, Send, Terminal

T = TypeVar("T")

#: The faults a device can have; each may be set and cleared while the fleet runs.
FAULTS: Final = {
    "cut": "the configuration stops at 60 %, then the prompt comes",
    "close": "the configuration stops at 60 %, then the connection closes",
    "stall": "the configuration stops at 60 %, then nothing more comes",
    "slow": "the configuration comes in small pieces",
    "flood": "the configuration never ends",
    "empty": "the command is answered with nothing but the prompt",
    "error_text": "the command is answered with an error text",
    "lookalike": "a line in the middle of the configuration contains the prompt's text",
    "no_banner": "TCP is accepted, then nothing comes",
    "hang_up": "TCP is accepted, then closed",
    "auth_hang": "the password is never judged",
    "refuse_auth": "every password is refused",
    "no_prompt": "the login succeeds, but no prompt comes",
}

#: What an old device offers: nothing that paramiko 5 or OpenSSH 9 would accept.
LEGACY_ALGORITHMS: Final[dict[str, Any]] = {
    "kex_algs": ["diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"],
    "encryption_algs": ["aes128-cbc", "3des-cbc"],
    "mac_algs": ["hmac-sha1"],
    "signature_algs": ["ssh-rsa"],
}


class Served(Protocol):
    """What a login sees."""

    async def run(self) -> None:
        """Serves one session until either side ends it."""


@dataclass
class SimulatedDevice:
    """One device. Every attribute may be changed while the fleet runs; it counts from the next session or command."""

    name: str
    platform: str = "cisco_ios"
    #: The stable part of the configuration; made up from the name when left out.
    configuration: str = ""
    #: What it starts with: the first configuration, whatever is changed and never saved afterwards.
    startup: str = ""
    username: str = "backup"
    password: str = "correct horse"  # noqa: S105 - a simulated device's
    #: Enable secret; where empty, a login is privileged at once.
    enable: str = ""
    #: One of :data:`FAULTS`, or empty.
    fault: str = ""
    #: Share of a configuration that arrives where a fault cuts it.
    cut_share: float = 0.6
    #: Seconds before each answer.
    delay_s: float = 0.0
    #: Who changed the configuration last, where the platform tells; whoever is logged in when left out.
    author: str = ""
    algorithms: Literal["modern", "legacy"] = "modern"
    #: A public key in OpenSSH's form that may log in besides the password.
    authorized_key: str = ""
    #: Ways to log in with the password; where there is none and no key either, SSH lets everybody in.
    password_methods: tuple[str, ...] = ("password", "keyboard-interactive")
    #: What was typed, and what of it would have changed the device.
    commands: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    #: Times the configuration was shown, logins accepted and refused, and the most sessions at one time.
    readings: int = 0
    logins: int = 0
    refusals: int = 0
    sessions: int = 0
    most_sessions: int = 0

    def __post_init__(self) -> None:
        if self.platform not in DIALECTS:
            raise ValueError(f"no simulated {self.platform!r}; there are {', '.join(DIALECTS)}")
        self.configuration = self.configuration or configuration_for(self.platform, self.name)
        self.startup = self.startup or self.configuration

    def terminal(self, user: str, send: Send, receive: Receive) -> Served:
        """What a login of ``user`` sees."""
        return Terminal(self, user, send, receive)

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Counts a session while it lasts."""
        self.logins += 1
        self.sessions += 1
        self.most_sessions = max(self.most_sessions, self.sessions)
        try:
            yield
        finally:
            self.sessions -= 1


class _Login(asyncssh.SSHServer):
    """Judges one connection's login."""

    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device

    def _knows(self, username: str) -> bool:
        # RouterOS takes console options after the login name: admin+ct511w.
        return username.partition("+")[0] == self.device.username

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    async def begin_auth(self, username: str) -> bool:
        return bool(self.device.password_methods or self.device.authorized_key)

    def password_auth_supported(self) -> bool:
        # paramiko asks for the login service again before each try. OpenSSH and network devices allow that;
        # asyncssh hangs up, and has no other way to be told.
        self._connection._next_service = b"ssh-userauth"
        return "password" in self.device.password_methods

    def kbdint_auth_supported(self) -> bool:
        return "keyboard-interactive" in self.device.password_methods

    def public_key_auth_supported(self) -> bool:
        return bool(self.device.authorized_key)

    async def validate_password(self, username: str, password: str) -> bool:
        if self.device.fault == "auth_hang":
            await asyncio.Event().wait()
        right = self._knows(username) and password == self.device.password and self.device.fault != "refuse_auth"
        self.device.refusals += not right
        return right

    def get_kbdint_challenge(
        self, username: str, lang: str, submethods: str
    ) -> tuple[str, str, str, Sequence[tuple[str, bool]]]:
        return "", "", "", [("Password: ", False)]

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> bool:
        return await self.validate_password(username, "".join(responses))

    async def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self._knows(username) and key == asyncssh.import_public_key(self.device.authorized_key)


@dataclass
class _Port:
    """A device's place on loopback."""

    device: SimulatedDevice
    host_key: asyncssh.SSHKey
    listener: asyncio.Task[None] | None = None
    #: Bound and never listening: no other process is given the port while the device is unplugged.
    reservation: socket.socket = field(default_factory=socket.socket)

    @property
    def number(self) -> int:
        number: int = self.reservation.getsockname()[1]
        return number


def _new_host_key(device: SimulatedDevice) -> asyncssh.SSHKey:
    if device.algorithms == "legacy":
        return asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    return asyncssh.generate_private_key("ssh-ed25519")


class Fleet:
    """Serves simulated devices from a thread of its own while the ``with`` block lasts."""

    address: Final = "127.0.0.1"

    def __init__(self, devices: Iterable[SimulatedDevice]) -> None:
        self._ports = {device.name: _Port(device, _new_host_key(device)) for device in devices}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fleet", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Fleet:
        self._thread.start()
        for name, port in self._ports.items():
            port.reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            port.reservation.bind((self.address, 0))
            self.plug(name)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._in_loop(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __getitem__(self, name: str) -> SimulatedDevice:
        return self._ports[name].device

    def __iter__(self) -> Iterator[SimulatedDevice]:
        return (port.device for port in self._ports.values())

    def __len__(self) -> int:
        return len(self._ports)

    @property
    def changes(self) -> list[tuple[str, str]]:
        """Each device's name with a command it was given that would have changed it: empty after a good backup."""
        return [(device.name, command) for device in self for command in device.changes]

    def port(self, name: str) -> int:
        """The TCP port of a device on :attr:`address`; it stays the same through ``unplug`` and ``plug``."""
        return self._ports[name].number

    def host_key(self, name: str) -> str:
        """A device's public host key as ``type base64``."""
        return " ".join(self._ports[name].host_key.export_public_key().decode().split()[:2])

    def replace_host_key(self, name: str) -> None:
        """Give a device another host key, as when it was exchanged or someone listens in."""
        self._ports[name].host_key = _new_host_key(self[name])

    def plug(self, name: str) -> None:
        """Let a device listen."""
        self._in_loop(self._listen(self._ports[name]))

    def unplug(self, name: str) -> None:
        """Let a device refuse connections."""
        self._in_loop(self._close(self._ports[name]))

    def _in_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self, port: _Port) -> None:
        listening = socket.create_server((self.address, port.number), backlog=512)
        listening.setblocking(False)
        port.listener = asyncio.create_task(self._accept(port, listening))

    async def _accept(self, port: _Port, listening: socket.socket) -> None:
        with listening:
            while True:
                connection, _ = await asyncio.get_running_loop().sock_accept(listening)
                task = asyncio.create_task(self._serve(port, connection))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _close(self, port: _Port) -> None:
        if port.listener:
            port.listener.cancel()
            await asyncio.wait([port.listener])
            port.listener = None

    async def _serve(self, port: _Port, connection: socket.socket) -> None:
        device = port.device
        with connection:
            if device.fault == "no_banner":
                # Held until the other side gives up: nothing is ever written.
                while await asyncio.get_running_loop().sock_recv(connection, 4096):
                    pass
                return
            if device.fault == "hang_up":
                return
            await self._serve_ssh(port, connection)

    async def _serve_ssh(self, port: _Port, connection: socket.socket) -> None:
        algorithms = LEGACY_ALGORITHMS if port.device.algorithms == "legacy" else {}
        with contextlib.suppress(OSError, asyncssh.Error):
            served = await asyncssh.run_server(
                connection,
                server_factory=lambda: _Login(port.device),
                server_host_keys=[port.host_key],
                process_factory=lambda process: _shell(process, port.device),
                encoding=None,
                line_editor=False,
                allow_scp=False,
                login_timeout=3600,
                **algorithms,
            )
            try:
                await served.wait_closed()
            finally:
                served.abort()

    async def _end(self) -> None:
        for port in self._ports.values():
            await self._close(port)
            port.reservation.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=5)


async def _shell(process: asyncssh.SSHServerProcess[bytes], device: SimulatedDevice) -> None:
    if process.command is not None:
        device.commands.append(process.command)
        process.stdout.write(b"This device takes no commands without a terminal.\r\n")
        process.exit(1)
        return

    async def send(data: bytes) -> None:
        process.stdout.write(data)
        await process.stdout.drain()

    async def receive() -> bytes:
        return await process.stdin.read(4096)

    # A connection that breaks off, or a window that changes its size, is the other side's affair.
    with device.session(), contextlib.suppress(OSError, asyncssh.Error):
        await device.terminal(process.get_extra_info("username").partition("+")[0], send, receive).run()
    process.exit(0)


def main() -> None:
    """Serve one device until interrupted."""
    parser = argparse.ArgumentParser(prog="python -m devicevault.demo.fleet", description=main.__doc__)
    parser.add_argument(
        "platform", nargs="?", default="cisco_ios", choices=DIALECTS, metavar="PLATFORM", help=", ".join(DIALECTS)
    )
    parser.add_argument("--fault", default="", choices=FAULTS, metavar="FAULT", help=", ".join(FAULTS))
    asked = parser.parse_args()
    device = SimulatedDevice("simulated", asked.platform, enable="open sesame", fault=asked.fault)
    with Fleet([device]) as fleet:
        print(f"ssh -p {fleet.port(device.name)} {device.username}@{fleet.address}", file=sys.stderr)  # noqa: T201
        print(f"password: {device.password}   enable: {device.enable}", file=sys.stderr)  # noqa: T201
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
