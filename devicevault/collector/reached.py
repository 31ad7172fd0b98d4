"""A device as a plugin sees it: its connections go the session's way and end with the session's time."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from devicevault.collector.deadline import Limit
from devicevault.collector.jump import Passage
from devicevault.collector.ssh import open_client
from devicevault.collector.steps import Steps
from devicevault.collector.tcp import Target
from devicevault.collector.tls import Trust, secured
from devicevault.credentials import Credential
from devicevault.errors import ConfigurationTooLarge

S = TypeVar("S", bound=socket.socket)


@dataclass
class ReachedDevice:
    """Implements :class:`devicevault.plugins.Device`. Closed by whoever made it."""

    target: Target
    passage: Passage
    credential: Credential
    settings: Mapping[str, Any]
    options: Mapping[str, Any]
    max_bytes: int
    limit: Limit
    steps: Steps
    reach: Callable[[Target, Limit], Passage]
    #: Told the host key seen.
    saw_host_key: Callable[[str], None]
    #: Tells the log of the login.
    note_login: Callable[[], None]
    _is_logged_in: bool = False
    _is_fresh: bool = True
    _open: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @property
    def name(self) -> str:
        return self.target.device

    @property
    def address(self) -> str:
        return self.target.address

    @property
    def port(self) -> int:
        return self.target.port

    def connect(self) -> socket.socket:
        self.limit.check()
        if self._is_fresh:
            self._is_fresh = False
            return self._kept(self.passage.sock)
        # The credential was checked for this address; a name server may know another one by now.
        return self._kept(self.reach(replace(self.target, address=self.passage.address), self.limit).sock)

    def tls(self) -> ssl.SSLSocket:
        plain = self.connect()
        # The wrapped socket takes the plain one's descriptor away; what is shut down in the end is this one.
        guarded = self._kept(socket.socket(fileno=os.dup(plain.fileno())))
        self.limit.guard(guarded)
        self.doing(f"agreeing on TLS with {self.target}")
        trust = Trust.of(self.settings, self.options, self.address)
        return self._kept(secured(plain, trust, str(self.target), legacy=self.target.legacy, again=self.connect))

    def ssh(self) -> Any:
        client = open_client(self.connect(), self.target, self.credential, self.limit)
        self._open.callback(client.close)
        self.saw_host_key(client.host_key_seen)
        self.logged_in()
        return client

    def logged_in(self) -> None:
        """Tells once that the device let us in."""
        if not self._is_logged_in:
            self._is_logged_in = True
            self.note_login()

    def doing(self, step: str) -> None:
        self.limit.check()
        self.limit.step = step

    def check_size(self, size: int) -> None:
        if size > self.max_bytes:
            raise ConfigurationTooLarge(
                f"{self.target} sends more than {self.max_bytes / 1e6:g} MB", "raise ssh.max_artifact_mb"
            )

    def note(self, message: str) -> None:
        self.steps.info(message)

    def warn(self, message: str) -> None:
        self.steps.warning(message)

    def close(self) -> None:
        """Closes every connection there is."""
        if self._is_fresh:
            self.passage.sock.close()
        self._open.close()

    def _kept(self, sock: S) -> S:
        self._open.callback(sock.close)
        return sock
