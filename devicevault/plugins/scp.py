"""The plugin ``scp``: files from devices that speak the old scp protocol and no SFTP, such as FortiOS.

The far side runs ``scp -f FILE``, which sends one file: a line with mode, size and name, the bytes, and a zero byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from devicevault.errors import CommandRejected, OutputTruncated
from devicevault.plugins.protocol import Device, Fetched, Read
from devicevault.plugins.told import Told, complaints

CHUNK_BYTES: Final = 65536
_LINE_MAX: Final = 4096
#: A path in which no shell sees anything but a path.
_PATH: Final = re.compile(r"[\w/.:@%+=,-]+", re.ASCII)
_FILE: Final = re.compile(rb"C[0-7]{4} (\d{1,15}) ")


class Scp:
    """Asks for files with ``scp -f`` and runs nothing else."""

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterator[str]:
        yield from complaints(Told, settings)
        yield from (f"{ask!r}: {problem}" for ask in asks if (problem := _problem(ask)))

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        transport = device.ssh().get_transport()
        yield lambda ask: _fetch(device, transport, ask)


def _problem(ask: str) -> str:
    # One that begins with a hyphen would be an option: -t writes.
    if not _PATH.fullmatch(ask) or ask.startswith("-"):
        return "a path of letters, digits and / . : @ % + = , - _ only, not beginning with -"
    return ""


def _fetch(device: Device, transport: Any, ask: str) -> Fetched:
    if problem := _problem(ask):
        raise CommandRejected(f"{ask!r} can't be asked for: {problem}", "correct the device's options")
    device.doing(f"asking for {ask}")
    with transport.open_session() as channel:
        channel.exec_command(f"scp -f {ask}")
        channel.sendall(b"\0")
        size = _size(device, channel, ask)
        device.check_size(size)
        channel.sendall(b"\0")
        content = bytearray()
        while len(content) < size:
            device.doing(f"reading {ask}, {len(content)} of {size} bytes")
            piece = channel.recv(min(CHUNK_BYTES, size - len(content)))
            if not piece:
                device.doing(f"reading {ask}")
                raise OutputTruncated(f"{ask} stopped after {len(content)} of {size} bytes", "try again")
            content += piece
        if channel.recv(1) != b"\0":
            device.doing(f"reading {ask}")
            raise OutputTruncated(f"{device.name} did not say that it sent {ask} whole", "try again")
        with suppress(OSError):  # thanks; it may be gone already
            channel.sendall(b"\0")
    return Fetched(bytes(content), f"{size} bytes, as the device told")


def _size(device: Device, channel: Any, ask: str) -> int:
    """How large the file is. Raises :class:`CommandRejected` with what the device says instead."""
    while True:
        line = _line(channel)
        if line.startswith(b"T"):  # its times
            channel.sendall(b"\0")
            continue
        if found := _FILE.match(line):
            return int(found[1])
        device.doing(f"asking for {ask}")
        said = re.sub(r"[^ -~]", "", line.decode("latin-1"))[:200] or "nothing"
        raise CommandRejected(
            f"{device.name} does not send {ask}: it says {said!r}",
            "check the path, the login's rights, and that the device lets files be fetched by scp",
        )


def _line(channel: Any) -> bytes:
    line = bytearray()
    while len(line) < _LINE_MAX:
        sign = channel.recv(1)
        if not sign or sign == b"\n":
            break
        line += sign
    return bytes(line)
