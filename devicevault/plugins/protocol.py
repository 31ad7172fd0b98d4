"""What a plugin is given, and what it gives back. This page is a promise to plugins that others write."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from devicevault.credentials import Credential


@dataclass(frozen=True)
class Fetched:
    """One artifact as the device sent it, byte for byte."""

    content: bytes = field(repr=False)
    #: What shows that nothing is missing, in words: ``5120 bytes, as Content-Length tells``. Where it is empty the
    #: artifact is read a second time and has to be the same.
    proof: str = ""


#: Asks the device for one thing: a path, a file, an RPC; whatever the page's ``ask`` means to the plugin.
Read: TypeAlias = Callable[[str], Fetched]


class Device(Protocol):
    """One device, reached with one credential, for one collection.

    Each of its connections goes the device's own way, through jump hosts and proxies, and is cut when the session's
    time is over. What any of this raises may simply pass through a plugin.
    """

    @property
    def name(self) -> str:
        """As the inventory calls it."""

    @property
    def address(self) -> str:
        """Host name or IP address, as the inventory has it."""

    @property
    def port(self) -> int:
        """The device's own, or the page's where the device says none."""

    @property
    def credential(self) -> Credential:
        """The credential to try: a token is its password."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the page's ``[plugin]`` table says besides name and port."""

    @property
    def options(self) -> Mapping[str, Any]:
        """What the inventory's ``options`` of this device say. Never a secret."""

    @property
    def max_bytes(self) -> int:
        """The largest artifact that is kept: stop reading there, with :meth:`too_large`."""

    def connect(self) -> socket.socket:
        """A new TCP connection to the device."""

    def tls(self) -> ssl.SSLSocket:
        """A new TLS connection, its certificate checked."""

    def ssh(self) -> Any:
        """A ``paramiko.SSHClient``, logged in with the credential, its host key checked."""

    def doing(self, step: str) -> None:
        """Names what is being done, for the sentence an operator reads when it hangs. Raises once the time is over."""

    def check_size(self, size: int) -> None:
        """Raises :class:`~devicevault.errors.ConfigurationTooLarge` for more bytes than are kept."""

    def note(self, message: str) -> None:
        """Adds a line to the collection's log; the credential's secrets are masked."""

    def warn(self, message: str) -> None:
        """As :meth:`note`, as a warning."""


class Plugin(Protocol):
    """A way to get configurations: what an entry point of the group ``devicevault.plugins`` names, callable without
    arguments. One object serves all sessions of a worker process, from several threads at once.
    """

    def check(self, settings: Mapping[str, Any], asks: Sequence[str]) -> Iterable[str]:
        """What is wrong with a page's settings and with what it asks for, a sentence each. It opens no connection.

        What might change a device is refused here.
        """

    def open(self, device: Device) -> AbstractContextManager[Read]:
        """A session: entered it logs in, left it says goodbye.

        Raises, as ``Read`` does, a :class:`~devicevault.errors.CollectionError`:
        :class:`~devicevault.errors.AuthenticationFailed` has the next credential tried,
        :class:`~devicevault.errors.CommandRejected` the page's next ``ask``, and
        :class:`~devicevault.errors.DeviceUnreachable` and :class:`~devicevault.errors.OutputTruncated` have the whole
        session tried once more. Exceptions of sockets, TLS and SSH may pass: they are told as a broken connection.
        """
