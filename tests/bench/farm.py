"""Devices that cost next to nothing: thousands of addresses of 127.0.0.0/8 behind one port, in processes of their own.

Each address is a device of its own with a configuration of its own. What a device of the demo's fleet does for the
sake of faults is left out here: a router is logged in to, echoes what is typed, and answers.

``python -m tests.bench.farm PORT FOLDER SIZE_KB`` is one of the processes; they share the port.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncssh

from devicevault.demo.dialects import DIALECTS
from tests.bench.cost import Cost, cost_of
from tests.bench.texts import running_config
from tests.servers import accepts, free_port, wait_until

USERNAME: Final = "backup"
PASSWORD: Final = "correct horse"
PLATFORM: Final = "cisco_ios"
#: What a backup types, and so does whoever it is compared with.
COMMANDS: Final = (
    "terminal length 0",
    "terminal width 0",
    "show running-config",
    "show startup-config",
    "show version",
)
START_WITHIN_S: Final = 60
#: Connections that wait to be accepted, as a burst of logins makes them.
BACKLOG: Final = 4096


def name_of(number: int) -> str:
    return f"r{number:05d}"


def address_of(number: int) -> str:
    return f"127.8.{number // 250}.{number % 250 + 1}"


def _number_of(address: str) -> int:
    _, _, high, low = map(int, address.split("."))
    return high * 250 + low - 1


@dataclass
class Farm:
    """The running processes, and what they are told while they run."""

    folder: Path
    port: int
    processes: list[subprocess.Popen[bytes]]

    def set(self, *, delay_s: float = 0.05, day: int = 0) -> None:
        """How long a device takes for each command, and which day it is: each day, one in twenty devices differs."""
        draft = self.folder / "draft"
        draft.write_text(f"{delay_s} {day}")
        draft.replace(self.folder / "now")

    def cost(self) -> Cost:
        return sum((cost_of(process.pid) for process in self.processes), Cost())


@contextmanager
def farm(folder: Path, *, size_kb: float = 100, processes: int = 2) -> Iterator[Farm]:
    """Devices on every address, while the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    running = Farm(folder, port, [])
    running.set()
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(folder / "host_key")
    try:
        for _ in range(processes):
            command = [sys.executable, "-m", "tests.bench.farm", str(port), str(folder), str(size_kb)]
            running.processes.append(subprocess.Popen(command))
        wait_until(lambda: accepts(port), START_WITHIN_S, or_say=lambda: "the simulated devices do not listen")
        yield running
    finally:
        for process in running.processes:
            process.terminate()
            process.wait()


class _Login(asyncssh.SSHServer):
    def __init__(self, farm: _Serving) -> None:
        self._farm = farm

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def password_auth_supported(self) -> bool:
        # paramiko asks for the login service again before each try; asyncssh would hang up.
        self._connection._next_service = b"ssh-userauth"
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USERNAME, PASSWORD)

    def session_requested(self) -> _Router:
        return _Router(_number_of(self._connection.get_extra_info("sockname")[0]), self._farm)


class _Router(asyncssh.SSHServerSession[bytes]):
    """One session."""

    def __init__(self, number: int, farm: _Serving) -> None:
        self._name = name_of(number)
        self._number = number
        self._farm = farm
        self._line = b""
        self._delay_s, self._day = farm.now()
        self._answers: asyncio.Queue[bytes] = asyncio.Queue()

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def pty_requested(self, term_type: str, term_size: object, term_modes: object) -> bool:
        return True

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self._channel.write(self._prompt)

    @property
    def _prompt(self) -> bytes:
        return f"\r\n{self._name}#".encode()

    def data_received(self, data: bytes, datatype: object) -> None:
        self._channel.write(data.replace(b"\n", b"\r\n"))
        *commands, self._line = (self._line + data.replace(b"\r", b"\n")).split(b"\n")
        for command in commands:
            typed = command.strip().decode()
            if typed in ("exit", "logout"):
                self._channel.exit(0)
                self._channel.get_connection().close()
            elif typed:
                asyncio.get_running_loop().call_later(self._delay_s, self._answer, typed)
            else:
                self._channel.write(self._prompt)

    def _answer(self, typed: str) -> None:
        if typed == "show running-config":
            self._channel.write(self._farm.configuration(self._number, self._day))
        elif typed == "show startup-config":
            self._channel.write(b"startup-config is not present\r\n")
        elif answer := DIALECTS[PLATFORM].answer(typed):
            self._channel.write(re.sub(r"\r?\n", "\r\n", answer).encode())
        self._channel.write(self._prompt)


class _Serving:
    """One process."""

    def __init__(self, folder: Path, size_kb: float) -> None:
        self._folder = folder
        self._size_kb = size_kb

    def now(self) -> tuple[float, int]:
        delay_s, day = (self._folder / "now").read_text().split()
        return float(delay_s), int(day)

    def configuration(self, number: int, day: int) -> bytes:
        # One in twenty changes each day.
        return (
            running_config(name_of(number), self._size_kb, version=(number + day) // 20)
            .encode()
            .replace(b"\n", b"\r\n")
        )

    async def serve(self, port: int) -> None:
        served = await asyncssh.listen(
            "",
            port,
            reuse_port=True,
            backlog=BACKLOG,
            server_factory=lambda: _Login(self),
            server_host_keys=[asyncssh.read_private_key(self._folder / "host_key")],
            encoding=None,
            line_editor=False,
        )
        await served.wait_closed()


if __name__ == "__main__":
    # It would warn of each client that hangs up while an answer is on its way.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Serving(Path(sys.argv[2]), float(sys.argv[3])).serve(int(sys.argv[1])))
