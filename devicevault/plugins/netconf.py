"""The plugin ``netconf``: what an operation answers over NETCONF (RFC 6241, 6242), the SSH subsystem ``netconf``.

A page asks for the operation itself: ``<get-config><source><running/></source></get-config>``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import paramiko

from devicevault.errors import CollectionError, DeviceUnreachable, UnreachableForGood
from devicevault.plugins.netconf_framing import Messages
from devicevault.plugins.netconf_reply import payload, read
from devicevault.plugins.protocol import Device, Fetched, Read
from devicevault.plugins.told import Told, complaints

RECEIVE_BYTES: Final = 65536
BASE: Final = "urn:ietf:params:xml:ns:netconf:base:1.0"
CAPABILITY: Final = "urn:ietf:params:netconf:base:1."
#: Operations that only read.
READING: Final = ("get", "get-config", "get-data", "get-configuration", "get-system-information")
_HELLO: Final = (
    f'<?xml version="1.0" encoding="UTF-8"?><hello xmlns="{BASE}"><capabilities>'
    f"<capability>{CAPABILITY}0</capability><capability>{CAPABILITY}1</capability></capabilities></hello>"
)


class Netconf:
    """Sends hello, reading operations and close-session, and nothing else."""

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterator[str]:
        yield from complaints(Told, settings)
        for ask in asks:
            try:
                operation = read(ask.encode()).root
            except ValueError as error:
                yield f"{ask!r} is no XML: {error}"
            else:
                if operation not in READING:
                    yield f"<{operation}> may change the device; a plugin only reads: {', '.join(READING)}"

    @contextmanager
    def open(self, device: Device) -> Iterator[Read]:
        session = _Session(device)
        yield session.ask
        session.close()


class _Session:
    def __init__(self, device: Device) -> None:
        self._device = device
        self._number = 0
        transport = device.ssh().get_transport()
        device.doing(f"opening NETCONF on {device.name}")
        try:
            self._channel = transport.open_session()
            self._channel.invoke_subsystem("netconf")
        except paramiko.SSHException:
            device.doing("opening NETCONF")
            raise UnreachableForGood(
                f"{device.name} lets us in and has no NETCONF on port {device.port}",
                "turn it on (Junos: `set system services netconf ssh`), or set the port it listens at",
            ) from None
        self._messages = Messages(lambda: self._channel.recv(RECEIVE_BYTES), self._came)
        self._agree()

    def ask(self, operation: str) -> Fetched:
        """The data of the answer to one operation."""
        self._device.doing(f"waiting for the answer to {operation}")
        content = payload(self._call(operation))
        framing = "the last chunk came" if self._messages.chunked else "the message's end came"
        return Fetched(content, f"{framing}, every element is closed")

    def close(self) -> None:
        """Says goodbye. What was read is read, so nothing is raised."""
        with suppress(CollectionError, OSError, EOFError, paramiko.SSHException):
            self._call("<close-session/>")

    def _agree(self) -> None:
        self._device.doing("waiting for the NETCONF hello")
        self._channel.sendall(self._messages.framed(_HELLO.encode()))
        hello = self._messages.next().decode("utf-8", "replace")
        if CAPABILITY not in hello:
            raise DeviceUnreachable(f"{self._device.name} does not begin NETCONF with a hello")
        self._messages.chunked = f"{CAPABILITY}1" in hello

    def _call(self, operation: str) -> bytes:
        self._number += 1
        rpc = f'<?xml version="1.0" encoding="UTF-8"?><rpc xmlns="{BASE}" message-id="{self._number}">{operation}</rpc>'
        self._channel.sendall(self._messages.framed(rpc.encode()))
        return self._messages.next()

    def _came(self, size: int) -> None:
        self._device.check_size(size)
        self._device.doing(f"reading a NETCONF message, {size} bytes so far")
